//! Tests of SQLite's query plans for the log. PostgreSQL's plans are taken from a running server,
//! in `tests/it/plans.rs`, which is not possible for SQLite.

#[cfg(test)]
mod tests {
    use sqlx::{Row, Sqlite};

    use crate::store::ops::calls::{of_prefixes, of_ranges, ranges};
    use crate::store::ops::derived::{self, newest_change, sessions_between, without_pair};
    use crate::store::ops::feed::at;
    use crate::store::ops::find::{in_partition, in_partitions, of_accounts, wanted};
    use crate::store::ops::scan::{ENDS, on_days, scan_statement};
    use crate::store::ops::totals::compare::with_log;
    use crate::store::ops::totals::compare_derived::{
        account_buckets_with_log, undecided_with_log,
    };
    use crate::store::ops::totals::entries::{tail, tail_of_account};
    use crate::store::ops::totals::roll::{
        delete_decided, roll, roll_account_buckets, roll_accounts, roll_undecided,
    };
    use crate::store::ops::void_attribute::of_session;
    use crate::store::sql::Sql;
    use crate::store::{AccountFilter, ScanIndex, Store};

    /// Returns the steps of a statement's plan that read the log.
    async fn plan(store: &Store, statement: &Sql) -> Vec<String> {
        let Store::Sqlite(store) = store else {
            unreachable!("the store is SQLite")
        };
        let explained = Sql::from("explain query plan ") + statement.clone();
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
        ];
        let filters = [
            (AccountFilter::All, "INTEGER PRIMARY KEY"),
            (
                AccountFilter::Account("x"),
                "INDEX entries_by_account_position",
            ),
        ];
        let billables = wanted(&[]);
        let others = [
            (in_partition::<Sqlite>(), "INDEX sqlite_autoindex_entries_1"),
            (
                in_partitions::<Sqlite>(&billables),
                "INDEX sqlite_autoindex_entries_1",
            ),
            (
                of_ranges::<Sqlite>(&ranges(&[])),
                "INDEX sqlite_autoindex_entries_1",
            ),
            (of_prefixes::<Sqlite>(), "INDEX entries_by_call_prefix"),
            (
                on_days::<Sqlite>(),
                "INDEX entries_by_customer (<expr>=? AND <expr>=?)",
            ),
            (ENDS.into(), "COVERING INDEX entries_by_time"),
            (of_session::<Sqlite>(), "INDEX entries_by_session"),
            (without_pair::<Sqlite>(), "INDEX entries_by_session"),
            (sessions_between(), "INTEGER PRIMARY KEY"),
            (newest_change(), "INTEGER PRIMARY KEY"),
            (
                derived::of_accounts::<Sqlite>(false).1,
                "INTEGER PRIMARY KEY",
            ),
            (
                derived::of_sessions::<Sqlite>(false).1,
                "INTEGER PRIMARY KEY",
            ),
            (
                derived::of_accounts::<Sqlite>(true).1,
                "INDEX entries_by_account_position",
            ),
            (
                derived::of_sessions::<Sqlite>(true).1,
                "INDEX entries_by_account_position",
            ),
            (at(), "INTEGER PRIMARY KEY"),
            (tail(), "INTEGER PRIMARY KEY"),
            (
                tail_of_account::<Sqlite>(),
                "INDEX entries_by_account (<expr>=? AND occurred_at>? AND occurred_at<?)",
            ),
            (roll::<Sqlite>(), "INTEGER PRIMARY KEY"),
            (roll_accounts(), "INTEGER PRIMARY KEY"),
            (roll_account_buckets(), "INTEGER PRIMARY KEY"),
            (roll_undecided(), "INTEGER PRIMARY KEY"),
            (delete_decided(), "INTEGER PRIMARY KEY"),
            (with_log(), "INDEX entries_by_time"),
            (account_buckets_with_log(), "INDEX entries_by_time"),
            (undecided_with_log(), "INDEX entries_by_session"),
        ];
        let scans = scans.map(|(scan, index)| (scan_statement::<Sqlite>(scan).0, index));
        let filters = filters.map(|(filter, index)| (filter.statement().0, index));
        for (statement, index) in scans.into_iter().chain(filters).chain(others) {
            let plan = plan(&store, &statement).await;
            let searched = format!("SEARCH entries USING {index}");
            let is_searched = |step: &String| {
                let rest = step.strip_prefix(&*searched);
                rest.is_some_and(|rest| !rest.starts_with('_'))
            };
            let statement = statement.as_str();
            assert!(!plan.is_empty(), "{statement}");
            assert!(plan.iter().all(is_searched), "{statement}: {plan:?}");
        }
        assert_eq!(
            plan(&store, &of_accounts::<Sqlite>(&billables)).await,
            [
                "SEARCH entries USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH next USING COVERING INDEX sqlite_autoindex_entries_1 (billable_id>?)"
            ]
        );
        let scanned = plan(
            &store,
            &Sql::from("select * from entries where reason = 'x'"),
        )
        .await;
        assert_eq!(scanned, ["SCAN entries"], "a scan is recognised");
    }
}
