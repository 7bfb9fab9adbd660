//! Records billable telephony events: stored before the reply, once, for ever.
//!
//! # The map
//!
//! A request moves one way: [`server`] → [`api`] → [`formats`] → [`writer`] → [`store`].
//!
//! - [`billable`]: the vocabulary. What is reported, its identity, the entries of the log.
//! - [`token`]: secrets, and what they grant.
//! - [`store`]: the log and the tokens in PostgreSQL or SQLite. All SQL is here.
//! - [`limits`]: what clients may hold, at once and in a time.
//! - [`writer`]: group commit, the heart. One task a partition; nobody is answered before the
//!   commit that holds his report is durable.
//! - [`reader`]: lists and the feed, from the log as of a cut.
//! - [`totals`]: counts by account, customer and day; the roller that keeps them.
//! - [`attribution`]: carries decisions about sessions into the log.
//! - [`formats`]: bodies and queries into reports, billables and errors into bodies.
//! - [`contract`]: the API as data: operations, objects, errors, routes. The router takes no route
//!   that is not in it.
//! - [`docs`]: pages, DTOs, samples and OpenAPI, printed from the contract.
//! - [`api`]: routes and their order of checks, who may do what, status codes.
//! - [`server`]: connections, TLS, time limits, draining.
//! - [`cli`]: the commands. [`config`]: the settings. [`telemetry`]: logs.
//!   [`metrics`]: what the process counts.
//!
//! # Invariants
//!
//! - A module knows at most what stands to its right in the flow, and the vocabulary, which
//!   knows nobody. `tests/it/tidy.rs` checks it.
//! - **2xx means stored.** No success is written before the transaction is durable, and no mode
//!   or setting changes that.
//! - **Once, for ever.** The id is computed from the report's identity; the primary key on it is
//!   the de-duplication. There is no cache of recent keys, and nothing expires.
//! - The log is append-only: no statement updates or deletes an entry.
//! - The clock is read in `api` and `cli`, randomness is made there and in [`token`]; the rest is
//!   handed values.
//!
//! # What is deliberately absent
//!
//! Prices and invoices; buffers that acknowledge; editing and erasing; caches of query results;
//! background compaction. A trait over the two databases: they are an enum, so that nothing
//! above the store is generic.

pub mod billable;
pub mod token;

pub mod limits;
pub mod store;
pub mod writer;

pub mod attribution;
pub mod reader;
pub mod totals;

pub mod formats;

pub mod contract;
pub mod docs;

pub mod api;
pub mod server;

pub mod cli;
pub mod config;
pub mod metrics;
pub mod telemetry;
