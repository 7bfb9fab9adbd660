//! Cursors: positions in the log, sealed so that a client can neither read nor alter them.
//!
//! A cursor is a version byte, a random nonce of 24 bytes, and an XChaCha20-Poly1305 ciphertext,
//! all in base64url. The plaintext is the log's epoch (16 bytes), a point in each partition (its
//! position, 8 bytes, big-endian, and a mark of the entry there, 4) and, in a list, the last
//! billable (its time in microseconds, 8 bytes, and its id, 16). All fields have a fixed width, so
//! the length reveals nothing about volumes. The cursor's purpose and a list's filter are
//! authenticated too.
//!
//! Every later version of the program opens a cursor of this version.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use uuid::Uuid;

use crate::api::ApiError;
use crate::billable::{ClientName, ListKey, LogPoint, Text, Timestamp};
use crate::reader::Filter;
use crate::store::{LogInfo, OpenError, Store};
use crate::token::random_bytes;

const VERSION: u8 = 1;
const NONCE: usize = 24;

/// The length of a point in bytes.
const POINT: usize = 12;

/// Seals and opens cursors. All processes on a log share its key, so each can open a cursor that
/// another one sealed.
#[derive(Clone)]
pub struct Cursors {
    cipher: XChaCha20Poly1305,
    log: LogInfo,
}

impl std::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors(redacted)")
    }
}

impl Cursors {
    /// Loads the log's key, or creates it.
    pub async fn load(store: &Store, log: LogInfo) -> Result<Self, OpenError> {
        let key = store.cursor_key().await?;
        let cipher = XChaCha20Poly1305::new(&key.into());
        Ok(Self { cipher, log })
    }

    /// Creates a feed cursor: everything up to `points` has been read.
    pub(super) fn seal_feed(&self, points: &[LogPoint]) -> Result<String, ApiError> {
        self.seal(&self.encode(points), b"feed")
    }

    /// Opens a feed cursor. The caller checks that the log has its points.
    ///
    /// # Errors
    /// The cursor was altered, is not a feed cursor, or has another epoch than the log.
    pub(super) fn open_feed(&self, cursor: &str) -> Result<Vec<LogPoint>, ApiError> {
        let opened = self.open(cursor, b"feed")?;
        let (points, rest) = self.points(&opened)?;
        match rest {
            [] => Ok(points),
            _ => Err(ApiError::InvalidCursor),
        }
    }

    /// Creates a list cursor, which continues after `after`, as of `snapshot`.
    pub(super) fn seal_list(
        &self,
        filter: &Filter,
        snapshot: &[LogPoint],
        after: ListKey,
    ) -> Result<String, ApiError> {
        let mut bytes = self.encode(snapshot);
        bytes.extend(after.occurred_at.as_micros().to_be_bytes());
        bytes.extend(after.billable_id.as_bytes());
        self.seal(&bytes, &purpose(filter))
    }

    /// Opens a cursor for the list with this filter. The caller checks that the log has its points.
    pub(super) fn open_list(
        &self,
        filter: &Filter,
        cursor: &str,
    ) -> Result<(Vec<LogPoint>, ListKey), ApiError> {
        let opened = self.open(cursor, &purpose(filter))?;
        let (snapshot, rest) = self.points(&opened)?;
        let after = rest.split_first_chunk().and_then(|(micros, id)| {
            Some(ListKey {
                occurred_at: Timestamp::from_micros(i64::from_be_bytes(*micros))?,
                billable_id: Uuid::from_slice(id).ok()?,
            })
        });
        Ok((snapshot, after.ok_or(ApiError::InvalidCursor)?))
    }

    /// Creates the cursor of a list in the order of ids, which continues after `id`.
    pub(super) fn seal_id(&self, list: &[u8], id: &str) -> Result<String, ApiError> {
        let bytes = [self.log.epoch.as_bytes(), id.as_bytes()].concat();
        self.seal(&bytes, list)
    }

    /// Opens a cursor of [`Self::seal_id`].
    pub(super) fn open_id(&self, list: &[u8], cursor: &str) -> Result<String, ApiError> {
        let opened = self.open(cursor, list)?;
        let (epoch, id) = opened.split_at_checked(16).ok_or(ApiError::InvalidCursor)?;
        if epoch != self.log.epoch.as_bytes() {
            return Err(ApiError::CursorGone);
        }
        String::from_utf8(id.to_vec()).map_err(|_| ApiError::InvalidCursor)
    }

    fn encode(&self, points: &[LogPoint]) -> Vec<u8> {
        let mut bytes = self.log.epoch.as_bytes().to_vec();
        for point in points {
            bytes.extend(point.position.to_be_bytes());
            bytes.extend(point.mark);
        }
        bytes
    }

    fn points<'a>(&self, bytes: &'a [u8]) -> Result<(Vec<LogPoint>, &'a [u8]), ApiError> {
        let (epoch, rest) = bytes.split_at_checked(16).ok_or(ApiError::InvalidCursor)?;
        if epoch != self.log.epoch.as_bytes() {
            return Err(ApiError::CursorGone);
        }
        let length = POINT * self.log.partitions as usize;
        let (points, rest) = rest
            .split_at_checked(length)
            .ok_or(ApiError::InvalidCursor)?;
        let (points, []) = points.as_chunks::<POINT>() else {
            return Err(ApiError::InvalidCursor);
        };
        let point = |[position @ .., a, b, c, d]: &[u8; POINT]| LogPoint {
            position: i64::from_be_bytes(*position),
            mark: [*a, *b, *c, *d],
        };
        Ok((points.iter().map(point).collect(), rest))
    }

    fn seal(&self, bytes: &[u8], purpose: &[u8]) -> Result<String, ApiError> {
        let nonce: [u8; NONCE] = random_bytes().map_err(|_| ApiError::Internal)?;
        let payload = Payload {
            msg: bytes,
            aad: purpose,
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| ApiError::Internal)?;
        let bytes = [&[VERSION], &nonce[..], &sealed].concat();
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn open(&self, cursor: &str, purpose: &[u8]) -> Result<Vec<u8>, ApiError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
        let opened = match &*bytes {
            [VERSION, rest @ ..] => rest.split_first_chunk::<NONCE>().and_then(|(nonce, msg)| {
                let payload = Payload { msg, aad: purpose };
                self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()
            }),
            _ => None,
        };
        opened.ok_or(ApiError::InvalidCursor)
    }
}

/// Returns the purpose of a list cursor, which binds it to the list with this filter.
fn purpose(filter: &Filter) -> Vec<u8> {
    let Filter {
        account_id,
        customer_id,
        session_id,
        call_sid,
        from,
        to,
        state,
        client,
        recorded_from,
        recorded_to,
    } = filter;
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.as_str().to_owned());
    let micros = |timestamp: &Option<Timestamp>| timestamp.map(Timestamp::as_micros);
    let parts = (
        "list",
        [account_id, customer_id, session_id, call_sid].map(text),
        [from, to, recorded_from, recorded_to].map(micros),
        state.map(crate::billable::BillableState::as_str),
        client.as_ref().map(ClientName::as_str),
    );
    serde_json::to_vec(&parts).expect("texts and numbers serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors(epoch: u128, partitions: u32) -> Cursors {
        let log = LogInfo {
            epoch: Uuid::from_u128(epoch),
            partitions,
        };
        let cipher = XChaCha20Poly1305::new(&[7; 32].into());
        Cursors { cipher, log }
    }

    fn code<T>(result: Result<T, ApiError>) -> &'static str {
        result.map_or_else(|error| error.code(), |_| "opened")
    }

    fn at(position: i64) -> LogPoint {
        LogPoint {
            position,
            mark: [1, 2, 3, 4],
        }
    }

    #[test]
    fn a_cursor_opens_only_on_its_own_log_and_reveals_nothing() {
        let one = cursors(1, 2);
        let (small, large) = (
            one.seal_feed(&[at(0), at(1)]).expect("sealed"),
            one.seal_feed(&[at(i64::MAX); 2]).expect("sealed"),
        );
        assert_eq!(small.len(), large.len());
        assert_ne!(small, one.seal_feed(&[at(0), at(1)]).expect("sealed"));
        assert_eq!(one.open_feed(&small).expect("opened"), [at(0), at(1)]);
        assert_eq!(code(cursors(2, 2).open_feed(&small)), "CursorGone");
        assert_eq!(code(cursors(1, 3).open_feed(&small)), "InvalidCursor");
    }

    #[test]
    fn an_altered_cursor_is_refused() {
        let cursors = cursors(1, 1);
        let sealed = cursors.seal_feed(&[at(5)]).expect("sealed");
        for index in 0..sealed.len() {
            let mut altered = sealed.clone().into_bytes();
            altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ASCII");
            // The last character has unused bits.
            if URL_SAFE_NO_PAD.decode(&altered) != URL_SAFE_NO_PAD.decode(&sealed) {
                assert_eq!(
                    code(cursors.open_feed(&altered)),
                    "InvalidCursor",
                    "{index}"
                );
            }
        }
        for text in [
            "",
            "A",
            "AQ",
            "é",
            &sealed[..sealed.len() - 4],
            &format!("{sealed}AAAA"),
        ] {
            assert_eq!(code(cursors.open_feed(text)), "InvalidCursor");
        }
    }

    #[test]
    fn a_list_cursor_is_valid_only_with_the_same_filter() {
        let cursors = cursors(1, 1);
        let of = |session: &str| Filter {
            session_id: Some(Text::trusted(session.to_owned())),
            ..Filter::default()
        };
        let after = ListKey {
            occurred_at: Timestamp::from_micros(-5).expect("a timestamp"),
            billable_id: Uuid::from_u128(9),
        };
        let sealed = cursors
            .seal_list(&of("S"), &[at(5)], after)
            .expect("sealed");
        assert_eq!(
            cursors.open_list(&of("S"), &sealed).expect("opened"),
            (vec![at(5)], after)
        );
        assert_eq!(code(cursors.open_list(&of("T"), &sealed)), "InvalidCursor");
        assert_eq!(code(cursors.open_feed(&sealed)), "InvalidCursor");
        let feed = cursors.seal_feed(&[at(5)]).expect("sealed");
        assert_eq!(code(cursors.open_list(&of("S"), &feed)), "InvalidCursor");
    }
}
