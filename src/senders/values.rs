//! The values that a source's conditions and rules look at.

use crate::billable::RawValue;

/// The values at a source's addresses. One that is null or blank is not given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    /// Those of one record.
    own: &'a [Option<RawValue>],
    /// Those of the whole request.
    shared: &'a [Option<RawValue>],
}

impl<'a> Values<'a> {
    pub(super) fn new(own: &'a [Option<RawValue>], shared: &'a [Option<RawValue>]) -> Self {
        Self { own, shared }
    }

    pub(super) fn get(&self, slot: usize) -> Option<&'a RawValue> {
        let value = self.own[slot].as_ref().or(self.shared[slot].as_ref());
        value.filter(|value| !matches!(value, RawValue::Text(text) if text.trim().is_empty()))
    }
}

/// Returns the bytes of a text, which are none for a structure.
pub(super) fn bytes_of(value: &RawValue) -> &[u8] {
    match value {
        RawValue::Text(text) => text.as_bytes(),
        RawValue::Bytes(bytes) => bytes,
        RawValue::Structure => &[],
    }
}
