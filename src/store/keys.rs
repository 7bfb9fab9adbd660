//! The key that seals cursors, in both databases.

use super::{postgres, sqlite};

macro_rules! key_operations {
    ($store:ty) => {
        impl $store {
            pub(super) async fn cursor_key(&self, fresh: &[u8]) -> Result<Vec<u8>, sqlx::Error> {
                sqlx::query(
                    "insert into cursor_keys (id, secret) values (1, $1) on conflict (id) do nothing",
                )
                .bind(fresh)
                .execute(&self.control)
                .await?;
                sqlx::query_scalar("select secret from cursor_keys where id = 1")
                    .fetch_one(&self.control)
                    .await
            }
        }
    };
}

key_operations!(postgres::Store);
key_operations!(sqlite::Store);
