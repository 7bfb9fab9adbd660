//! Records billable telephony events; each one is stored once and permanently, before the response
//! is sent.
//!
//! # What happens to a POST
//!
//! 1. [`server`] accepts the connection, reads the request head within a time limit, and passes the
//!    request on.
//! 2. `api/layers/context.rs` gives the request an id, a deadline and an access log line, and maps
//!    its path to a route of the [`contract`]: `/Billables.xml` and `/xml/reply/NewBillable` are
//!    the same operation in two route styles.
//! 3. `api/caller.rs` looks up the token in memory, waits for a reload if it is unknown, and
//!    enforces its rate; [`limits`] decides whether another request is admitted.
//! 4. `api/handlers/report.rs` reads the body within the limit on buffered bytes, takes one of the
//!    permits that limit concurrent reports, parses the body into raw reports with [`formats`], and
//!    applies the rules of [`billable::report`]. Each report gets its id from
//!    [`billable::identity`].
//! 5. [`writer`] queues the entries for their partition. The partition's task takes queued entries,
//!    up to a limit, and appends them through [`store`] in one transaction. An id that already
//!    exists is a replay.
//! 6. Once the transaction is durable, every request with an entry in it is answered as stored,
//!    replayed or (if the content differs) refused. Without a durable transaction the response is a
//!    5xx.
//!
//! Lists, exports and the feed are read from the store through [`reader`], totals through
//! [`totals`]. Single billables and sessions are read from the store directly.
//!
//! # Modules
//!
//! A module uses only modules above it in this list. `tests/it/arrows.rs` lists the modules that
//! each module may use.
//!
//! - [`billable`]: the domain: reports, their identity, the entries of the log. No I/O.
//! - [`token`]: secrets, and what they grant.
//! - [`contract`]: the API as data: operations, objects, errors with their statuses, paths. A path
//!   that is not in it gets a 404 before it reaches the router.
//! - [`formats`]: JSON, XML, JSV, CSV and forms. Parses bodies into reports, writes billables and
//!   errors as bodies, and negotiates the format. A new format goes here.
//! - [`senders`]: profiles of senders, one file for each: where the fields of a report are in what a
//!   sender sends. A new sender goes here.
//! - [`metrics`], [`telemetry`]: the metrics and the logs of the process.
//! - [`limits`]: what clients may use: bytes, concurrent requests, requests per period.
//! - [`store`]: the log and the tokens in PostgreSQL or SQLite. All SQL is here. The epoch is a
//!   random UUID that identifies one incarnation of the log; a restore replaces it.
//! - [`config`]: the settings.
//! - [`issuing`]: creates, rotates and lists tokens, for the API and the command line alike.
//! - [`writer`]: group commit, the core of the service. One task per partition. A caller gets its
//!   response only after the commit that contains its report is durable.
//! - [`reader`]: lists as of a snapshot of the log, and the feed of its entries.
//! - [`totals`]: counts by account, customer and day, and the roller that maintains them.
//! - [`attribution`]: writes the attributions of sessions to every partition of the log.
//! - [`docs`]: pages, DTOs, samples and OpenAPI, generated from the contract.
//! - [`api`]: the routing table, the handlers, the layers around them, authorization. [`server`]:
//!   connections, TLS, time limits, draining.
//! - [`cli`]: the commands, which use most other modules.
//!
//! # Invariants
//!
//! - **2xx means stored.** No success is written before the transaction is durable, and no mode
//!   or setting changes that.
//! - **Stored once, permanently.** The id is computed from the report's identity, if it has one,
//!   and the log's key, of which the id is a part, prevents duplicates. There is no cache of recent
//!   keys, and no id or key expires.
//! - The log is append-only: no statement updates or deletes an entry.
//! - Error statuses are in `contract/errors.rs`, SQL is in `store`. Only `api` and `cli` read the
//!   wall clock; they pass the timestamp to the modules that they call. Randomness comes only from
//!   `token::random_bytes` and `billable::identity::random_id`.
//!
//! # What is deliberately absent
//!
//! Prices and invoices; buffers that acknowledge before a commit; editing and erasing; caches of
//! query results; background compaction. The store is generic over the two databases inside only:
//! outside it is an enum, so that nothing above it is generic.

pub mod billable;
pub mod calendar;
pub mod token;

pub mod contract;
pub mod formats;
pub mod senders;

pub mod metrics;
pub mod telemetry;

pub mod limits;
pub mod store;
pub mod writer;

pub mod config;
pub mod issuing;

pub mod attribution;
pub mod reader;
pub mod totals;

pub mod docs;

pub mod api;
pub mod server;

pub mod cli;
