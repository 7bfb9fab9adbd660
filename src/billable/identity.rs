//! How repeats of a report are detected, and the id that is computed for it.
//!
//! The id of a report with an identity is a version-8 UUID, made of two hashes:
//!
//! ```text
//! bytes 0 to 5    of the hash of the group: what the report has in common with its neighbours
//! bytes 6 to 15   of the hash of the identity, overwritten with the version and variant bits
//! ```
//!
//! So all billables of a call, and all items of a batch with a key, are neighbours in the primary
//! key. Each hash is the SHA-256 of
//!
//! ```text
//! "billables/1"   11 bytes, the domain tag
//! kind            1 byte: 1 key, 2 call
//! part …          absent: 0x00; present: 0x01, length in bytes (32 bits, big-endian), UTF-8
//! ```
//!
//! The parts are, by kind:
//!
//! | kind | group | identity |
//! |---|---|---|
//! | 1 | client name, `Idempotency-Key` | client name, `Idempotency-Key`, index in the batch in decimal (absent for a single report) |
//! | 2 | `callSid` | `accountId`, `customerId`, `sessionId`, `callSid`, as reported |
//!
//! So a client can compute the id of a report that has a key or a `callSid`, and a repeat of it gets
//! the same id from any server. A report with neither gets a random version-7 UUID. The tests below
//! are test vectors for other implementations.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Reported, Text, Timestamp};

const DOMAIN_TAG: &[u8] = b"billables/1";

/// The kinds of identity that are hashed.
const KEY: u8 = 1;
const CALL: u8 = 2;

/// The name of the client that a token belongs to: `[A-Za-z0-9._-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientName(Arc<str>);

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
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// Checks a key. Returns `None` if it is not 1 to 255 visible ASCII characters.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let visible = key.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(key).ok()?;
        (visible && (1..=255).contains(&key.len())).then(|| Self(text.into()))
    }

    /// Works like [`Self::parse`], for the value of a header: a quoted one is a string of RFC 9651,
    /// as the IETF's draft of `Idempotency-Key` has it, and the key is what is quoted.
    pub fn parse_header(value: &[u8]) -> Option<Self> {
        match quoted(value) {
            Some(key) => Self::parse(&key),
            None => Self::parse(value),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the content of a quoted string, or `None` if the value is not one.
fn quoted(value: &[u8]) -> Option<Vec<u8>> {
    let mut inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?.iter();
    let mut content = Vec::new();
    while let Some(byte) = inner.next() {
        match byte {
            b'"' => return None,
            b'\\' => content.push(*inner.next().filter(|byte| matches!(byte, b'"' | b'\\'))?),
            byte => content.push(*byte),
        }
    }
    Some(content)
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

    /// Returns the key, if repeats are detected by a key.
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
                let [client, key] = [client.as_str(), key.as_str()].map(Some);
                neighbour(
                    first_part(KEY, [client, key]),
                    hash(KEY, [client, key, index.as_deref()]),
                )
            }
            Self::Call => {
                let fields = reported.fields().map(|(_, value)| value);
                let call = reported.call_sid.as_ref().map(Text::as_str);
                neighbour(first_part(CALL, [call]), hash(CALL, fields))
            }
            Self::None => random(),
        }
    }
}

/// The first six bytes of an id, which neighbours have in common.
pub type FirstPart = [u8; 6];

/// Returns the first part of the ids of a call's billables. Billables of the call whose ids were
/// computed from a key, or elsewhere, have other first parts.
pub fn call_prefix(call_sid: &str) -> FirstPart {
    first_part(CALL, [Some(call_sid)])
}

/// Returns the first part of an id, or `None` if it has none because its version is not 8.
pub fn first_part_of(id: Uuid) -> Option<FirstPart> {
    let bytes = id.as_bytes().first_chunk().copied();
    bytes.filter(|_| id.get_version_num() == 8)
}

/// Returns the first and the last id that can have this first part. Between them are no others.
pub fn neighbours(first_part: FirstPart) -> (Uuid, Uuid) {
    let id = |version_byte, rest| {
        let mut bytes = [rest; 16];
        bytes[..6].copy_from_slice(&first_part);
        bytes[6] = version_byte;
        Uuid::from_bytes(bytes)
    };
    (id(0x80, 0), id(0x8f, u8::MAX))
}

fn first_part<const N: usize>(kind: u8, group: [Option<&str>; N]) -> FirstPart {
    let digest = hash(kind, group);
    *digest.first_chunk().expect("16 bytes have 6")
}

fn neighbour(first_part: FirstPart, mut identity: [u8; 16]) -> Uuid {
    identity[..6].copy_from_slice(&first_part);
    Uuid::new_v8(identity)
}

fn hash<const N: usize>(kind: u8, parts: [Option<&str>; N]) -> [u8; 16] {
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
    *digest.first_chunk().expect("SHA-256 has 32 bytes")
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
            "01d78924-34a4-83d6-af41-521d8ed1fcac"
        );
        assert_eq!(
            id(Some("order-17"), Some(0), session),
            "01d78924-34a4-8504-98c8-343314683c44"
        );
        assert_eq!(
            id(None, None, session),
            "d1719a49-b256-8ead-a1fd-6201c57676cc"
        );
        assert_eq!(id(None, None, pair), "d1719a49-b256-8aa7-94dd-3ddcc3a8189f");
        assert_eq!(
            id(None, None, unicode),
            "d1719a49-b256-8c30-baf3-ccc8aa8806ca"
        );
    }

    #[test]
    fn an_id_is_beside_the_others_of_its_group() {
        let first_part = |id: &str| first_part_of(id.parse().expect("a UUID"));
        let call = id(None, None, [None, None, Some("S1"), Some("CA1")]);
        let other = id(None, None, [Some("a"), Some("b"), None, Some("CA1")]);
        assert_ne!(call, other);
        assert_eq!(first_part(&call), Some(call_prefix("CA1")));
        assert_eq!(first_part(&other), Some(call_prefix("CA1")));
        let keyed =
            |index| first_part(&id(Some("k"), index, [None, None, Some("S1"), Some("CA1")]));
        assert_eq!(keyed(Some(0)), keyed(Some(9_999)));
        assert_eq!(keyed(Some(0)), keyed(None));
        assert_ne!(keyed(None), Some(call_prefix("CA1")));

        let (first, last) = neighbours(call_prefix("CA1"));
        assert!((first..=last).contains(&call.parse::<Uuid>().expect("a UUID")));
        let elsewhere = random_id(Timestamp::now());
        assert_eq!(first_part_of(elsewhere), None);
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
