//! Tests of SQLite's query plans for the log. PostgreSQL's plans are taken from a running server,
//! in `tests/it/plans.rs`, which is not possible for SQLite.

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row};

    use crate::store::sqlite::entries::{FIND, FIND_IN_PARTITIONS, OF_CALLS};
    use crate::store::totals::compare::WITH_LOG;
    use crate::store::totals::{SQLITE_ROLL, TAIL};
    use crate::store::void_attribute::SQLITE_OF_SESSION;
    use crate::store::{AccountFilter, ScanIndex, Store};

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
            (ScanIndex::All, "entries_by_time"),
            (ScanIndex::Account("x"), "entries_by_account"),
            (ScanIndex::NamedOnly("x"), "entries_by_other_account"),
            (ScanIndex::Customer("x"), "entries_by_customer"),
            (ScanIndex::Session("x"), "entries_by_session"),
            (ScanIndex::SessionOf("x", "x"), "entries_by_session_account"),
            (ScanIndex::Call("x"), "entries_by_call"),
            (ScanIndex::CallOf("x", "x"), "entries_by_call"),
            (ScanIndex::Voided, "entries_voided"),
            (ScanIndex::WithoutPair, "entries_without_pair"),
        ];
        let filters = [
            (AccountFilter::All, "entries_by_position"),
            (AccountFilter::Account("x"), "entries_by_account_position"),
            (
                AccountFilter::NamedOnly("x"),
                "entries_by_other_account_position",
            ),
        ];
        let others = [
            (FIND, "sqlite_autoindex_entries_1"),
            (FIND_IN_PARTITIONS, "sqlite_autoindex_entries_1"),
            (OF_CALLS[0], "entries_by_call"),
            (OF_CALLS[1], "entries_by_call"),
            (OF_CALLS[2], "entries_by_other_account_position"),
            (SQLITE_OF_SESSION, "entries_by_session"),
            (TAIL, "entries_by_position"),
            (SQLITE_ROLL, "entries_by_position"),
            (WITH_LOG, "entries_by_time"),
        ];
        let scans = scans.map(|(scan, index)| (scan.statement().0, index));
        let filters = filters.map(|(filter, index)| (filter.statement().0, index));
        for (statement, index) in scans.into_iter().chain(filters).chain(others) {
            let plan = plan(&store, statement).await;
            let searched = format!("SEARCH entries USING INDEX {index} (");
            assert!(!plan.is_empty(), "{statement}");
            assert!(
                plan.iter().all(|step| step.starts_with(&searched)),
                "{statement}: {plan:?}"
            );
        }
        let scanned = plan(&store, "select * from entries where reason = 'x'").await;
        assert_eq!(scanned, ["SCAN entries"], "a scan is recognised");
    }
}
