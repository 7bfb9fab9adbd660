//! Turns: how many do something at once, each kind apart from the others and from reports; and no
//! client has more than half of them, however slowly it takes what it asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Overloaded;
use super::per_client::PerClient;
use crate::billable::ClientName;
use crate::metrics::{Limit, METRICS};

/// How long is waited for a turn.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The turns of one kind. A clone is a handle to the same ones.
#[derive(Clone, Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    clients: PerClient,
    count: usize,
    limit: Limit,
}

/// A turn, given back when dropped.
#[derive(Debug)]
pub struct Turn {
    _of_client: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// So many turns of that kind.
    pub fn new(count: usize, limit: Limit) -> Self {
        Self {
            all: Arc::new(Semaphore::new(count)),
            clients: PerClient::new(count.div_ceil(2)),
            count,
            limit,
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Overloaded`] when none came free in time.
    pub async fn take(&self, client: &ClientName) -> Result<Turn, Overloaded> {
        let own = self.clients.of(client);
        let turn = async {
            // One's own first: whoever waits for that keeps no turn from others.
            let of_client = own.acquire_owned().await;
            let of_all = self.all.clone().acquire_owned().await;
            Turn {
                _of_client: of_client.expect("the semaphore is never closed"),
                _of_all: of_all.expect("the semaphore is never closed"),
            }
        };
        timeout(ACQUIRE_TIMEOUT, turn)
            .await
            .map_err(|_| self.refuse())
    }

    /// Turns that are taken.
    pub fn taken(&self) -> usize {
        self.count.saturating_sub(self.all.available_permits())
    }

    /// A turn, if there is one now.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub fn take_now(&self, client: &ClientName) -> Result<Turn, Overloaded> {
        let own = self.clients.of(client);
        let turn = own.try_acquire_owned().and_then(|of_client| {
            let of_all = self.all.clone().try_acquire_owned()?;
            Ok(Turn {
                _of_client: of_client,
                _of_all: of_all,
            })
        });
        turn.map_err(|_| self.refuse())
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
    async fn a_client_with_half_of_the_turns_leaves_the_rest_to_others() {
        let client = |name| ClientName::parse(name).expect("a name");
        let turns = Turns::new(4, Limit::Reads);
        let first = turns.take(&client("greedy")).await.expect("a turn");
        let _second = turns.take(&client("greedy")).await.expect("a turn");
        let refused = turns.take(&client("greedy")).await;
        assert!(matches!(refused, Err(Overloaded)));
        let _others = turns.take(&client("modest")).await.expect("a turn");
        drop(first);
        let _again = turns.take(&client("greedy")).await.expect("a turn");
        let _last = turns.take(&client("third")).await.expect("a turn");
        assert!(turns.take(&client("fourth")).await.is_err());
    }
}
