//! Behaviour, through real sockets and real databases. Run with `scripts/test`.
//!
//! - `store`: the contract of the store, the same tests on both databases
//! - `report`: what a report becomes, and when it is recognised
//! - `input`: what is refused, with which error, and that nothing is stored
//! - `answers`: formats, headers and the shape of errors
//! - `openapi`: the description for programs; `support/description.rs` holds every reply to it
//! - `operation`: ServiceStack's routes; formats, preferences, compression
//! - `batch`: several reports in one request
//! - `senders`: stock telephony senders, to the byte, as the README sets them up
//! - `access`: tokens, scopes, accounts
//! - `read`: lists, exports and checks; what is refused
//! - `feed`: the order of commits, waiting, cursors
//! - `billing`: voids, attributions and totals, with kills and races
//! - `connections`: slow, greedy and broken clients; the stop
//! - `tls`: certificates, their reload, and how connections with TLS begin and end
//! - `probes`: the address for probes, the health check, plain HTTP where others can listen
//! - `start`: settings, refusals, the first start, the commands
//! - `commands`: what goes in and out by commands: export, import, check, copy
//! - `limits`: what is under way at once, and who never keeps whom out
//! - `verify`: every kind of damage is named, and nothing else is
//! - `backup`: backups, restores, and what becomes of cursors and running servers
//! - `upgrade`: every earlier schema, several starts at once, programs of different ages
//! - `faults`: killed servers, databases that go away, several processes
//! - `outages`: databases that refuse, fill up, change their role or hang
//! - `recovery`: what a database comes back as; what is wrong with one row
//! - `docs`: pages, DTOs and samples of the documentation
//! - `observe`: metrics, the log, and secrets that are in neither
//! - `properties`: what holds for every input
//! - `model`: random histories against a model in memory; everything that is read agrees
//! - `plans`: no statement scans the log
//! - `vectors`: the exchanges that existing clients rely on
//! - `arrows`: which module may use which, and no circles
//! - `tidy`: rules about the source, the settings and the README

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

mod access;
mod answers;
mod arrows;
mod backup;
mod batch;
mod billing;
mod commands;
mod connections;
mod docs;
mod faults;
mod feed;
mod input;
mod limits;
mod model;
mod observe;
mod openapi;
mod operation;
mod outages;
mod plans;
mod probes;
mod properties;
mod read;
mod recovery;
mod report;
mod senders;
mod start;
mod store;
mod tidy;
mod tls;
mod upgrade;
mod vectors;
mod verify;
