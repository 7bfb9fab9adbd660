//! PostgreSQL and Citus: connections, checks at start-up, migrations.

pub(super) mod calls;
pub(super) mod entries;
pub(super) mod insertion;
pub(super) mod totals;

use std::fmt;
use std::io::ErrorKind;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::time::timeout;

use super::row::{LOG, LogRow};
use super::{CONTROL_CONNECTIONS, LogInfo, OpenError, StoreError, migrate};
use crate::billable::Timestamp;

pub(super) use entries::{Appender, BEGIN};

/// Begins a transaction on data derived from the log or on the last uses of tokens. Losing the
/// transaction loses no report.
pub(super) const BEGIN_DERIVED: &str = "begin isolation level read committed;
    set local synchronous_commit = off;
    set local statement_timeout = 0;
    set local lock_timeout = '4s'";

/// Deletes the buckets of a partition.
pub(super) const CLEAR_BUCKETS: &str = "delete from buckets where partition = $1";

/// Begins a transaction that reads everything in one snapshot.
///
/// On Citus, a partition is on one worker, and one connection to it has one snapshot. Generic plans
/// are off, because they would estimate the entries after a watermark at a third of all entries.
pub(super) const BEGIN_SNAPSHOT: &str = "begin isolation level repeatable read read only;
    set local citus.max_adaptive_executor_pool_size = 1;
    set local plan_cache_mode = force_custom_plan";

static MIGRATOR: LazyLock<Migrator> =
    LazyLock::new(|| migrate::tolerant(sqlx::migrate!("migrations/postgres")));

/// How long a reader waits for a free connection, or a new connection waits for the server.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a released connection may take to respond.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A handle to one PostgreSQL database.
#[derive(Clone)]
pub struct Store {
    options: PgConnectOptions,
    /// Whether the rows are on Citus workers.
    pub(super) is_citus: bool,
    pub(super) read: PgPool,
    pub(super) control: PgPool,
    /// For decisions about sessions, which may wait for locks and standbys.
    pub(super) decisions: PgPool,
    /// For data derived from the log, and for the last uses of tokens.
    pub(super) derived: PgPool,
}

/// Omits the options, because they hold the password.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&label(&self.options)).finish()
    }
}

impl Store {
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
            is_citus,
            options,
        })
    }

    /// Whether the database has the table of the log.
    pub(super) async fn has_schema(&self) -> Result<bool, OpenError> {
        sqlx::query_scalar("select to_regclass('log') is not null")
            .fetch_one(&self.control)
            .await
            .map_err(OpenError::Prepare)
    }

    /// The database, for messages.
    pub(super) fn label(&self) -> String {
        label(&self.options)
    }

    /// Does nothing, because there is no file. A replaced database is detected by its epoch:
    /// [`super::StoreError::WrongLog`].
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "same signature as for SQLite"
    )]
    pub(super) fn check_files(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Does nothing: PostgreSQL recovers by itself.
    #[expect(clippy::unused_async, reason = "same signature as for SQLite")]
    pub(super) async fn recover(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Does nothing: a commit is durable when PostgreSQL returns.
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "same signature as for SQLite"
    )]
    pub(super) fn confirm(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Checks the settings that a commit's durability depends on, which a reload may have changed.
    pub(super) async fn trust_check(&self) -> Result<(), StoreError> {
        let mut connection = self.control.acquire().await?;
        check_server(&mut connection, &label(&self.options))
            .await
            .map_err(OpenError::while_running)?;
        check_workers(&mut connection, false)
            .await
            .map_err(OpenError::while_running)
    }

    /// Migrates the schema. The migrator holds an advisory lock while it runs.
    pub(super) async fn migrate(&self) -> Result<(), OpenError> {
        // Use a separate connection: a migration may exceed the statement timeout of the pools.
        let mut connection = self.options.connect().await.map_err(OpenError::Prepare)?;
        MIGRATOR.run(&mut connection).await?;
        let applied = connection.list_applied_migrations(migrate::TABLE).await?;
        migrate::note_newer(&MIGRATOR, &applied);
        connection.close().await.map_err(OpenError::Prepare)
    }

    /// Creates the log and its heads if they do not exist, in one transaction.
    pub(super) async fn log_prepare(
        &self,
        fresh: LogInfo,
        now: Timestamp,
    ) -> Result<LogInfo, sqlx::Error> {
        // Read committed is set because another server may be writing to the heads: see the
        // appender's BEGIN.
        let begin = "begin isolation level read committed";
        let mut transaction = self.control.begin_with(begin).await?;
        sqlx::query(
            "insert into log (id, epoch, partitions, created_at) values (1, $1, $2, $3)
             on conflict (id) do nothing",
        )
        .bind(fresh.epoch)
        .bind(fresh.partitions.cast_signed())
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
        let log: LogRow = sqlx::query_as(LOG).fetch_one(&mut *transaction).await?;
        let log = LogInfo::from(log);
        sqlx::query(
            "insert into log_heads (partition, next_position)
             select partition, 1 from generate_series(0, $1 - 1) as partition
             on conflict (partition) do nothing",
        )
        .bind(log.partitions.cast_signed())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "insert into watermarks (partition, position)
             select partition, 0 from generate_series(0, $1 - 1) as partition
             on conflict (partition) do nothing",
        )
        .bind(log.partitions.cast_signed())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(log)
    }

    pub(super) fn appender(&self, log: LogInfo, partition: u32) -> Appender {
        Appender::new(self.options.clone(), log, partition)
    }

    pub(super) async fn close(&self) {
        self.read.close().await;
        self.control.close().await;
        self.decisions.close().await;
        self.derived.close().await;
    }
}

/// The database without credentials, for messages.
fn label(options: &PgConnectOptions) -> String {
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    format!(
        "the PostgreSQL database {database} at {}:{}",
        options.get_host(),
        options.get_port()
    )
}

/// Returns whether a released connection still responds. The pool checks this too, but if the
/// server vanished without closing the connection, it would wait forever and keep the connection in
/// use.
async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match timeout(PING_TIMEOUT, connection.ping()).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Err(sqlx::Error::Io(ErrorKind::TimedOut.into())),
    }
}

/// Connects. Refuses a server that may lose acknowledged commits.
async fn connect_checked(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let failed = |source| OpenError::Connect {
        label: label(options),
        source,
    };
    let checked = async {
        let mut connection = options.connect().await.map_err(failed)?;
        check_server(&mut connection, &label(options)).await?;
        check_workers(&mut connection, true).await?;
        Ok(connection)
    };
    timeout(ACQUIRE_TIMEOUT, checked)
        .await
        .map_err(|_| failed(sqlx::Error::PoolTimedOut))?
}

async fn check_server(connection: &mut PgConnection, label: &str) -> Result<(), OpenError> {
    let (is_standby, fsync, full_page_writes): (bool, String, String) = sqlx::query_as(
        "select pg_is_in_recovery(), current_setting('fsync'), current_setting('full_page_writes')",
    )
    .fetch_one(connection)
    .await
    .map_err(|source| OpenError::Connect {
        label: label.to_owned(),
        source,
    })?;
    if is_standby {
        return Err(OpenError::Standby(label.to_owned()));
    }
    for (name, value) in [("fsync", fsync), ("full_page_writes", full_page_writes)] {
        require_on(label, name, &value)?;
    }
    Ok(())
}

fn require_on(label: &str, name: &str, value: &str) -> Result<(), OpenError> {
    if value == "on" {
        return Ok(());
    }
    Err(OpenError::NotDurable {
        label: label.to_owned(),
        setting: format!("{name} is {value}"),
        remedy: "set it to on in postgresql.conf and reload the server",
    })
}

/// Returns whether the server is a Citus coordinator.
async fn is_citus(connection: &mut PgConnection) -> Result<bool, OpenError> {
    sqlx::query_scalar("select to_regproc('run_command_on_workers') is not null")
        .fetch_one(connection)
        .await
        .map_err(OpenError::Prepare)
}

/// Checks the same settings on the workers of Citus, which hold the rows. Unless all must answer, a
/// worker that does not is left out: a write to it fails by itself.
async fn check_workers(
    connection: &mut PgConnection,
    must_all_answer: bool,
) -> Result<(), OpenError> {
    if !is_citus(connection).await? {
        return Ok(());
    }
    for name in ["fsync", "full_page_writes"] {
        let workers: Vec<(String, i32, bool, String)> = sqlx::query_as(
            "select nodename::text, nodeport::int, success, result::text
             from run_command_on_workers('select current_setting(''' || $1 || ''')')",
        )
        .bind(name)
        .fetch_all(&mut *connection)
        .await
        .map_err(OpenError::Prepare)?;
        for (host, port, success, result) in workers {
            if !(success || must_all_answer) {
                continue;
            }
            let value = if success {
                result
            } else {
                format!("unknown ({result})")
            };
            require_on(&format!("the Citus worker {host}:{port}"), name, &value)?;
        }
    }
    Ok(())
}

async fn check_database(connection: &mut PgConnection, label: &str) -> Result<(), OpenError> {
    let encoding: String = sqlx::query_scalar("select current_setting('server_encoding')")
        .fetch_one(connection)
        .await
        .map_err(|source| OpenError::Connect {
            label: label.to_owned(),
            source,
        })?;
    if encoding == "UTF8" {
        Ok(())
    } else {
        Err(OpenError::NotUtf8(encoding))
    }
}
