//! Tests of SQLite's query plans for the log. PostgreSQL's plans are taken from a running server,
//! in `tests/it/plans.rs`, which is not possible for SQLite.

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row};

    use crate::store::feed::AT;
    use crate::store::scan::ENDS;
    use crate::store::sqlite::calls::{OF_PREFIXES, OF_RANGES};
    use crate::store::sqlite::entries::{FIND, FIND_IN_PARTITIONS, FIND_OF_ACCOUNTS};
    use crate::store::totals::compare::WITH_LOG;
    use crate::store::totals::{SQLITE_ROLL, TAIL};
    use crate::store::void_attribute::SQLITE_OF_SESSION;
    use crate::store::{AccountFilter, ScanIndex, Store, sqlite};

    /// Returns the steps of a statement's plan that read the log.
    async fn plan(store: &Store, statement: &str) -> Vec<String> {
        let Store::Sqlite(store) = store else {
            unreachable!("the store is SQLite")
        };
        let explained = AssertSqlSafe(format!("explain query plan {statement}"));
        let rows = sqlx::query(explained).fetch_all(&store.control).await;
        let details = rows
            .expect("a plan")
            .into_iter()
            .map(|row| row.get("detail"));
        details
            .filter(|detail: &String| detail.contains("entries"))
            .collect()
    }

    #[tokio::test]
    async fn no_statement_scans_the_log() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", directory.path().join("test.db").display());
        let store = Store::open(&url, 1).await.expect("a store");
        store.migrate().await.expect("a schema");
        let scans = [
            (ScanIndex::All, "INDEX entries_by_time"),
            (ScanIndex::Account("x"), "INDEX entries_by_account"),
            (ScanIndex::Customer("x"), "INDEX entries_by_customer"),
            (ScanIndex::Session("x"), "INDEX entries_by_session"),
            (ScanIndex::Voided, "INDEX entries_voided"),
            (ScanIndex::WithoutPair, "INDEX entries_without_pair"),
        ];
        let filters = [
            (AccountFilter::All, "INTEGER PRIMARY KEY"),
            (
                AccountFilter::Account("x"),
                "INDEX entries_by_account_position",
            ),
        ];
        let others = [
            (FIND, "INDEX sqlite_autoindex_entries_1"),
            (FIND_IN_PARTITIONS, "INDEX sqlite_autoindex_entries_1"),
            (OF_RANGES, "INDEX sqlite_autoindex_entries_1"),
            (OF_PREFIXES, "INDEX entries_by_call_prefix"),
            (
                sqlite::Store::ON_DAYS,
                "INDEX entries_by_customer (<expr>=? AND <expr>=?)",
            ),
            (ENDS, "COVERING INDEX entries_by_time"),
            (SQLITE_OF_SESSION, "INDEX entries_by_session"),
            (AT, "INTEGER PRIMARY KEY"),
            (TAIL, "INTEGER PRIMARY KEY"),
            (SQLITE_ROLL, "INTEGER PRIMARY KEY"),
            (WITH_LOG, "INDEX entries_by_time"),
        ];
        let scans = scans.map(|(scan, index)| (sqlite::Store::scan_statement(scan).0, index));
        let filters = filters.map(|(filter, index)| (filter.statement().0, index));
        for (statement, index) in scans.into_iter().chain(filters).chain(others) {
            let plan = plan(&store, statement).await;
            let searched = format!("SEARCH entries USING {index}");
            let is_searched = |step: &String| {
                let rest = step.strip_prefix(&*searched);
                rest.is_some_and(|rest| !rest.starts_with('_'))
            };
            assert!(!plan.is_empty(), "{statement}");
            assert!(plan.iter().all(is_searched), "{statement}: {plan:?}");
        }
        assert_eq!(
            plan(&store, FIND_OF_ACCOUNTS).await,
            [
                "SEARCH entries USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH next USING COVERING INDEX sqlite_autoindex_entries_1 (billable_id>?)"
            ]
        );
        let scanned = plan(&store, "select * from entries where reason = 'x'").await;
        assert_eq!(scanned, ["SCAN entries"], "a scan is recognised");
    }
}
