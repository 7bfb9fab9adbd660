//! Upgrades: every earlier schema, concurrent starts, and programs of different versions.

use std::time::Duration;

use billables::billable::identity::{call_prefix, first_part_of};
use billables::billable::{ClientName, IdempotencyKey, Identity, Reported, Text, Timestamp};
use billables::store::Store;
use billables::token::Secret;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::client::{Reply, send};
use crate::support::server::{command, run};
use crate::support::{Client, Database, Server, on_both_databases};
use crate::verify::verify;

const ADMIN: &str = "0123456789abcdef0123456789abcdef";

/// The secret of the token that [`fill`] creates.
const SECRET: &str = "bil_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The schema of version 0.1.0, the first that has data. A schema before it is only left by an
/// interrupted migration of a new database.
const FIRST: i64 = 21;

fn call(database: &Database, arguments: &[&str]) -> (i32, String, String) {
    run(&mut command(database, arguments))
}

/// Writes values as SQL literals of PostgreSQL (`is_postgres`) or SQLite.
struct Sql {
    is_postgres: bool,
}

impl Sql {
    fn bytes(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.is_postgres {
            format!("'\\x{hex}'")
        } else {
            format!("x'{hex}'")
        }
    }

    fn uuid(&self, id: Uuid) -> String {
        if self.is_postgres {
            format!("'{id}'")
        } else {
            self.bytes(id.as_bytes())
        }
    }
}

/// A billable in the old log.
struct Old {
    id: Uuid,
    fields: [Option<&'static str>; 4],
    key: Option<&'static str>,
    occurred_at: &'static str,
    position: i64,
}

impl Old {
    fn new(
        fields: [Option<&'static str>; 4],
        key: Option<&'static str>,
        occurred_at: &'static str,
        position: i64,
    ) -> Self {
        let [account_id, customer_id, session_id, call_sid] =
            fields.map(|field| field.map(|field| Text::trusted(field.to_owned())));
        let reported = Reported {
            account_id,
            customer_id,
            session_id,
            call_sid,
        };
        let client = ClientName::parse("default").unwrap();
        let of_key = key.map(|key| IdempotencyKey::parse(key.as_bytes()).unwrap());
        let identity = Identity::of(of_key, None, &reported);
        let random = || Uuid::parse_str("019a0000-0000-7000-8000-000000000001").unwrap();
        Self {
            id: identity.id(&client, &reported, random),
            fields,
            key,
            occurred_at,
            position,
        }
    }

    /// Returns the statement that inserts an entry of this billable into the log.
    fn entry(
        &self,
        sql: &Sql,
        (kind, position): (u8, i64),
        pair: Option<(&str, &str)>,
        reason: Option<&str>,
    ) -> String {
        let text = |text: Option<&str>| text.map_or("null".to_owned(), |text| format!("'{text}'"));
        let [account, customer, session, call] = self.fields.map(text);
        let occurred_at = Timestamp::parse(self.occurred_at).unwrap().as_micros();
        let prefix = self.fields[3].map(call_prefix);
        let prefix = prefix.filter(|_| prefix != first_part_of(self.id));
        let prefix = prefix.map_or("null".to_owned(), |[a, b, c, d, e, f]| {
            i64::from_be_bytes([0, 0, a, b, c, d, e, f]).to_string()
        });
        format!(
            "insert into entries (partition, position, kind, billable_id, account_id, customer_id, session_id, call_sid,
                 billed_account_id, billed_customer_id, occurred_at, recorded_at, client, idempotency_key, key_index, reason,
                 call_prefix)
             values (0, {position}, {kind}, {}, {account}, {customer}, {session}, {call},
                 {}, {}, {occurred_at}, {}, 'default', {}, null, {}, {prefix});",
            sql.uuid(self.id),
            text(pair.map(|pair| pair.0)),
            text(pair.map(|pair| pair.1)),
            occurred_at + 1_000_000,
            text(self.key),
            text(reason),
        )
    }

    fn recorded(&self, sql: &Sql) -> String {
        let pair = self.fields[0].zip(self.fields[1]);
        self.entry(sql, (1, self.position), pair, None)
    }

    async fn report(&self, client: &Client) -> Reply {
        let [account, customer, session, call] = self.fields;
        let report = json!({
            "accountId": account, "customerId": customer, "sessionId": session, "callSid": call, "occurredAt": self.occurred_at,
        });
        match self.key {
            Some(key) => client.report_keyed(key, &report).await,
            None => client.report(&report).await,
        }
    }
}

fn old_log() -> [Old; 4] {
    let pair = [Some("acc"), Some("cus"), None, Some("CA1")];
    let keyed = [Some("acc"), None, Some("S1"), Some("CA1")];
    let open = [None, None, Some("S2"), Some("CA2")];
    let random = [None, None, Some("S3"), None];
    [
        Old::new(pair, None, "2026-03-01T09:00:00.000000Z", 1),
        Old::new(keyed, Some("k-1"), "2026-03-01T09:01:00.000000Z", 2),
        // A repeated report used up position 3.
        Old::new(open, None, "2026-03-01T09:02:00.000000Z", 4),
        Old::new(random, None, "2026-03-01T09:03:00.000000Z", 5),
    ]
}

/// Creates the schema of a migration, with the data that a program of version 0.1.0 would have
/// written.
async fn fill(database: &Database, version: i64) {
    database.migrate_to(version).await;
    if version < FIRST {
        return;
    }
    let sql = Sql {
        is_postgres: database.is_postgres(),
    };
    let epoch = Uuid::new_v8([7; 16]);
    let old = old_log();
    let mut statements = format!(
        "insert into log (id, epoch, partitions, created_at) values (1, {}, 1, 1772355600000000);
         insert into log_heads (partition, next_position) values (0, 8);
         insert into clients (client, accounts) values ('default', null);
         insert into tokens (id, client, secret_hash, scopes, created_at, expires_at, revoked_at)
         values ({}, 'default', {}, 'report,read,bill', 1772355600000000, null, null);",
        sql.uuid(epoch),
        sql.uuid(Uuid::new_v8([8; 16])),
        sql.bytes(Secret::new(SECRET.to_owned()).hash().as_bytes()),
    );
    for billable in &old {
        statements.push_str(&billable.recorded(&sql));
    }
    let [pair, keyed, ..] = &old;
    statements.push_str(&keyed.entry(&sql, (2, 6), Some(("acc", "cus-2")), None));
    statements.push_str(&pair.entry(&sql, (3, 7), Some(("acc", "cus")), Some("a test")));
    // The totals include the positions up to 2.
    statements.push_str(&format!(
        "insert into cursor_keys (id, secret) values (1, {});
         insert into sessions (session_id, account_id, customer_id, client, decided_at, is_complete)
         values ('S1', 'acc', 'cus-2', 'default', 1772355600000000, {});
         insert into session_pairs (partition, session_id, account_id, customer_id) values (0, 'S1', 'acc', 'cus-2');
         insert into watermarks (partition, position) values (0, 2);",
        sql.bytes(&[9; 32]),
        if sql.is_postgres { "true" } else { "1" },
    ));
    for (level, starts_at) in [
        (1, 1_772_355_600_000_000_i64),
        (2, 1_772_323_200_000_000),
        (3, 1_772_323_200_000_000),
    ] {
        statements.push_str(&format!(
            "insert into buckets (partition, level, account_id, customer_id, starts_at, billable_count, voided_count)
             values (0, {level}, 'acc', 'cus', {starts_at}, 1, 0), (0, {level}, '', '', {starts_at}, 1, 0);"
        ));
    }
    database.execute_owned(statements).await;
}

/// Returns the list as (id, state), newest first, the totals as (customer, billable, voided), and
/// the number of unattributed billables.
async fn everything(client: &Client) -> (Vec<(Uuid, String)>, Vec<(String, i64, i64)>, i64) {
    let list = client.get("/billables").await.json();
    let items = list["items"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = items.map(|item| (text(&item["id"]).parse().unwrap(), text(&item["state"])));
    let path = "/billing?accountId=acc&startDate=2026-03-01&endDate=2026-03-01";
    let totals = client.get(path).await.json();
    let customers = totals["customers"].as_array().unwrap().iter();
    let number = |value: &Value| value.as_i64().unwrap();
    let customers = customers.map(|row| {
        let counts = (number(&row["billableCount"]), number(&row["voidedCount"]));
        (text(&row["customerId"]), counts.0, counts.1)
    });
    (
        items.collect(),
        customers.collect(),
        number(&totals["unattributedCount"]),
    )
}

/// Checks that a server has all the data that [`fill`] inserted, and works.
async fn check_old_log(client: &Client) {
    let old = old_log();
    let (list, customers, unattributed) = everything(client).await;
    let states = ["voided", "billable", "unattributed", "unattributed"];
    let expected = old.iter().zip(states).rev();
    let expected: Vec<_> = expected
        .map(|(old, state)| (old.id, state.to_owned()))
        .collect();
    assert_eq!(list, expected);
    let customer = |customer: &str, billable, voided| (customer.to_owned(), billable, voided);
    assert_eq!(customers, [customer("cus", 0, 1), customer("cus-2", 1, 0)]);
    assert_eq!(unattributed, 2);
    let of_call = client.get("/billables?callSid=CA1").await.json();
    assert_eq!(of_call["items"].as_array().unwrap().len(), 2);
    for billable in &old[..3] {
        let reply = billable.report(client).await;
        assert_eq!((reply.status, reply.id()), (200, billable.id));
        assert_eq!(reply.header("idempotent-replayed"), Some("true"));
    }
    // New operations work on old data.
    let pair = json!({"accountId": "acc", "customerId": "cus-2"});
    for session in ["S1", "S2"] {
        let request = client.request(Method::PUT, &format!("/sessions/{session}"));
        assert_eq!(send(request.json(&pair)).await.status, 200);
    }
    let late =
        json!({"sessionId": "S1", "callSid": "CA-late", "occurredAt": "2026-03-01T10:00:00Z"});
    let late = client.report(&late).await;
    assert_eq!(
        (late.status, &late.json()["billedCustomerId"]),
        (201, &json!("cus-2"))
    );
    let void = client.post(&format!("/billables/{}/void", old[0].id));
    assert_eq!(
        send(void.json(&json!({"reason": "another"}))).await.status,
        200
    );
    let (list, customers, unattributed) = everything(client).await;
    assert_eq!((list.len(), unattributed), (5, 1));
    assert_eq!(customers, [customer("cus", 0, 1), customer("cus-2", 3, 0)]);
}

fn start(database: &Database) -> Server {
    Server::start_fresh(database, &[("BILLABLES_ADMIN_TOKEN", ADMIN)])
}

/// Starts servers concurrently.
async fn start_together(database: &Database, count: usize) -> Vec<Server> {
    let starts = (0..count).map(|_| {
        let database = database.clone();
        tokio::task::spawn_blocking(move || start(&database))
    });
    let starts: Vec<_> = starts.collect();
    let mut servers = Vec::new();
    for started in starts {
        servers.push(started.await.unwrap());
    }
    servers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn concurrent_opens_of_a_file_that_is_not_yet_in_wal_mode_all_succeed() {
    for _ in 0..20 {
        let database = Database::sqlite();
        database.migrate_to(FIRST).await;
        let opening: Vec<_> = (0..8)
            .map(|_| {
                let url = database.url().to_owned();
                tokio::spawn(async move { Store::open(&url, 1).await })
            })
            .collect();
        for opening in opening {
            opening.await.unwrap().unwrap().close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_file_on_which_several_servers_begin_is_never_taken_for_another_ones() {
    let database = Database::sqlite();
    database.migrate();
    let begin = async |url: String| {
        let store = Store::open(&url, 1).await.unwrap();
        for _ in 0..300 {
            store.generation_begin().await.unwrap();
        }
        store.close().await;
    };
    let mut servers = JoinSet::new();
    for _ in 0..4 {
        servers.spawn(begin(database.url().to_owned()));
    }
    // Each look is that of another server that starts meanwhile.
    while !servers.is_empty() {
        let store = Store::open(database.url(), 1).await.unwrap();
        store.close().await;
        while let Some(begun) = servers.try_join_next() {
            begun.unwrap();
        }
    }
}

on_both_databases!(
    every_earlier_schema_is_migrated_with_its_data,
    async |database: Database| {
        let latest = Database::last_migration();
        // SQLite has no migration 4.
        for version in (1..=latest).filter(|version| *version != 4) {
            let database = if database.is_postgres() {
                Database::postgres().await
            } else {
                Database::sqlite()
            };
            fill(&database, version).await;
            assert_eq!(database.migrated_to().await, version);
            let server = start(&database);
            if version < FIRST {
                let client = server.client_of(ADMIN);
                assert_eq!(everything(&client).await, (vec![], vec![], 0));
                assert_eq!(
                    client
                        .report(&json!({"sessionId": "S", "callSid": "CA"}))
                        .await
                        .status,
                    201
                );
            } else {
                check_old_log(&server.client_of(SECRET)).await;
                let (code, listed, _) = call(&database, &["token", "list"]);
                assert_eq!((code, listed.lines().count()), (0, 2), "{listed}");
            }
            drop(server);
            assert_eq!(database.migrated_to().await, latest);
            let (code, output, errors) = verify(&database);
            assert_eq!(code, 0, "{version}: {output}{errors}");
        }
    }
);

on_both_databases!(
    a_database_of_an_unreleased_build_is_refused,
    async |database: Database| {
        database.migrate_to(1).await;
        // An earlier build's first migration had another text.
        database
            .execute(if database.is_postgres() {
                "update _sqlx_migrations set checksum = decode('00', 'hex')"
            } else {
                "update _sqlx_migrations set checksum = x'00'"
            })
            .await;
        for arguments in [&["serve"][..], &["verify"], &["token", "list"]] {
            let (code, _, errors) = call(&database, arguments);
            assert_eq!(code, 1, "{errors}");
            assert!(
                errors.contains("was created by a build from before version 0.1.0"),
                "{errors}"
            );
        }
        assert_eq!(database.migrated_to().await, 1, "nothing was changed");
    }
);

on_both_databases!(
    servers_that_start_concurrently_on_an_old_schema_all_serve,
    async |database: Database| {
        for version in [0, 3, FIRST] {
            let database = if database.is_postgres() {
                Database::postgres().await
            } else {
                Database::sqlite()
            };
            fill(&database, version).await;
            let servers = start_together(&database, 5).await;
            let mut new = 0;
            for server in &servers {
                let client = server.client_of(ADMIN);
                // On SQLite, the first copies what a killed program left in the WAL, which the
                // others may delay.
                let ready = async { while client.get("/readyz").await.status != 200 {} };
                timeout(Duration::from_secs(60), ready)
                    .await
                    .expect("ready");
                let reply = client
                    .report(&json!({"sessionId": "S1", "callSid": "CA-new"}))
                    .await;
                new += usize::from(reply.status == 201);
                assert!(matches!(reply.status, 200 | 201), "{reply:?}");
                if version >= FIRST {
                    let reply = old_log()[0].report(&server.client_of(SECRET)).await;
                    assert_eq!((reply.status, reply.id()), (200, old_log()[0].id));
                }
            }
            assert_eq!(new, 1);
            drop(servers);
            assert_eq!(database.migrated_to().await, Database::last_migration());
            assert_eq!(verify(&database).0, 0);
        }
    }
);

on_both_databases!(
    a_server_works_during_a_newer_programs_migration_and_can_restart_after_it,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let (stop, stopped) = watch::channel(false);
        let reporting = tokio::spawn({
            let client = client.clone();
            async move {
                let mut number = 0;
                while !*stopped.borrow() {
                    let report = json!({"accountId": "acc", "customerId": "cus", "callSid": format!("CA{number}")});
                    assert_eq!(client.report(&report).await.status, 201);
                    assert_eq!(client.report(&report).await.status, 200);
                    assert_eq!(
                        client.get("/billables?accountId=acc&limit=5").await.status,
                        200
                    );
                    number += 1;
                }
                number
            }
        });
        let (code, before, _) = call(
            &database,
            &["token", "create", "--client", "before", "--scope", "read"],
        );
        assert_eq!(code, 0);
        database
            .migrate_as_newer(&[
                "alter table tokens add column note text",
                "alter table entries add column trunk text",
                "create table statements (id integer primary key)",
                "create index entries_by_trunk on entries (trunk) where trunk is not null",
            ])
            .await;
        database
            .execute("update tokens set note = 'of a newer program'")
            .await;
        // A command of the older program opens the migrated tables.
        let (code, after, errors) = call(
            &database,
            &["token", "create", "--client", "after", "--scope", "read"],
        );
        assert_eq!(code, 0, "{errors}");
        assert!(
            errors.contains("a newer version has migrated the database"),
            "{errors}"
        );
        stop.send(true).unwrap();
        assert!(reporting.await.unwrap() > 0);
        let again = start(&database);
        again
            .until_logged("a newer version has migrated the database")
            .await;
        for (server, secret) in [
            (&server, &before),
            (&server, &after),
            (&again, &before),
            (&again, &after),
        ] {
            let client = server.client_of(secret.trim());
            let read = async { while client.get("/billables").await.status != 200 {} };
            timeout(Duration::from_secs(60), read)
                .await
                .expect("both tokens are accepted");
        }
        let client = again.client_of(server.secret());
        let pair = json!({"accountId": "acc", "customerId": "cus"});
        assert_eq!(
            client
                .report(&json!({"sessionId": "S", "callSid": "CA-open"}))
                .await
                .status,
            201
        );
        assert_eq!(
            send(client.request(Method::PUT, "/sessions/S").json(&pair))
                .await
                .status,
            200
        );
        let id = client
            .report(&json!({"accountId": "acc", "customerId": "cus", "callSid": "CA0"}))
            .await
            .id();
        assert_eq!(
            send(
                client
                    .post(&format!("/billables/{id}/void"))
                    .json(&json!({}))
            )
            .await
            .status,
            200
        );
        assert_eq!(client.get("/readyz").await.status, 200);
        let listed: Value =
            serde_json::from_str(&call(&database, &["token", "list", "--json"]).1).unwrap();
        let token = listed
            .as_array()
            .unwrap()
            .iter()
            .find(|token| token["client"] == "after")
            .unwrap();
        assert_eq!(
            call(
                &database,
                &["token", "revoke", token["id"].as_str().unwrap()]
            )
            .0,
            0
        );
        assert_eq!(call(&database, &["rebuild-totals"]).0, 0);
        assert_eq!(call(&database, &["migrate"]).0, 0);
        assert_eq!(verify(&database).0, 0);
    }
);
