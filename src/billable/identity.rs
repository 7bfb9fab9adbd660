//! How repeats of a report are detected, and the id that is computed for it.
//!
//! An id is a version-8 UUID: the first 128 bits of a SHA-256, overwritten with the version and
//! variant bits of RFC 9562. The hashed bytes are
//!
//! ```text
//! "billables/1"   11 bytes, the domain tag
//! kind            1 byte: 1 key, 2 call, 3 attributed entry, 4 voided entry
//! part …          absent: 0x00; present: 0x01, length in bytes (32 bits, big-endian), UTF-8
//! ```
//!
//! The parts are, by kind:
//!
//! 1. client name, `Idempotency-Key`, index in the batch in decimal (absent for a single report);
//! 2. `accountId`, `customerId`, `sessionId`, `callSid`, as reported;
//! 3. and 4. the billable's id in its lower-case hyphenated form.
//!
//! So a client can compute the id of its report, and the same report gets the same id whenever and
//! wherever it is sent. The tests below are test vectors for other implementations.

use std::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Reported, Timestamp};

const DOMAIN_TAG: &[u8] = b"billables/1";

/// The name of the client that a token belongs to: `[A-Za-z0-9._-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientName(Box<str>);

impl ClientName {
    /// Checks a name. Returns `None` if it is not `[A-Za-z0-9._-]{1,64}`.
    pub fn parse(name: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let valid = (1..=64).contains(&name.len()) && name.bytes().all(allowed);
        valid.then(|| Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An `Idempotency-Key`: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// Checks a key. Returns `None` if it is not 1 to 255 visible ASCII characters.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let visible = key.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(key).ok()?;
        (visible && (1..=255).contains(&key.len())).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How repeats of a report are detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// By the client's key, and by the item's index if it came in a batch.
    Key {
        /// The key as sent.
        key: IdempotencyKey,
        /// The index in the batch; `None` for a single report.
        index: Option<u32>,
    },
    /// By the four fields, because `callSid` is given.
    Call,
    /// They are not detected: every report is new.
    None,
}

impl Identity {
    /// Returns the identity of a report: its key, else its call, else none.
    pub fn of(key: Option<IdempotencyKey>, index: Option<u32>, reported: &Reported) -> Self {
        match (key, &reported.call_sid) {
            (Some(key), _) => Self::Key { key, index },
            (None, Some(_)) => Self::Call,
            (None, None) => Self::None,
        }
    }

    /// Returns the key, if the identity is one.
    pub fn key(&self) -> Option<&IdempotencyKey> {
        match self {
            Self::Key { key, .. } => Some(key),
            Self::Call | Self::None => None,
        }
    }

    /// Returns the index in the batch, if the report has a key and came in a batch.
    pub fn index(&self) -> Option<u32> {
        match self {
            Self::Key { index, .. } => *index,
            Self::Call | Self::None => None,
        }
    }

    /// The value of the `Billable-Identity` header.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Key { .. } => "key",
            Self::Call => "call",
            Self::None => "none",
        }
    }

    /// Returns the id of a report of `client` with this identity, or calls `random`
    /// if it has none.
    pub fn id(
        &self,
        client: &ClientName,
        reported: &Reported,
        random: impl FnOnce() -> Uuid,
    ) -> Uuid {
        match self {
            Self::Key { key, index } => {
                let index = index.map(|index| index.to_string());
                hash(
                    1,
                    [Some(client.as_str()), Some(key.as_str()), index.as_deref()],
                )
            }
            Self::Call => hash(2, reported.fields().map(|(_, value)| value)),
            Self::None => random(),
        }
    }
}

/// Returns the id of the entry that attributes a billable.
pub fn attributed_id(billable: Uuid) -> Uuid {
    hash(
        3,
        [Some(
            billable
                .hyphenated()
                .encode_lower(&mut Uuid::encode_buffer()) as &str,
        )],
    )
}

/// Returns the id of the entry that voids a billable.
pub fn voided_id(billable: Uuid) -> Uuid {
    hash(
        4,
        [Some(
            billable
                .hyphenated()
                .encode_lower(&mut Uuid::encode_buffer()) as &str,
        )],
    )
}

fn hash<const N: usize>(kind: u8, parts: [Option<&str>; N]) -> Uuid {
    let mut sha = Sha256::new_with_prefix(DOMAIN_TAG);
    sha.update([kind]);
    for part in parts {
        match part {
            None => sha.update([0]),
            Some(text) => {
                let length = u32::try_from(text.len()).expect("every part is bounded");
                sha.update([1]);
                sha.update(length.to_be_bytes());
                sha.update(text.as_bytes());
            }
        }
    }
    let digest = sha.finalize();
    let first = digest.first_chunk::<16>().expect("SHA-256 has 32 bytes");
    Uuid::new_v8(*first)
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a unique id, for example for a report without an identity: version 7, with the time and
/// 74 random bits.
pub fn random_id(now: Timestamp) -> Uuid {
    let micros = now.as_micros();
    let seconds = u64::try_from(micros.div_euclid(1_000_000)).unwrap_or_default();
    let nanos = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billable::{Field, RawReport, RawValue, Report, Timestamp};

    fn reported(fields: [Option<&str>; 4]) -> Reported {
        let mut raw = RawReport::default();
        for (field, value) in Field::ALL.into_iter().zip(fields) {
            raw.set(field, value.map(|value| RawValue::Text(value.to_owned())));
        }
        Report::parse(raw, Timestamp::now())
            .expect("a report")
            .reported
    }

    fn id(key: Option<&str>, index: Option<u32>, fields: [Option<&str>; 4]) -> String {
        let client = ClientName::parse("default").expect("a name");
        let key = key.map(|key| IdempotencyKey::parse(key.as_bytes()).expect("a key"));
        let reported = reported(fields);
        Identity::of(key, index, &reported)
            .id(&client, &reported, Uuid::nil)
            .to_string()
    }

    /// The ids were computed by an independent implementation of the scheme above.
    #[test]
    fn ids_match_the_test_vectors() {
        let session = [None, None, Some("S1"), Some("CA1")];
        let pair = [Some("acc"), Some("cus"), None, Some("CA1")];
        let unicode = [Some("é"), Some("😀"), Some("S"), Some("CA1")];
        assert_eq!(
            id(Some("order-17"), None, session),
            "cfacfd9b-e938-83d6-af41-521d8ed1fcac"
        );
        assert_eq!(
            id(Some("order-17"), Some(0), session),
            "a0d4db0c-e394-8504-98c8-343314683c44"
        );
        assert_eq!(
            id(None, None, session),
            "9fa7705a-9bff-8ead-a1fd-6201c57676cc"
        );
        assert_eq!(id(None, None, pair), "8cdc9064-86bb-8aa7-94dd-3ddcc3a8189f");
        assert_eq!(
            id(None, None, unicode),
            "c9086650-f2af-8c30-baf3-ccc8aa8806ca"
        );
        let billable = "8cdc9064-86bb-8aa7-94dd-3ddcc3a8189f"
            .parse()
            .expect("a UUID");
        assert_eq!(
            attributed_id(billable).to_string(),
            "9a110f74-3588-8993-8fdc-1749a7b73058"
        );
        assert_eq!(
            voided_id(billable).to_string(),
            "fa38bbfb-fa09-8462-839d-6815e4ef580e"
        );
    }

    #[test]
    fn a_key_makes_the_identity_and_the_content_does_not() {
        let one = id(Some("k"), None, [None, None, Some("S1"), None]);
        let other = id(Some("k"), None, [None, None, Some("S2"), Some("CA1")]);
        assert_eq!(one, other);
    }

    #[test]
    fn a_report_with_neither_key_nor_call_has_no_identity() {
        assert_eq!(
            id(None, None, [None, None, Some("S1"), None]),
            Uuid::nil().to_string()
        );
    }

    #[test]
    fn moving_text_between_fields_changes_the_id() {
        let ids = [
            id(None, None, [Some("ab"), Some("c"), None, Some("x")]),
            id(None, None, [Some("a"), Some("bc"), None, Some("x")]),
            id(None, None, [Some("c"), Some("ab"), None, Some("x")]),
            id(None, None, [Some("ab"), Some("c"), Some("x"), Some("x")]),
        ];
        for (index, one) in ids.iter().enumerate() {
            assert!(!ids[index + 1..].contains(one));
        }
    }

    #[test]
    fn names_and_keys_are_bounded() {
        assert!(ClientName::parse("a.B_9-").is_some());
        for name in ["", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(ClientName::parse(name).is_none(), "{name}");
        }
        assert!(IdempotencyKey::parse(b"~!\"{}").is_some());
        for key in [&b""[..], b"a b", b"a\x7f", "é".as_bytes(), &[b'x'; 256]] {
            assert!(IdempotencyKey::parse(key).is_none());
        }
    }
}
