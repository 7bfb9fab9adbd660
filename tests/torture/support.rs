//! The parts of the harness of `tests/it` that are needed here, and functions for these tests only.

#[path = "../it/support/client.rs"]
#[expect(dead_code, reason = "shared with tests/it, which uses all of it")]
pub(crate) mod client;
#[path = "../it/support/database.rs"]
#[expect(dead_code, reason = "shared with tests/it, which uses all of it")]
mod database;
#[path = "../it/support/description.rs"]
pub(crate) mod description;
#[path = "../it/support/server.rs"]
#[expect(dead_code, reason = "shared with tests/it, which uses all of it")]
pub(crate) mod server;

use std::net::SocketAddr;
use std::process::{Command, Stdio};

pub(crate) use client::Client;
pub(crate) use database::Database;
pub(crate) use server::Server;

/// The admin token of every server here. It is not in the database, so creating it writes nothing.
pub(crate) const ADMIN: &str = "0123456789abcdef0123456789abcdef";

/// Starts a server on a database, with extra settings.
pub(crate) fn start_with(database: &Database, settings: &[(&str, &str)]) -> Server {
    let own = [
        ("BILLABLES_ADMIN_TOKEN", ADMIN),
        ("RUST_LOG", "warn,billables::cli=info"),
    ];
    let environment = [&own, settings].concat();
    // This blocks until the server listens; the load continues meanwhile.
    tokio::task::block_in_place(|| Server::start_fresh(database, &environment))
}

/// Starts a server from another program on a database.
pub(crate) fn old_server(database: &Database, mut program: Command) -> Server {
    let settings = server::serve(database, &[], &[("BILLABLES_ADMIN_TOKEN", ADMIN)]);
    let settings = settings
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    program
        .arg("serve")
        .env_clear()
        .envs(settings)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null());
    tokio::task::block_in_place(|| Server::spawn(program, String::new()))
}

/// Starts a server on a database.
pub(crate) fn start(database: &Database) -> Server {
    start_with(database, &[])
}

/// Returns a client of the server.
pub(crate) fn client(server: &Server) -> Client {
    server.client_of(ADMIN)
}

/// Returns a client of a proxy in front of a server.
pub(crate) fn client_at(address: SocketAddr) -> Client {
    Client::new(address, ADMIN)
}
