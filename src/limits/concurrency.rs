//! Limits concurrent requests of one kind. A client holds at most half of the permits, however
//! slowly it reads its responses.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Overloaded;
use super::per_client::PerClient;
use crate::billable::ClientName;
use crate::metrics::{Limit, METRICS};

/// How long a request waits for a permit.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The permits of one kind of request. A clone is a handle to the same ones.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    all: Arc<Semaphore>,
    clients: PerClient,
    count: usize,
    limit: Limit,
}

/// A permit, released when dropped.
#[derive(Debug)]
pub struct Permit {
    _of_client: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl ConcurrencyLimit {
    /// Creates a limit of `count` permits. `limit` identifies it in the metrics.
    pub fn new(count: usize, limit: Limit) -> Self {
        Self {
            all: Arc::new(Semaphore::new(count)),
            clients: PerClient::new(count.div_ceil(2)),
            count,
            limit,
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`Overloaded`] if no permit was released in time.
    pub async fn acquire(&self, client: &ClientName) -> Result<Permit, Overloaded> {
        let own = self.clients.of(client);
        let permit = async {
            // Acquires the client's permit first, so that a client at its limit holds no shared one
            // while it waits.
            let of_client = own.acquire_owned().await;
            let of_all = self.all.clone().acquire_owned().await;
            Permit {
                _of_client: of_client.expect("the semaphore is never closed"),
                _of_all: of_all.expect("the semaphore is never closed"),
            }
        };
        timeout(ACQUIRE_TIMEOUT, permit)
            .await
            .map_err(|_| self.refuse())
    }

    /// The number of permits that one client may have.
    pub(super) fn per_client(&self) -> usize {
        self.clients.permits
    }

    /// The number of permits in use.
    pub fn in_use(&self) -> usize {
        self.count.saturating_sub(self.all.available_permits())
    }

    /// Takes a permit if one is free now.
    ///
    /// # Errors
    /// [`Overloaded`] if none is free.
    pub fn try_acquire(&self, client: &ClientName) -> Result<Permit, Overloaded> {
        let own = self.clients.of(client);
        let permit = own.try_acquire_owned().and_then(|of_client| {
            let of_all = self.all.clone().try_acquire_owned()?;
            Ok(Permit {
                _of_client: of_client,
                _of_all: of_all,
            })
        });
        permit.map_err(|_| self.refuse())
    }

    fn refuse(&self) -> Overloaded {
        METRICS.refused(self.limit);
        Overloaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_with_half_of_the_permits_leaves_the_rest_to_others() {
        let client = |name| ClientName::parse(name).expect("a name");
        let limit = ConcurrencyLimit::new(4, Limit::Reads);
        let first = limit.acquire(&client("greedy")).await.expect("a permit");
        let _second = limit.acquire(&client("greedy")).await.expect("a permit");
        let refused = limit.acquire(&client("greedy")).await;
        assert!(matches!(refused, Err(Overloaded)));
        let _others = limit.acquire(&client("modest")).await.expect("a permit");
        drop(first);
        let _again = limit.acquire(&client("greedy")).await.expect("a permit");
        let _last = limit.acquire(&client("third")).await.expect("a permit");
        assert!(limit.acquire(&client("fourth")).await.is_err());
    }
}
