//! What reads cost on a large log in PostgreSQL. `scripts/bench-reads` creates the log and runs
//! this.
//!
//! Each read alternates with a primary-key select through the same driver, so that a noisy machine
//! affects both. The medians are compared.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::time::{Duration, Instant};

use billables::billable::{Billable, BillableState, Field, Text, Timestamp};
use billables::calendar::{Days, Zone};
use billables::formats::Format;
use billables::formats::record::Record;
use billables::reader::{Filter, List};
use billables::store::{DerivedPage, LogInfo, Store};
use billables::totals::{TotalsOf, TotalsPages};
use sqlx::{PgPool, Row};
use uuid::Uuid;

const ROUNDS: usize = 300;
const PAGE: usize = 100;

const PRIMARY_KEY: &str = "select partition, position, billable_id, kind, account_id, customer_id, session_id,
    call_sid, billed_account_id, billed_customer_id, occurred_at, recorded_at, client, idempotency_key,
    key_index, reason from entries where partition = $1 and billable_id = $2 and kind = 1";

struct Bench {
    store: Store,
    log: LogInfo,
    pool: PgPool,
    /// Some ids with their sessions, calls and accounts.
    samples: Vec<(Uuid, String, String, String)>,
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn text(value: &str) -> Option<Text> {
    Some(Text::parse(Field::AccountId, value.to_owned()).unwrap())
}

fn serialised(billables: &[Billable]) -> usize {
    let rows = billables
        .iter()
        .map(|billable| Record::billable(billable).write_item(Format::Json, false));
    rows.map(|row| row.len()).sum()
}

impl Bench {
    async fn primary_key(&self, round: usize) -> Duration {
        let (id, ..) = &self.samples[(round * 7 + 3) % self.samples.len()];
        let start = Instant::now();
        let row = sqlx::query(PRIMARY_KEY)
            .bind(0)
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert_eq!(row.get::<Uuid, _>("billable_id"), *id);
        start.elapsed()
    }

    async fn page(&self, filter: Filter) -> Vec<Billable> {
        let mut list = List::begin(self.store.clone(), self.log, filter, None)
            .await
            .unwrap();
        list.read(PAGE).await.unwrap()
    }

    /// Compares a read with a primary-key select, and measures the serialisation of its rows.
    async fn compare(&self, name: &str, read: impl AsyncFn(&Self, usize) -> Vec<Billable>) {
        let (mut reads, mut keys, mut writes, mut rows) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for round in 0..ROUNDS {
            keys.push(self.primary_key(round).await);
            let start = Instant::now();
            let billables = read(self, round).await;
            assert!(serialised(&billables) > 0, "{name} finds something");
            reads.push(start.elapsed());
            let start = Instant::now();
            serialised(&billables);
            writes.push(start.elapsed());
            rows += billables.len();
        }
        let (read, key, write) = (median(reads), median(keys), median(writes));
        let times = (read.saturating_sub(write)).as_secs_f64() / key.as_secs_f64();
        println!(
            "| {name} | {} | {key:.1?} | {write:.1?} | {read:.1?} | {times:.1} | ≤ 5 |",
            rows / ROUNDS
        );
    }

    /// Compares a check, by a client that is limited to other accounts, of ids that exist with one of
    /// ids that do not.
    async fn check_of_others(&self) {
        let statement = "select billable_id from entries where kind = 1 limit 10000";
        let existing: Vec<Uuid> = sqlx::query_scalar(statement)
            .fetch_all(&self.pool)
            .await
            .unwrap();
        let changed = |id: &Uuid| (0, Uuid::from_u128(id.as_u128() ^ 1));
        let missing: Vec<_> = existing.iter().map(changed).collect();
        let existing: Vec<_> = existing.into_iter().map(|id| (0, id)).collect();
        let timed = async |ids: &[(u32, Uuid)]| {
            let start = Instant::now();
            for ids in ids.chunks(500) {
                let found = self.store.entries_find_of(ids, &["of nobody"]).await;
                assert!(found.unwrap().is_empty());
            }
            start.elapsed()
        };
        let (mut of_others, mut of_nobody) = (Vec::new(), Vec::new());
        for _ in 0..30 {
            of_others.push(timed(&existing).await);
            of_nobody.push(timed(&missing).await);
        }
        let (of_others, of_nobody) = (median(of_others), median(of_nobody));
        let times = of_others.as_secs_f64() / of_nobody.as_secs_f64();
        println!(
            "| 10,000 ids of other accounts, and 10,000 missing ones | {of_others:.1?} | {of_nobody:.1?} | {times:.2} | 0.9 to 1.1 |"
        );
    }

    /// Measures a read that has a goal of its own.
    async fn timed(&self, name: &str, goal: &str, read: impl AsyncFn(&Self) -> usize) {
        let (mut times, mut rows) = (Vec::new(), 0);
        for _ in 0..100 {
            let start = Instant::now();
            rows = read(self).await;
            times.push(start.elapsed());
        }
        println!("| {name} | {rows} | {:.1?} | {goal} |", median(times));
    }

    /// The totals of June of an account, at a cut this many positions ago.
    async fn totals_ago(&self, account: &str, positions: i64, by_day: bool) -> usize {
        let zone = Zone::find("Europe/Rome").unwrap();
        let days = Days::parse(zone, "2026-06-01", "2026-06-30").unwrap();
        let of = TotalsOf {
            days,
            by_day,
            account: Text::parse(Field::AccountId, account.to_owned()).ok(),
            customer: None,
            with_unattributed: false,
        };
        let heads = self.store.heads(self.log).await.unwrap();
        let cut = heads.iter().map(|head| head - positions).collect();
        let mut pages = TotalsPages::new(self.store.clone(), self.log, of).at(cut);
        pages.next().await.unwrap().len()
    }

    async fn desk(&self, count: i64) {
        let page = |limit| DerivedPage {
            after: "",
            accounts: None,
            limit,
        };
        println!("\n| read | rows | median of 100 | goal |");
        println!("|---|---|---|---|");
        self.timed("accounts", "≤ 10 ms", async |bench| {
            let page = bench.store.accounts_page(bench.log, &page(100)).await;
            page.unwrap().0.len()
        })
        .await;
        self.timed("undecided sessions", "≤ 10 ms", async |bench| {
            let page = bench.store.undecided_page(bench.log, &page(1000)).await;
            page.unwrap().0.len()
        })
        .await;
        self.timed(
            "the first page of what is unattributed",
            "",
            async |bench| {
                let filter = Filter {
                    state: Some(BillableState::Unattributed),
                    ..Filter::default()
                };
                bench.page(filter).await.len()
            },
        )
        .await;
        let largest = "account-001";
        self.timed("a month's totals, now", "", async |bench| {
            bench.totals_ago(largest, 0, false).await
        })
        .await;
        self.timed("at a cut 600 entries ago", "≤ 2 × now", async |bench| {
            bench.totals_ago(largest, 600, false).await
        })
        .await;
        self.timed("at a cut a month ago", "≤ 0.5 s", async |bench| {
            bench.totals_ago(largest, count / 12, false).await
        })
        .await;
        self.timed("by day and customer", "≤ 10 ms", async |bench| {
            bench.totals_ago(largest, 0, true).await
        })
        .await;
    }

    async fn totals(&self, account: &str) {
        let days = Days::parse(Zone::find("UTC").unwrap(), "2026-06-01", "2026-06-30").unwrap();
        let of = || TotalsOf {
            days: days.clone(),
            by_day: false,
            account: Text::parse(Field::AccountId, account.to_owned()).ok(),
            customer: None,
            with_unattributed: true,
        };
        let boundaries = days.boundaries(false);
        let (mut totals, mut groups) = (Vec::new(), Vec::new());
        for _ in 0..15 {
            let start = Instant::now();
            let mut pages = TotalsPages::new(self.store.clone(), self.log, of());
            let read = pages.next().await.unwrap();
            totals.push(start.elapsed());
            let start = Instant::now();
            let grouped = sqlx::query(
                "select billed_customer_id, count(*) from entries
                 where coalesce(billed_account_id, account_id) = $1 and occurred_at >= $2 and occurred_at < $3
                 group by billed_customer_id",
            );
            let grouped = grouped
                .bind(account)
                .bind(boundaries[0])
                .bind(boundaries[1]);
            let grouped = grouped.fetch_all(&self.pool).await.unwrap();
            groups.push(start.elapsed());
            assert_eq!(read.len(), grouped.len());
            let counted: i64 = grouped.iter().map(|row| row.get::<i64, _>(1)).sum();
            assert_eq!(
                read.iter().map(|total| total.billable_count).sum::<i64>(),
                counted
            );
        }
        let (total, group) = (median(totals), median(groups));
        let times = group.as_secs_f64() / total.as_secs_f64();
        println!(
            "| a month by customer, largest account | {total:.1?} | {group:.1?} | {times:.0} | ≥ 50 |"
        );
    }
}

#[tokio::main]
async fn main() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL: run scripts/bench-reads");
    let store = Store::open(&url, 4).await.unwrap();
    store.migrate().await.unwrap();
    let log = store.log_prepare(None, Timestamp::now()).await.unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let samples = sqlx::query_as(
        "select billable_id as id, session_id, call_sid, account_id from entries tablesample system (0.05) where account_id is not null limit 2000",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let bench = Bench {
        store,
        log,
        pool,
        samples,
    };
    println!(
        "| read | rows | primary key | serialisation | read and serialised | (read - serialisation) / primary key | goal |"
    );
    println!("|---|---|---|---|---|---|---|");
    bench
        .compare("a billable by id", async |bench, round| {
            let id = bench.samples[round].0;
            let found = bench.store.entries_find(&[(0, id)]).await.unwrap();
            Billable::assemble(found.into_iter().map(|log_entry| log_entry.entry))
                .into_values()
                .collect()
        })
        .await;
    bench
        .compare("by session", async |bench, round| {
            bench
                .page(Filter {
                    session_id: text(&bench.samples[round].1),
                    ..Filter::default()
                })
                .await
        })
        .await;
    bench
        .compare("by call", async |bench, round| {
            bench
                .page(Filter {
                    call_sid: text(&bench.samples[round].2),
                    ..Filter::default()
                })
                .await
        })
        .await;
    bench
        .compare("the first page of an account", async |bench, round| {
            bench
                .page(Filter {
                    account_id: text(&bench.samples[round].3),
                    ..Filter::default()
                })
                .await
        })
        .await;
    bench
        .compare("a page within an account", async |bench, round| {
            let day = 1 + round % 28;
            let to = Timestamp::parse(&format!("2026-05-{day:02}T12:00:00Z"));
            bench
                .page(Filter {
                    account_id: text(&bench.samples[round].3),
                    to,
                    ..Filter::default()
                })
                .await
        })
        .await;
    println!("\n| totals | from buckets | group by over the entries | times faster | goal |");
    println!("|---|---|---|---|---|");
    bench.totals("account-001").await;
    println!("\n| check | of others | missing | ratio | goal |");
    println!("|---|---|---|---|---|");
    bench.check_of_others().await;
    let count = bench.store.heads(log).await.unwrap().iter().sum();
    bench.desk(count).await;
    bench.store.close().await;
}
