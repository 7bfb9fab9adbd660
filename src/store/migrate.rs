//! Schema migrations, in both databases.
//!
//! A migration only adds: a table, an index, or a column that an insert may omit
//! (`tests/it/tidy.rs` checks it). So a program can ignore what newer versions have added, and a
//! server that restarts in the middle of an upgrade, or after a rollback, keeps serving. A server
//! that refused to start would turn an upgrade or a rollback into an outage.

use sqlx::migrate::{AppliedMigration, Migrator};
use tracing::warn;

use super::error::OpenError;

/// The table in which the migrator records applied migrations.
pub(super) const TABLE: &str = "_sqlx_migrations";

/// Makes a migrator ignore applied migrations that only a newer version knows.
pub(super) fn tolerant(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}

/// Checks that a database that is not migrated now, such as a backup, has a format of this program.
///
/// # Errors
/// [`OpenError::Unreleased`].
pub(super) fn check_format(
    migrator: &Migrator,
    applied: &[AppliedMigration],
) -> Result<(), OpenError> {
    let is_known = |migration: &AppliedMigration| {
        let mut known = migrator.iter();
        let known = known.find(|known| known.version == migration.version);
        known.is_none_or(|known| known.checksum == migration.checksum)
    };
    if applied.iter().all(is_known) {
        Ok(())
    } else {
        Err(OpenError::Unreleased)
    }
}

/// Logs a warning if a newer version has migrated the database.
pub(super) fn note_newer(migrator: &Migrator, applied: &[AppliedMigration]) {
    let newer = |migration: &&AppliedMigration| !migrator.version_exists(migration.version);
    if let Some(newest) = applied.iter().rfind(newer) {
        warn!(
            migration = newest.version,
            "a newer version has migrated the database; this version ignores what it does not know"
        );
    }
}
