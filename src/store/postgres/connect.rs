//! Connecting to PostgreSQL, and the checks that it does not lose acknowledged commits.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::timeout;

use crate::store::error::OpenError;

/// How long a reader waits for a free connection, or a new connection waits for the server.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a released connection may take to respond.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The database without credentials, for messages.
pub(super) fn label(options: &PgConnectOptions) -> String {
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
pub(super) async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match timeout(PING_TIMEOUT, connection.ping()).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Err(sqlx::Error::Io(ErrorKind::TimedOut.into())),
    }
}

/// Connects. Refuses a server that may lose acknowledged commits.
pub(super) async fn connect_checked(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
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

pub(super) async fn check_server(
    connection: &mut PgConnection,
    label: &str,
) -> Result<(), OpenError> {
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
pub(super) async fn is_citus(connection: &mut PgConnection) -> Result<bool, OpenError> {
    sqlx::query_scalar("select to_regproc('run_command_on_workers') is not null")
        .fetch_one(connection)
        .await
        .map_err(OpenError::Prepare)
}

/// Checks the same settings on the workers of Citus, which hold the rows. Unless all must answer, a
/// worker that does not is left out: a write to it fails by itself.
pub(super) async fn check_workers(
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

pub(super) async fn check_database(
    connection: &mut PgConnection,
    label: &str,
) -> Result<(), OpenError> {
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
