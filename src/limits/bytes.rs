//! The budget of bytes that requests may hold at once, from a body's first byte to the answer.
//!
//! There are two parts, so that large bodies, slow ones on purpose included, never keep small
//! reports out: the first [`SMALL_SHARE`] bytes of each request come from a part that nothing
//! else may use. And no client has more than half of that part, so that one whose bodies stall
//! keeps nobody else out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Overloaded;
use super::per_client::PerClient;
use crate::billable::ClientName;
use crate::metrics::{BudgetClass, Limit, METRICS, as_i64};

/// For the first bytes of every request: 16 MiB.
const SMALL: usize = 16 * 1024 * 1024;

/// What one client may have of it: as much as 1,000 small reports need.
const SMALL_OF_CLIENT: usize = SMALL / 2;

/// For what goes beyond: 48 MiB.
const LARGE: usize = 48 * 1024 * 1024;

/// How much of a request comes from the first part, in bytes: 64 KiB.
const SMALL_SHARE: usize = 64 * 1024;

/// What a request needs whatever its body is: five texts of 256 scalar values and a key.
const REQUEST: usize = 6 * 1024;

/// The budget. A clone is a handle to the same one.
#[derive(Clone, Debug)]
pub struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// What is left of the first part for each client.
    clients: PerClient,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Claim {
    budget: Budget,
    client: Arc<Semaphore>,
    of_client: OwnedSemaphorePermit,
    small: OwnedSemaphorePermit,
    large: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of which nothing is claimed.
    #[expect(clippy::new_without_default, reason = "nobody asks for a default")]
    pub fn new() -> Self {
        Self {
            small: Arc::new(Semaphore::new(SMALL)),
            large: Arc::new(Semaphore::new(LARGE)),
            clients: PerClient::new(SMALL_OF_CLIENT),
        }
    }

    /// Puts into the metrics how much is claimed.
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

    /// A claim of a client with what a request needs at least.
    ///
    /// # Errors
    /// There is not so much left.
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
    /// There is not so much left.
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
