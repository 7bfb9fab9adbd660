//! The budget of bytes that requests may hold at once, from a body's first byte to the answer.
//!
//! There are two parts, so that large bodies, slow ones on purpose included, never keep small
//! reports out: the first [`SMALL_SHARE`] bytes of each request come from a part that nothing
//! else may use.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::WriteError;
use crate::metrics::{Limit, METRICS, Part, as_i64};

/// For the first bytes of every request: 16 MiB.
const SMALL: usize = 16 * 1024 * 1024;

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
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Claim {
    budget: Budget,
    small: OwnedSemaphorePermit,
    large: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            small: Arc::new(Semaphore::new(SMALL)),
            large: Arc::new(Semaphore::new(LARGE)),
        }
    }

    /// Puts into the metrics how much is claimed.
    pub(super) fn measure(&self) {
        for (part, held, limit) in [("small", &self.small, SMALL), ("large", &self.large, LARGE)] {
            let part = Part { part };
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

    /// A claim with what a request needs at least.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn claim(&self) -> Result<Claim, WriteError> {
        Ok(Claim {
            small: take(&self.small, REQUEST)?,
            large: None,
            budget: self.clone(),
        })
    }
}

impl Claim {
    /// Adds bytes to the claim.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn grow(&mut self, bytes: usize) -> Result<(), WriteError> {
        let room = SMALL_SHARE.saturating_sub(self.small.num_permits());
        let (small, large) = (bytes.min(room), bytes.saturating_sub(room));
        if small > 0 {
            self.small.merge(take(&self.budget.small, small)?);
        }
        if large > 0 {
            let more = take(&self.budget.large, large)?;
            match &mut self.large {
                Some(held) => held.merge(more),
                none => *none = Some(more),
            }
        }
        Ok(())
    }
}

fn take(part: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, WriteError> {
    let taken = u32::try_from(bytes)
        .ok()
        .and_then(|bytes| part.clone().try_acquire_many_owned(bytes).ok());
    taken.ok_or_else(|| {
        METRICS.refused(Limit::Bytes);
        WriteError::Full
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_requests_leave_room_for_small_ones() {
        let budget = Budget::new();
        let large = || {
            let mut claim = budget.claim()?;
            claim.grow(8 * 1024 * 1024).map(|()| claim)
        };
        let held: Vec<_> = std::iter::from_fn(|| large().ok()).collect();
        assert_eq!(held.len(), 6);
        let mut small = budget.claim().expect("room");
        assert_eq!(small.grow(50 * 1024), Ok(()));
        assert_eq!(small.grow(1024 * 1024), Err(WriteError::Full));
        drop(held);
        assert_eq!(small.grow(1024 * 1024), Ok(()));
        assert_eq!(small.grow(LARGE), Err(WriteError::Full));
        drop(small);
        let whole = (
            budget.small.available_permits(),
            budget.large.available_permits(),
        );
        assert_eq!(whole, (SMALL, LARGE));
    }
}
