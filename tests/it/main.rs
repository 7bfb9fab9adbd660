//! Behaviour, through real sockets and real databases. Run with `scripts/test`; one test with
//! `scripts/test NAME`. A test is a sentence about what holds; `on_both_databases!` runs it on each
//! database. A file is about one surface:
//!
//! **HTTP routes**
//! - `report`: `POST /billables`: what a report becomes, and when it is recognised
//! - `batch`: several reports in one request
//! - `input`: bodies: what is refused, with which error, and that nothing is stored
//! - `senders`: stock telephony senders, to the byte, as the README sets them up
//! - `servicestack`: ServiceStack's routes, every operation by its name
//! - `list`, `export`, `check`, `feed`, `billing`: reads
//! - `void`, `sessions`: decisions
//! - `responses`: negotiation, `Prefer`, request ids, the shape of errors
//! - `access`: tokens, scopes, accounts
//! - `docs`, `openapi`: the documentation; `support/description.rs` holds every reply to it
//! - `probes`, `metrics`, `logs`: what the operator sees
//! - `vectors`: the exchanges that existing clients rely on
//!
//! **Connections**
//! - `connections`: slow, greedy and broken clients; the stop
//! - `limits`: what is under way at once, and who never keeps whom out
//! - `tls`: certificates, their reload, and how connections with TLS begin and end
//!
//! **Commands**
//! - `start`: the first start, refusals, settings as they are read. `access` has `token`, `probes`
//!   has `healthcheck`, `check` has `billables check`
//! - `import_export`, `copy` (with `rebuild-totals`), `backup`, `verify`: what goes in, out and
//!   over, and what is damaged
//! - `upgrade`: every earlier schema, several starts at once, programs of different ages
//!
//! **The store, and what happens to it**
//! - `store`: its contract
//! - `plans`: no statement scans the log
//! - `faults`: killed servers, databases that go away, several processes
//! - `outages`: databases that refuse, fill up, change their role or hang
//! - `recovery`: what a database comes back as; what is wrong with one row
//!
//! **For every input**
//! - `properties`: laws of parsers and ids
//! - `model`: random histories against a model in memory; everything that is read agrees
//!
//! **The project itself**
//! - `arrows`: which module may use which, and which circles are left
//! - `tidy`: rules about the source and the migrations
//! - `settings`, `readme`: what the documents say of the program

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, and reads the clock"
)]

mod support;

mod access;
mod arrows;
mod backup;
mod batch;
mod billing;
mod check;
mod connections;
mod copy;
mod docs;
mod export;
mod faults;
mod feed;
mod import_export;
mod input;
mod limits;
mod list;
mod logs;
mod metrics;
mod model;
mod openapi;
mod outages;
mod plans;
mod probes;
mod properties;
mod readme;
mod recovery;
mod report;
mod responses;
mod senders;
mod servicestack;
mod sessions;
mod settings;
mod start;
mod store;
mod tidy;
mod tls;
mod upgrade;
mod vectors;
mod verify;
mod void;
