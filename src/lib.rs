//! Records billable telephony events: stored before the reply, once, forever.
//!
//! # What happens to a POST
//!
//! 1. [`server`] accepts the connection, reads the head within its time, and hands the request on.
//! 2. `api/layers/context.rs` gives it an id, a deadline and an access log line, and turns its path
//!    into a route of the [`contract`]: `/Billables.xml` and `/xml/reply/NewBillable` are one
//!    operation in different styles.
//! 3. `api/caller.rs` finds the token among those in memory and holds it to its rate; [`limits`]
//!    says whether there is room for another request.
//! 4. `api/handlers/report.rs` reads the body within the byte budget, takes a permit, has
//!    [`formats`] turn the body into raw reports, and applies the rules of [`billable::report`].
//!    Each report gets its id from [`billable::identity`].
//! 5. [`writer`] queues the entries for their partition. The partition's task takes whatever waits
//!    and has [`store`] append it in one transaction: an id that is there already is a replay.
//! 6. The transaction is durable. Every caller of the group is answered: stored, replayed or, where
//!    the content differs, refused. Without a durable transaction the answer is a 5xx.
//!
//! Lists, exports and the feed go from their handler through [`reader`] to the store, totals through
//! [`totals`]; single billables and sessions are read from the store itself.
//!
//! # Modules
//!
//! A module uses only modules above it in this list; `tests/it/arrows.rs` has a line for each that
//! says which.
//!
//! - [`billable`]: the domain. What is reported, its identity, the entries of the log. No I/O.
//! - [`token`]: secrets, and what they grant.
//! - [`contract`]: the API as data: operations, objects, errors with their statuses, paths. A path
//!   that is not in it is 404 before it reaches the router.
//! - [`formats`]: JSON, XML, JSV, CSV and forms: bodies into reports, billables and errors into
//!   bodies; negotiation. A new format goes here.
//! - [`metrics`], [`telemetry`]: what the process counts and logs.
//! - [`limits`]: what clients may use: bytes, requests at once, requests in a time.
//! - [`store`]: the log and the tokens in PostgreSQL or SQLite. All SQL is here.
//! - [`writer`]: group commit, the heart. One task a partition; nobody is answered before the
//!   commit that holds their report is durable.
//! - [`reader`]: lists as of a cut of the log, and the feed of its entries.
//! - [`totals`]: counts by account, customer and day; the roller that keeps them.
//! - [`attribution`]: carries decisions about sessions into the log.
//! - [`docs`]: pages, DTOs, samples and OpenAPI, printed from the contract.
//! - [`api`]: the routing table, handlers, the layers around them, who may do what. [`server`]:
//!   connections, TLS, time limits, draining.
//! - [`config`]: the settings. [`cli`]: the commands, which use all of it.
//!
//! # Invariants
//!
//! - **2xx means stored.** No success is written before the transaction is durable, and no mode
//!   or setting changes that.
//! - **Once, forever.** The id is computed from the report's identity; the primary key on it is
//!   the de-duplication. There is no cache of recent keys, and nothing expires.
//! - The log is append-only: no statement updates or deletes an entry.
//! - Statuses of errors are in `contract/errors.rs`, SQL is in `store`. The clock is read in `api`
//!   and `cli` and passed inward. Randomness comes from `token::random_bytes` and
//!   `billable::identity::random_id` alone.
//!
//! # What is deliberately absent
//!
//! Prices and invoices; buffers that acknowledge; editing and erasing; caches of query results;
//! background compaction. A trait over the two databases: they are an enum, so that nothing
//! above the store is generic.

pub mod billable;
pub mod token;

pub mod contract;
pub mod formats;

pub mod metrics;
pub mod telemetry;

pub mod limits;
pub mod store;
pub mod writer;

pub mod attribution;
pub mod reader;
pub mod totals;

pub mod docs;

pub mod api;
pub mod server;

pub mod cli;
pub mod config;
