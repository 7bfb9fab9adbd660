//! The test harness: a database and a server for each test, and a client to call it.

pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod clock;
mod database;
pub(crate) mod description;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod server;

pub(crate) use certificate::Certificate;
pub(crate) use client::Client;
pub(crate) use database::{Cluster, Database};
pub(crate) use server::Server;

/// Turns a test that takes a database into two tests, `name::sqlite` and `name::postgres`.
///
/// Called like a function, so that rustfmt formats the body.
macro_rules! on_both_databases {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            async fn test(database: Database) {
                ($test)(database).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                test(Database::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                test(Database::postgres().await).await;
            }
        }
    };
}
pub(crate) use on_both_databases;
