//! A database with its pools of connections.

use std::fmt;
use std::time::Duration;

use sqlx::{Pool, Transaction};
use tokio::time::timeout;

use super::dialect::{Connector, Dialect};
use super::error::StoreError;

/// An open database.
pub struct Backend<D: Dialect> {
    pub(super) connector: D::Connector,
    pub(super) read: Pool<D>,
    /// For token refreshes, health checks and what commands write.
    pub(super) control: Pool<D>,
    /// For decisions about sessions, which may wait for locks and standbys.
    pub(super) decisions: Pool<D>,
    /// For data derived from the log, and for the last uses of tokens.
    pub(super) derived: Pool<D>,
}

/// Omits the connector, which may hold a password.
impl<D: Dialect> fmt::Debug for Backend<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend")
            .field(&self.connector.label())
            .finish()
    }
}

impl<D: Dialect> Backend<D> {
    pub(super) fn pools(&self) -> [(&'static str, &Pool<D>); 4] {
        [
            ("read", &self.read),
            ("control", &self.control),
            ("decisions", &self.decisions),
            ("derived", &self.derived),
        ]
    }

    pub(super) async fn close_pools(&self) {
        for (_, pool) in self.pools() {
            pool.close().await;
        }
    }

    /// Begins a writing transaction on the pool `control`.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, D>, sqlx::Error> {
        self.control.begin_with(D::BEGIN).await
    }
}

/// The number of connections in each of the pools `control` and `decisions`.
///
/// Token refreshes and health checks use `control`. It is separate from the read connections, so
/// that slow reads cannot delay the refresh: after 5 s without one, all requests with a token are
/// refused.
pub(super) const CONTROL_CONNECTIONS: u32 = 2;

/// The time limit of an operation that [`in_time`] runs.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Limits the time of an operation. If a server vanished without closing the connection, the
/// operation would otherwise wait until TCP times out.
pub(super) async fn in_time<T>(
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout(OPERATION_TIMEOUT, operation).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::TimedOut),
    }
}
