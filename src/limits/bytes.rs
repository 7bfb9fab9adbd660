//! The budget of bytes held by all requests together, from a body's first byte to the response.
//!
//! The budget has two parts, so that large bodies, even deliberately slow ones, never block small
//! reports: the first [`SMALL_SHARE`] bytes of each request come from a part that is used for
//! nothing else. A client gets at most half of that part, so that a client with stalled bodies does
//! not block the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Overloaded;
use super::per_client::PerClient;
use crate::billable::ClientName;
use crate::metrics::{BudgetClass, Limit, METRICS, as_i64};

/// The part for the first bytes of every request: 16 MiB.
const SMALL: usize = 16 * 1024 * 1024;

/// One client's share of the small part: enough for 1,000 small reports.
const SMALL_OF_CLIENT: usize = SMALL / 2;

/// The part for all further bytes: 48 MiB.
const LARGE: usize = 48 * 1024 * 1024;

/// How many bytes of a request come from the small part: 64 KiB.
const SMALL_SHARE: usize = 64 * 1024;

/// What every request needs, whatever its body: five texts of 256 scalar values and a key.
const REQUEST: usize = 6 * 1024;

/// The byte budget. A clone is a handle to the same budget.
#[derive(Clone, Debug)]
pub struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// What is left of each client's share of the small part.
    clients: PerClient,
}

/// Bytes claimed from the budget, released when dropped.
#[derive(Debug)]
pub struct Claim {
    budget: Budget,
    client: Arc<Semaphore>,
    of_client: OwnedSemaphorePermit,
    small: OwnedSemaphorePermit,
    large: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// Creates a budget with no claims.
    #[expect(clippy::new_without_default, reason = "no caller needs a default")]
    pub fn new() -> Self {
        Self {
            small: Arc::new(Semaphore::new(SMALL)),
            large: Arc::new(Semaphore::new(LARGE)),
            clients: PerClient::new(SMALL_OF_CLIENT),
        }
    }

    /// Sets the metrics of claimed bytes.
    pub fn measure(&self) {
        for (part, held, limit) in [("small", &self.small, SMALL), ("large", &self.large, LARGE)] {
            let part = BudgetClass { part };
            let bytes = limit.saturating_sub(held.available_permits());
            METRICS
                .request_bytes
                .get_or_create(&part)
                .set(as_i64(bytes));
            METRICS
                .request_bytes_limit
                .get_or_create(&part)
                .set(as_i64(limit));
        }
    }

    /// Claims the minimum that a request of a client needs.
    ///
    /// # Errors
    /// Not enough bytes are left.
    pub fn claim(&self, client: &ClientName) -> Result<Claim, Overloaded> {
        let client = self.clients.of(client);
        Ok(Claim {
            of_client: acquire(&client, REQUEST)?,
            small: acquire(&self.small, REQUEST)?,
            large: None,
            budget: self.clone(),
            client,
        })
    }
}

impl Claim {
    /// Adds bytes to the claim.
    ///
    /// # Errors
    /// Not enough bytes are left.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Overloaded> {
        let room = SMALL_SHARE.saturating_sub(self.small.num_permits());
        let (small, large) = (bytes.min(room), bytes.saturating_sub(room));
        if small > 0 {
            let of_client = acquire(&self.client, small)?;
            self.small.merge(acquire(&self.budget.small, small)?);
            self.of_client.merge(of_client);
        }
        if large > 0 {
            let more = acquire(&self.budget.large, large)?;
            match &mut self.large {
                Some(held) => held.merge(more),
                none => *none = Some(more),
            }
        }
        Ok(())
    }
}

fn acquire(part: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Overloaded> {
    let taken = u32::try_from(bytes)
        .ok()
        .and_then(|bytes| part.clone().try_acquire_many_owned(bytes).ok());
    taken.ok_or_else(|| {
        METRICS.refused(Limit::Bytes);
        Overloaded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> ClientName {
        ClientName::parse(name).expect("a name")
    }

    #[test]
    fn large_requests_leave_room_for_small_ones() {
        let budget = Budget::new();
        let client = client("one");
        let large = || {
            let mut claim = budget.claim(&client)?;
            claim.grow(8 * 1024 * 1024).map(|()| claim)
        };
        let held: Vec<_> = std::iter::from_fn(|| large().ok()).collect();
        assert_eq!(held.len(), 6);
        let mut small = budget.claim(&client).expect("room");
        assert_eq!(small.grow(50 * 1024), Ok(()));
        assert_eq!(small.grow(1024 * 1024), Err(Overloaded));
        drop(held);
        assert_eq!(small.grow(1024 * 1024), Ok(()));
        assert_eq!(small.grow(LARGE), Err(Overloaded));
        drop(small);
        assert_all_is_given_back(&budget);
    }

    #[test]
    fn a_client_has_at_most_half_of_what_small_requests_have() {
        let budget = Budget::new();
        let hoard = |name| {
            let client = client(name);
            let claim = || {
                let mut claim = budget.claim(&client)?;
                claim.grow(SMALL_SHARE - REQUEST).map(|()| claim)
            };
            std::iter::from_fn(|| claim().ok()).collect::<Vec<_>>()
        };
        let greedy = hoard("greedy");
        assert_eq!(greedy.len(), SMALL_OF_CLIENT / SMALL_SHARE);
        assert!(budget.claim(&client("greedy")).is_err());
        let other = hoard("other");
        assert_eq!(other.len(), greedy.len());
        assert!(budget.claim(&client("third")).is_err());
        drop(greedy);
        assert!(budget.claim(&client("third")).is_ok());
        assert!(budget.claim(&client("other")).is_err());
        drop(other);
        assert_all_is_given_back(&budget);
    }

    fn assert_all_is_given_back(budget: &Budget) {
        let whole = (
            budget.small.available_permits(),
            budget.large.available_permits(),
        );
        assert_eq!(whole, (SMALL, LARGE));
        assert!(budget.clients.are_all_free());
    }
}
