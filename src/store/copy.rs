//! Copies between two open databases.

use super::{LogInfo, Store, StoreError};

impl Store {
    /// Copies the cursor key, the clients and their tokens, revoked ones included, from another
    /// database.
    pub async fn secrets_copy(&self, from: &Self) -> Result<(), StoreError> {
        if let Some(key) = from.cursor_key_find().await? {
            self.cursor_key_set(&key).await?;
        }
        self.clients_write(&from.clients_read().await?).await?;
        self.tokens_write(&from.tokens_read().await?).await
    }

    /// Copies the decisions about sessions, and each partition's copy of them, from another
    /// database.
    pub async fn sessions_copy(&self, from: &Self, log: LogInfo) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let sessions = from.sessions_read(&after).await?;
            let Some(last) = sessions.last() else {
                break;
            };
            after.clone_from(&last.session_id);
            self.sessions_write(&sessions).await?;
        }
        for partition in 0..log.partitions.cast_signed() {
            let mut after = String::new();
            loop {
                let pairs = from.session_pairs_read(partition, &after).await?;
                let Some(last) = pairs.last() else {
                    break;
                };
                after.clone_from(&last.session_id);
                self.session_pairs_write(&pairs).await?;
            }
        }
        Ok(())
    }
}
