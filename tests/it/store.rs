//! The store's contract, which is the same on both databases.

use std::collections::HashSet;
use std::sync::Arc;

use billables::billable::entry::partition_of;
use billables::billable::{
    Billable, BillableState, ClientName, Entry, EntryKind, Field, IdempotencyKey, Identity, Pair,
    RawReport, RawValue, Report, Text, Timestamp,
};
use billables::store::{Appended, OpenError, Origin, Store, StoreError};
use billables::token::{Client, Grant, Rate, Scope, Secret, SenderSettings, Token};
use uuid::Uuid;

use crate::support::{Database, on_both_databases};

fn entry(fields: &[(Field, &str)], key: Option<(&str, Option<u32>)>) -> Entry {
    let mut raw = RawReport::default();
    for (field, value) in fields {
        raw.set(*field, Some(RawValue::Text((*value).to_owned())));
    }
    let now = Timestamp::now();
    let report = Report::parse(raw, now).unwrap();
    let client = ClientName::parse("tester").unwrap();
    let index = key.and_then(|(_, index)| index);
    let key = key.map(|(key, _)| IdempotencyKey::parse(key.as_bytes()).unwrap());
    let identity = Identity::of(key, index, &report.reported);
    let id = identity.id(&client, &report.reported, Uuid::now_v7);
    Entry::recorded(id, report, identity, client, now)
}

fn call(number: usize) -> Entry {
    entry(
        &[
            (Field::SessionId, "S"),
            (Field::CallSid, &format!("CA{number}")),
        ],
        None,
    )
}

/// Returns the ids that an append reports as new.
fn new_ids(appended: Result<Appended, StoreError>) -> Vec<Uuid> {
    appended.unwrap().into_keys().collect()
}

async fn find(store: &Store, id: Uuid) -> Option<Billable> {
    let found = store.entries_find(&[(0, id)]).await.unwrap();
    Billable::assemble(found.into_iter().map(|log_entry| log_entry.entry)).remove(&id)
}

on_both_databases!(
    an_entry_is_read_back_unchanged,
    async |database: Database| {
        let (store, log) = database.store().await;
        let whole = entry(
            &[
                (Field::AccountId, " a'\"\\,é😀"),
                (Field::CustomerId, "{\"c\":[1]}"),
                (Field::SessionId, "null"),
                (Field::CallSid, "%s $1 \u{200b}"),
                (Field::OccurredAt, "1980-01-01T00:00:00.000001Z"),
            ],
            Some(("a-key;~", Some(9_999))),
        );
        let least = entry(&[(Field::SessionId, "S")], None);
        let mut appender = store.appender(log, 0, Origin::Server);
        let stored = appender.entries_append(&[&whole, &least]).await.unwrap();
        assert_eq!(
            stored.into_keys().collect::<HashSet<_>>(),
            HashSet::from([whole.billable_id, least.billable_id])
        );
        assert_eq!(
            find(&store, whole.billable_id).await.unwrap().recorded,
            whole
        );
        assert_eq!(
            find(&store, least.billable_id).await.unwrap().recorded,
            least
        );
        assert_eq!(find(&store, Uuid::now_v7()).await, None);
    }
);

on_both_databases!(
    an_id_is_stored_once_and_the_first_content_stays,
    async |database: Database| {
        let (store, log) = database.store().await;
        let first = entry(&[(Field::SessionId, "S1")], Some(("k", None)));
        let other = entry(&[(Field::SessionId, "S2")], Some(("k", None)));
        let fresh = call(1);
        assert_eq!(first.billable_id, other.billable_id);
        let mut appender = store.appender(log, 0, Origin::Server);
        assert_eq!(
            new_ids(appender.entries_append(&[&first]).await),
            [first.billable_id]
        );
        assert_eq!(
            new_ids(appender.entries_append(&[&other, &fresh]).await),
            [fresh.billable_id]
        );
        assert!(new_ids(appender.entries_append(&[&first, &fresh]).await).is_empty());
        assert_eq!(
            find(&store, first.billable_id).await.unwrap().recorded,
            first
        );
        assert_eq!(database.ids().await.len(), 2);
    }
);

on_both_databases!(
    positions_increase_in_the_order_of_commits,
    async |database: Database| {
        let (store, log) = database.store().await;
        let entries: Vec<_> = (0..60).map(call).collect();
        let (mut one, mut other) = (
            store.appender(log, 0, Origin::Server),
            store.appender(log, 0, Origin::Server),
        );
        for (turn, group) in entries.chunks(3).enumerate() {
            let group: Vec<_> = group.iter().collect();
            let appender = if turn % 2 == 0 { &mut one } else { &mut other };
            appender.entries_append(&group).await.unwrap();
            // Appending known ids uses up positions, and has no other effect.
            appender.entries_append(&group).await.unwrap();
        }
        let stored = database.entries().await;
        assert_eq!(
            stored.iter().map(|(_, _, id)| *id).collect::<Vec<_>>(),
            entries
                .iter()
                .map(|entry| entry.billable_id)
                .collect::<Vec<_>>()
        );
        assert!(stored.windows(2).all(|pair| pair[0].1 < pair[1].1));
    }
);

on_both_databases!(
    appenders_with_overlapping_ids_store_each_once_without_deadlock,
    async |database: Database| {
        let (store, log) = database.store().await;
        let entries: Vec<_> = (0..200).map(call).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for turn in 0..4 {
            let (mut appender, mut entries) =
                (store.appender(log, 0, Origin::Server), entries.clone());
            if turn % 2 == 1 {
                entries.reverse();
            }
            tasks.spawn(async move {
                let mut stored = Vec::new();
                for group in entries.chunks(20) {
                    let group: Vec<_> = group.iter().collect();
                    stored.extend(new_ids(appender.entries_append(&group).await));
                }
                stored
            });
        }
        let said_new = tasks.join_all().await.concat();
        assert_eq!(
            said_new.len(),
            200,
            "each entry is new for exactly one appender"
        );
        let (stored, expected) = (
            database.entries().await,
            entries.iter().map(|entry| entry.billable_id).collect(),
        );
        assert_eq!(
            stored.iter().map(|(_, _, id)| *id).collect::<HashSet<_>>(),
            expected
        );
        assert_eq!(
            stored
                .iter()
                .map(|(_, position, _)| position)
                .collect::<HashSet<_>>()
                .len(),
            200
        );
    }
);

on_both_databases!(
    a_billables_state_is_derived_from_its_entries,
    async |database: Database| {
        let (store, log) = database.store().await;
        let recorded = call(1);
        let mut appender = store.appender(log, 0, Origin::Server);
        appender.entries_append(&[&recorded]).await.unwrap();
        assert_eq!(
            find(&store, recorded.billable_id).await.unwrap().state(),
            BillableState::Unattributed
        );

        let text = |text: &str| Text::parse(Field::AccountId, text.to_owned()).unwrap();
        let pair = Pair {
            account_id: text("a"),
            customer_id: text("c"),
        };
        let attributed = Entry {
            kind: EntryKind::Attributed,
            pair: Some(pair.clone()),
            ..recorded.clone()
        };
        appender.entries_append(&[&attributed]).await.unwrap();
        let billable = find(&store, recorded.billable_id).await.unwrap();
        assert_eq!(
            (billable.state(), billable.pair()),
            (BillableState::Billable, Some(&pair))
        );

        let voided = Entry {
            kind: EntryKind::Voided,
            reason: Some(text("a test call")),
            ..attributed
        };
        appender.entries_append(&[&voided]).await.unwrap();
        let billable = find(&store, recorded.billable_id).await.unwrap();
        assert_eq!(
            (billable.state(), billable.recorded),
            (BillableState::Voided, recorded)
        );
        assert_eq!(billable.voided, Some(Box::new(voided)));
    }
);

on_both_databases!(
    an_append_of_refused_data_stores_nothing_and_the_next_one_works,
    async |database: Database| {
        let (store, log) = database.store().await;
        let good = call(1);
        // The domain types cannot express invalid data, for example half a pair, so the table gets
        // a rule that refuses valid data.
        let bad = entry(&[(Field::SessionId, "refuse me")], None);
        database
            .execute(if database.is_postgres() {
                "alter table entries add check (session_id <> 'refuse me')"
            } else {
                "create trigger refusing before insert on entries when new.session_id = 'refuse me'
             begin select raise(abort, 'refused'); end"
            })
            .await;
        let mut appender = store.appender(log, 0, Origin::Server);
        let refused = appender.entries_append(&[&good, &bad]).await;
        assert!(
            matches!(refused, Err(StoreError::Refused(_))),
            "{refused:?}"
        );
        assert!(database.ids().await.is_empty());
        assert_eq!(
            new_ids(appender.entries_append(&[&good]).await),
            [good.billable_id]
        );
    }
);

on_both_databases!(
    a_dropped_append_leaves_no_lock_behind,
    async |database: Database| {
        let (store, log) = database.store().await;
        let entries: Vec<_> = (0..500).map(call).collect();
        let entries: Vec<_> = entries.iter().collect();
        let mut appender = store.appender(log, 0, Origin::Server);
        for polls in 0..12 {
            // Drops the future after `polls` polls, at an arbitrary point of the transaction.
            let mut append = Box::pin(appender.entries_append(&entries));
            for _ in 0..polls {
                let poll = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(append.as_mut().poll(context))
                })
                .await;
                if poll.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(append);
        }
        assert!(appender.entries_append(&entries).await.is_ok());
        assert_eq!(database.ids().await.len(), 500);
    }
);

on_both_databases!(
    the_schema_and_the_log_are_created_once,
    async |database: Database| {
        let (_, first) = database.store().await;
        let (store, again) = database.store().await;
        assert_eq!(first, again);
        assert_eq!(
            store.log_prepare(None, Timestamp::now()).await.unwrap(),
            first
        );
        let more = store.log_prepare(Some(4), Timestamp::now()).await;
        assert!(matches!(
            more,
            Err(OpenError::PartitionsFixed { wanted: 4, made: 1 } | OpenError::OnePartition)
        ));
    }
);

on_both_databases!(tokens_are_stored_and_revoked, async |database: Database| {
    let (store, _) = database.store().await;
    assert!(!store.tokens_exist().await.unwrap());
    let secret = Secret::generate().unwrap();
    let grant = Grant {
        client: ClientName::parse("pbx-1").unwrap(),
        scopes: vec![Scope::Report, Scope::Bill],
        accounts: Some(["a,\"1", "ü"].map(str::to_owned).into()),
        sender: Some(Arc::new(SenderSettings {
            maps: vec!["callSid=/a".to_owned()],
            pair: Some(["a".to_owned(), "ü".to_owned()]),
            is_hook: true,
            ..SenderSettings::default()
        })),
    };
    let now = Timestamp::now();
    let token = Token {
        id: Uuid::now_v7(),
        grant,
        created_at: now,
        expires_at: now.plus_seconds(60),
        rate: Rate::parse("5/m"),
        last_used_at: None,
    };
    store.token_insert(&token, &secret.hash()).await.unwrap();
    // A token whose client has no row is not used, because its accounts are unknown.
    let listed = store.tokens_list().await.unwrap();
    assert!(matches!(
        &*listed,
        [Err(StoreError::Corrupt {
            column: "client",
            ..
        })]
    ));
    let Grant {
        client, accounts, ..
    } = &token.grant;
    let stored = store.client_ensure(client, accounts.as_deref()).await;
    assert_eq!(stored.unwrap(), *accounts);
    let stored = store.client_ensure(client, None).await;
    assert_eq!(stored.unwrap(), *accounts);
    let client = Client {
        name: client.clone(),
        accounts: accounts.clone(),
        tokens: 1,
    };
    assert_eq!(store.clients_list(now).await.unwrap(), [client]);
    let listed: Result<Vec<_>, _> = store.tokens_list().await.unwrap().into_iter().collect();
    assert_eq!(listed.unwrap(), [(secret.hash(), token.clone())]);
    assert!(store.token_revoke(token.id, now).await.unwrap());
    assert!(!store.token_revoke(token.id, now).await.unwrap());
    assert!(!store.token_revoke(Uuid::now_v7(), now).await.unwrap());
    assert!(store.tokens_list().await.unwrap().is_empty());
    assert!(store.tokens_exist().await.unwrap());
});

#[tokio::test]
async fn positions_increase_within_each_partition() {
    let database = Database::postgres().await;
    let (store, log) = database.store_with(4).await;
    assert_eq!(log.partitions, 4);
    let entries: Vec<_> = (0..100).map(call).collect();
    for partition in 0..4 {
        let own: Vec<_> = entries
            .iter()
            .filter(|entry| partition_of(entry.billable_id, 4) == partition)
            .collect();
        assert!(own.len() > 5, "ids spread over the partitions");
        let appended = store
            .appender(log, partition, Origin::Server)
            .entries_append(&own)
            .await;
        assert_eq!(new_ids(appended).len(), own.len());
        let found = store
            .entries_find(&[(partition, own[0].billable_id)])
            .await
            .unwrap();
        assert_eq!(
            (found.len(), found[0].partition, &found[0].entry),
            (1, partition, own[0])
        );
    }
    let stored = database.entries().await;
    assert_eq!(stored.len(), 100);
    let is_ordered = |pair: &[(i32, i64, Uuid)]| pair[0].0 < pair[1].0 || pair[0].1 < pair[1].1;
    assert!(stored.windows(2).all(is_ordered));
}

#[tokio::test]
async fn a_log_on_sqlite_has_one_partition() {
    let database = Database::sqlite();
    let store = Store::open(database.url(), 1).await.unwrap();
    store.migrate().await.unwrap();
    assert!(matches!(
        store.log_prepare(Some(2), Timestamp::now()).await,
        Err(OpenError::OnePartition)
    ));
}
