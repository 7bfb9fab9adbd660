//! The benchmark's baselines that are written in Rust. `scripts/bench` runs them.
//!
//!   rivals empty  ADDRESS           parses the same JSON and answers 201
//!   rivals insert ADDRESS URL       one `INSERT … ON CONFLICT` in PostgreSQL per request
//!   rivals transaction ADDRESS URL  one transaction in SQLite per request

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a baseline for a measurement"
)]

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use serde::Deserialize;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlitePool};
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    account_id: Option<String>,
    customer_id: Option<String>,
    session_id: Option<String>,
    call_sid: Option<String>,
}

fn parse(body: &[u8]) -> Report {
    serde_json::from_slice(body).unwrap()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

async fn empty(body: Bytes) -> StatusCode {
    std::hint::black_box(parse(&body));
    StatusCode::CREATED
}

async fn insert(State(pool): State<PgPool>, body: Bytes) -> StatusCode {
    let report = parse(&body);
    let id = Uuid::new_v4();
    sqlx::query(
        "insert into entries (partition, position, kind, billable_id, account_id, customer_id, session_id,
             call_sid, billed_account_id, billed_customer_id, occurred_at, recorded_at, client)
         values (0, nextval('positions'), 1, $1, $2, $3, $4, $5, $2, $3, $6, $6, 'bench')
         on conflict (partition, billable_id, kind) do nothing",
    )
    .bind(id)
    .bind(report.account_id)
    .bind(report.customer_id)
    .bind(report.session_id)
    .bind(report.call_sid)
    .bind(now())
    .execute(&pool)
    .await
    .unwrap();
    StatusCode::CREATED
}

async fn transaction(State(pool): State<SqlitePool>, body: Bytes) -> StatusCode {
    let report = parse(&body);
    let id = Uuid::new_v4();
    let mut transaction = pool.begin_with("begin immediate").await.unwrap();
    sqlx::query(
        "insert into entries (partition, position, kind, billable_id, account_id, customer_id, session_id,
             call_sid, billed_account_id, billed_customer_id, occurred_at, recorded_at, client)
         select 0, next_position, 1, $1, $2, $3, $4, $5, $2, $3, $6, $6, 'bench' from log_heads where true
         on conflict (billable_id, kind) do nothing",
    )
    .bind(id)
    .bind(report.account_id)
    .bind(report.customer_id)
    .bind(report.session_id)
    .bind(report.call_sid)
    .bind(now())
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query("update log_heads set next_position = next_position + 1")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    StatusCode::CREATED
}

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (address, app) = match *arguments {
        ["empty", address, ..] => (address, Router::new().route("/billables", post(empty))),
        ["insert", address, url, ..] => {
            // As many connections as the other baselines have.
            let pool = PgPoolOptions::new().max_connections(20);
            let pool = pool.connect(url).await.unwrap();
            (
                address,
                Router::new()
                    .route("/billables", post(insert))
                    .with_state(pool),
            )
        }
        ["transaction", address, url, ..] => {
            let options: SqliteConnectOptions = url.parse().unwrap();
            let options = options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full);
            // SQLite has one writer; more connections would only wait for its lock.
            let pool = SqlitePoolOptions::new().max_connections(1);
            let pool = pool.connect_with(options).await.unwrap();
            (
                address,
                Router::new()
                    .route("/billables", post(transaction))
                    .with_state(pool),
            )
        }
        // A plain `cargo bench` runs this too, without arguments.
        _ => return,
    };
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    axum::serve(listener, app).await.unwrap();
}
