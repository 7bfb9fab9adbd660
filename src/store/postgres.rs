//! PostgreSQL and Citus: opening, migrations, and what only they have.

mod connect;
mod dialect;

use std::fmt;
use std::sync::LazyLock;

use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Postgres};

use self::connect::{
    ACQUIRE_TIMEOUT, check_database, check_server, check_workers, connect_checked, is_alive,
    is_citus, label,
};
use super::backend::{Backend, CONTROL_CONNECTIONS};
use super::clock::{ClockReference, timestamp};
use super::dialect::{Connector, ServerFacts};
use super::error::{OpenError, StoreError};
use super::migrate;
use super::query::query;
use crate::billable::Timestamp;

static MIGRATOR: LazyLock<Migrator> =
    LazyLock::new(|| migrate::tolerant(sqlx::migrate!("migrations/postgres")));

/// How to reach a PostgreSQL database.
#[derive(Clone)]
pub struct Server {
    options: PgConnectOptions,
    /// Whether the rows are on Citus workers.
    is_citus: bool,
}

/// Omits the options, because they hold the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server")
            .field(&label(&self.options))
            .finish()
    }
}

impl Connector<Postgres> for Server {
    fn label(&self) -> String {
        label(&self.options)
    }

    async fn connect(&self) -> Result<(PgConnection, ServerFacts), StoreError> {
        let mut connection = connect_checked(&self.options)
            .await
            .map_err(OpenError::while_running)?;
        let (has_standbys, is_citus): (bool, bool) = query::<Postgres>(
            "select current_setting('synchronous_standby_names') <> '',
                 to_regproc('run_command_on_workers') is not null",
        )
        .fetch_one(&mut connection)
        .await?;
        let server = ServerFacts {
            // The workers may have standbys that the coordinator does not know of.
            has_standbys: has_standbys || is_citus,
            is_citus,
        };
        Ok((connection, server))
    }

    fn is_citus(&self) -> bool {
        self.is_citus
    }

    fn check_files(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn recover(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn confirm(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Whether the planner has statistics on the log. On Citus it is true, because the rows and their
/// statistics are on the workers.
const IS_KNOWN: &str = "select to_regproc('run_command_on_workers') is not null
         or exists (select from pg_stats as known
             where known.schemaname = namespace.nspname and known.tablename = entries.relname)
     from pg_class as entries join pg_namespace as namespace on namespace.oid = entries.relnamespace
     where entries.oid = 'entries'::regclass";

/// Whether the log has some hundred rows that are committed: `ANALYZE` does not count others.
const IS_LARGE: &str = "select exists (select 1 from entries offset 300)";

impl Backend<Postgres> {
    pub(super) async fn open(url: &str, read_connections: u32) -> Result<Self, OpenError> {
        let options: PgConnectOptions = url
            .parse()
            .map_err(|error: sqlx::Error| OpenError::Url(error.to_string()))?;
        // This program logs the errors of statements itself, and never logs statements or their
        // values.
        let options = options
            .application_name("billables")
            .disable_statement_logging();
        let mut connection = connect_checked(&options).await?;
        check_database(&mut connection, &label(&options)).await?;
        let is_citus = is_citus(&mut connection).await?;
        connection.close().await.map_err(OpenError::Prepare)?;
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .after_release(|connection, _| Box::pin(is_alive(connection)))
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        connection.execute("set statement_timeout = '10s'").await?;
                        Ok(())
                    })
                })
                .connect_lazy_with(options.clone())
        };
        Ok(Self {
            read: pool(read_connections),
            control: pool(CONTROL_CONNECTIONS),
            decisions: pool(CONTROL_CONNECTIONS),
            derived: pool(1),
            connector: Server { options, is_citus },
        })
    }

    /// Whether the database has the table of the log.
    pub(super) async fn has_schema(&self) -> Result<bool, OpenError> {
        let (has_schema,) = query::<Postgres>("select to_regclass('log') is not null")
            .fetch_one(&self.control)
            .await
            .map_err(OpenError::Prepare)?;
        Ok(has_schema)
    }

    /// Checks the settings that a commit's durability depends on, which a reload may have changed.
    pub(super) async fn trust_check(&self) -> Result<(), StoreError> {
        let mut connection = self.control.acquire().await?;
        check_server(&mut connection, &self.connector.label())
            .await
            .map_err(OpenError::while_running)?;
        check_workers(&mut connection, false)
            .await
            .map_err(OpenError::while_running)
    }

    /// Migrates the schema. The migrator holds an advisory lock while it runs.
    pub(super) async fn migrate(&self) -> Result<(), OpenError> {
        // Use a separate connection: a migration may exceed the statement timeout of the pools.
        let options = &self.connector.options;
        let mut connection = options.connect().await.map_err(OpenError::Prepare)?;
        MIGRATOR.run(&mut connection).await?;
        let applied = connection.list_applied_migrations(migrate::TABLE).await?;
        migrate::note_newer(&MIGRATOR, &applied);
        connection.close().await.map_err(OpenError::Prepare)
    }

    /// A role that does not own the table may not analyze it, which is not an error.
    pub(super) async fn log_analyze(&self) -> Result<bool, StoreError> {
        let (is_known,): (bool,) = query::<Postgres>(IS_KNOWN).fetch_one(&self.derived).await?;
        if is_known {
            return Ok(true);
        }
        let (is_large,): (bool,) = query::<Postgres>(IS_LARGE).fetch_one(&self.derived).await?;
        if is_large {
            // Skip a locked table instead of waiting: the holder of the lock may be analyzing it
            // already. If not, the table is left to autovacuum.
            query::<Postgres>("analyze (skip_locked) entries")
                .execute(&self.derived)
                .await?;
        }
        Ok(is_large)
    }

    pub(super) async fn clock_reference(&self) -> Result<ClockReference, StoreError> {
        let (micros,) = query::<Postgres>(
            "select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)",
        )
        .fetch_one(&self.control)
        .await?;
        Ok(ClockReference::Now(timestamp(micros, "clock_timestamp")?))
    }

    /// PostgreSQL has a clock of its own.
    #[expect(clippy::unused_async, reason = "called like the one of SQLite")]
    pub(super) async fn clock_accept(&self, _now: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }

    pub(super) async fn close(&self) {
        self.close_pools().await;
    }
}
