//! A semaphore for each client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use crate::billable::ClientName;

/// A semaphore of the same size for each client. A clone is a handle to the same semaphores.
///
/// Their number is bounded, because the clients come from the tokens.
#[derive(Clone, Debug)]
pub(super) struct PerClient {
    pub(super) permits: usize,
    semaphores: Arc<Mutex<HashMap<ClientName, Arc<Semaphore>>>>,
}

impl PerClient {
    pub(super) fn new(permits: usize) -> Self {
        Self {
            permits,
            semaphores: Arc::default(),
        }
    }

    /// Returns the client's semaphore and creates it on first use.
    pub(super) fn of(&self, client: &ClientName) -> Arc<Semaphore> {
        let mut semaphores = self
            .semaphores
            .lock()
            .expect("nothing panics under this lock");
        if let Some(own) = semaphores.get(client) {
            return own.clone();
        }
        let own = Arc::new(Semaphore::new(self.permits));
        semaphores.insert(client.clone(), own.clone());
        own
    }

    /// Whether no client holds a permit.
    #[cfg(test)]
    pub(super) fn are_all_free(&self) -> bool {
        let semaphores = self.semaphores.lock().expect("nothing panicked");
        let mut free = semaphores.values().map(|own| own.available_permits());
        free.all(|free| free == self.permits)
    }
}
