//! Integration tests, through real sockets and databases. `scripts/test` runs all of them,
//! `scripts/test NAME` runs one.
//!
//! The name of a test is a sentence about behaviour; `on_both_databases!` runs it on each database.
//! Each file covers one part of the program:
//!
//! **HTTP routes**
//! - `report`: `POST /billables`: what a report stores, and how repeats are detected
//! - `batch`: several reports in one request
//! - `input`: invalid requests: each gets its error and stores nothing
//! - `profiles`: senders' profiles, mappings and hooks
//! - `senders`: requests of stock telephony senders, byte for byte, set up as in the manual
//! - `servicestack`: ServiceStack's routes, every operation by its name
//! - `list`, `calls`, `export`, `check`, `feed`, `billing`: reads; `periods`: the same days and cuts
//!   in all of them; `provenance`: who did what, and when; `listing`: accounts and undecided
//!   sessions; `month`: a clerk's month from beginning to end
//! - `void`, `sessions`: decisions about billables: voiding and attribution
//! - `responses`: content negotiation, `Prefer`, request ids, the shape of errors
//! - `access`: tokens, scopes, accounts; `tokens`: how the API creates, lists and ends tokens
//! - `refusals`: refused requests can be found: in the log, the metrics and `GET /refusals`
//! - `browsers`: what a browser gets: pages for errors, and the way to the documentation
//! - `docs`, `openapi`: the documentation; `support/description.rs` checks every reply against it
//! - `probes`, `metrics`, `logs`: what the operator sees
//! - `vectors`: the requests and responses that existing clients rely on
//!
//! **Connections**
//! - `connections`: slow, greedy and broken clients; shutdown
//! - `limits`: concurrency limits: no client and no kind of request blocks another
//! - `tls`: certificates, their reload, and how TLS connections begin and end
//!
//! **Commands**
//! - `files`: the files that commands write and read, and which command creates a database
//! - `start`: the first start, refusals to start, settings. `token` is tested in `access`,
//!   `healthcheck` in `probes`, `billables check` in `check`
//! - `carrier_files`: files of carriers and PBXs, as `import` and `check` read them
//! - `send`: files of a sender that are posted to a server
//! - `import_export`, `copy` (with `rebuild-totals`), `backup`, `verify`: moving data in, out and
//!   between databases, and finding damage
//! - `upgrade`: every earlier schema, concurrent starts, programs of different versions
//!
//! **The store and its failures**
//! - `store`: its contract
//! - `plans`: no statement scans the log
//! - `faults`: killed servers, database outages, several processes
//! - `outages`: databases that return errors, fill up, change their role or hang
//! - `trust`: wrong clocks, and SQLite files that are moved, replaced or mounted
//! - `recovery`: databases that come back changed or go silent; unusable rows
//!
//! **For every input**
//! - `properties`: properties of parsers and ids
//! - `model`: random histories; every read agrees with a model in memory
//! - `leaks`: random histories; a limited client gets the answers of a log without the others
//!
//! **The project itself**
//! - `arrows`: which module may use which, without cycles
//! - `tidy`: rules about the source and the migrations
//! - `wording`: words that no text may have
//! - `settings`, `manual`: the documents match the program

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic at the first unexpected value, and reads the clock"
)]

mod support;

mod access;
mod arrows;
mod backup;
mod batch;
mod billing;
mod browsers;
mod calls;
mod carrier_files;
mod check;
mod connections;
mod copy;
mod docs;
mod export;
mod faults;
mod feed;
mod files;
mod import_export;
mod input;
mod leaks;
mod limits;
mod list;
mod listing;
mod logs;
mod manual;
mod metrics;
mod model;
mod month;
mod openapi;
mod outages;
mod periods;
mod plans;
mod probes;
mod profiles;
mod properties;
mod provenance;
mod recovery;
mod refusals;
mod report;
mod responses;
mod send;
mod senders;
mod servicestack;
mod sessions;
mod settings;
mod start;
mod store;
mod tidy;
mod tls;
mod tokens;
mod trust;
mod upgrade;
mod vectors;
mod verify;
mod void;
mod wording;
