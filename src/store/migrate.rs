//! Bringing the schema up to date, in both databases.
//!
//! A migration only adds: a table, an index, a column that may be left out (`tests/it/tidy.rs`
//! checks it). So a program does not mind what newer ones have added, and one that is started
//! again while others are being replaced goes on serving: refusing would turn a restart in the
//! middle of an upgrade, or the way back from one, into an outage.

use sqlx::migrate::{AppliedMigration, Migrator};
use tracing::warn;

/// The table that the migrator keeps.
pub(super) const TABLE: &str = "_sqlx_migrations";

/// A migrator that takes migrations of newer programs as they are.
pub(super) fn tolerant(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}

/// Says so when a newer program has been here.
pub(super) fn note_newer(migrator: &Migrator, applied: &[AppliedMigration]) {
    let newer = |migration: &&AppliedMigration| !migrator.version_exists(migration.version);
    if let Some(newest) = applied.iter().rfind(newer) {
        warn!(
            migration = newest.version,
            "a newer program has migrated the database; this one goes on with what it knows of it"
        );
    }
}
