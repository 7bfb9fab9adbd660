//! Rules: how a field of a report is read from the values at a source's addresses.

use percent_encoding::percent_decode;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::condition::Absent;
use super::values::{Values, bytes_of};
use crate::billable::{RawValue, Text};
use crate::formats::lossless;

/// What a hash begins with. A call that begins so itself is hashed, too, so that it is no other one.
const HASH: &str = "sha256:";

/// How a value is encoded within its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Encoding {
    Percent,
}

/// How a field is read.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) parts: Parts,
    pub(super) decode: Option<Encoding>,
    /// The value that is not encoded: what the sender appended to the URL.
    pub(super) appended: Option<usize>,
    /// Texts that mean that the sender has no value.
    pub(super) unset: Vec<String>,
    pub(super) absent: Absent,
}

/// The values that a field is read from, as indices among those of the source's addresses.
#[derive(Clone, Debug)]
pub(super) enum Parts {
    /// The first one that is given.
    First(Vec<usize>),
    /// All of them, joined. A backslash stands before the separator, and before a backslash, in a
    /// part, so that no two lists of parts are joined to the same text.
    All { slots: Vec<usize>, join: String },
}

impl Rule {
    /// The indices of the values that it reads.
    pub(super) fn slots(&self) -> &[usize] {
        match &self.parts {
            Parts::First(slots) | Parts::All { slots, .. } => slots,
        }
    }

    /// Returns the field's value, if it is given.
    pub(super) fn value(&self, values: Values<'_>) -> Option<RawValue> {
        let given = |slot: &usize| {
            let value = values.get(*slot)?;
            let is_unset = |text: &String| self.unset.contains(text);
            (!matches!(value, RawValue::Text(text) if is_unset(text))).then_some(value)
        };
        let decoded = |slot: &usize| {
            let value = given(slot)?;
            let encoding = self.decode.filter(|_| self.appended != Some(*slot));
            Some(match (encoding, value) {
                (None, _) | (_, RawValue::Structure) => value.clone(),
                (Some(Encoding::Percent), _) => {
                    lossless::value_of(percent_decode(bytes_of(value)).collect())
                }
            })
        };
        match &self.parts {
            Parts::First(slots) => slots.iter().find_map(decoded),
            Parts::All { slots, join } => {
                let parts: Vec<_> = slots.iter().map(decoded).collect::<Option<_>>()?;
                Some(joined(&parts, join))
            }
        }
    }
}

fn joined(parts: &[RawValue], join: &str) -> RawValue {
    let separator = join.as_bytes();
    let mut all = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if *part == RawValue::Structure {
            return RawValue::Structure;
        }
        if index > 0 {
            all.extend_from_slice(separator);
        }
        for byte in bytes_of(part) {
            if *byte == b'\\' || separator.contains(byte) {
                all.push(b'\\');
            }
            all.push(*byte);
        }
    }
    lossless::value_of(all)
}

/// Returns the id of a call as it is, or as `sha256:` and the hash of its bytes if it cannot be
/// stored, and whether it is the hash. A caller may choose the id, and must not make the call free.
pub(super) fn storable(call_sid: RawValue) -> (RawValue, bool) {
    let bytes = match call_sid {
        RawValue::Text(text)
            if Text::named("callSid", text.clone()).is_ok()
                && !text.trim().is_empty()
                && !text.starts_with(HASH) =>
        {
            return (RawValue::Text(text), false);
        }
        RawValue::Text(text) => text.into_bytes(),
        RawValue::Bytes(bytes) => bytes.into_vec(),
        RawValue::Structure => return (call_sid, false),
    };
    let hash = Sha256::digest(&bytes);
    let hex = hash.iter().map(|byte| format!("{byte:02x}"));
    (
        RawValue::Text(format!("{HASH}{}", hex.collect::<String>())),
        true,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> RawValue {
        RawValue::Text(text.to_owned())
    }

    proptest! {
        #[test]
        fn parts_that_differ_are_joined_to_texts_that_differ(
            one in prop::collection::vec("[-a\\\\]{0,4}", 2),
            other in prop::collection::vec("[-a\\\\]{0,4}", 2),
        ) {
            let join = |parts: &[String]| {
                let parts: Vec<_> = parts.iter().map(|part| text(part)).collect();
                joined(&parts, "-")
            };
            prop_assert_eq!(join(&one) == join(&other), one == other);
        }
    }

    #[test]
    fn a_call_that_cannot_be_stored_is_a_hash() {
        let long = "x".repeat(257);
        for (value, is_hash) in [
            (text("CA1"), false),
            (text(" "), true),
            (text("a\nb"), true),
            (text("sha256:7586"), true),
            (text(&long), true),
            (RawValue::Bytes([0xff].into()), true),
            (RawValue::Structure, false),
        ] {
            let (stored, is_hashed) = storable(value.clone());
            assert_eq!(is_hashed, is_hash, "{value:?}");
            let is_named = matches!(&stored, RawValue::Text(text) if text.starts_with("sha256:") && text.len() == 71);
            assert_eq!(is_named, is_hash, "{value:?}");
        }
    }
}
