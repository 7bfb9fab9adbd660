//! Text that may hold bytes that are not UTF-8.
//!
//! PBXs copy what callers send into their records, in whatever encoding. A report is refused only if
//! such bytes are in one of its fields. So each byte is read as one character of a private range, and
//! what is read into a field is converted back, before its escapes are decoded.
//!
//! The characters of the range that a body really has are read as their bytes, too, so that no two
//! bodies are read as the same text.

use std::borrow::Cow;

use memchr::memchr;

use super::ReadError;
use crate::billable::RawValue;

/// The characters that stand for the bytes 0 to 255.
const FIRST: u32 = 0x10_F700;
const LAST: u32 = FIRST + 0xFF;

/// The first byte of these characters in UTF-8.
const LEAD: u8 = 0xF4;

/// The maximum number of bytes in a body that are read as such a character: each takes four times
/// its memory. A record has some names of them.
const MAX_FOREIGN: usize = 64 * 1024;

/// Reads bytes as text.
#[derive(Debug)]
pub(super) struct Decoder {
    /// How many more bytes may be read as characters of the private range.
    left: usize,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { left: MAX_FOREIGN }
    }

    /// The text is borrowed if it has only what the bytes have.
    ///
    /// # Errors
    /// There are too many bytes that are not UTF-8.
    pub(super) fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Cow<'a, str>, ReadError> {
        match std::str::from_utf8(bytes) {
            Ok(text) if memchr(LEAD, bytes).is_none() => return Ok(Cow::Borrowed(text)),
            _ => {}
        }
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                if byte_of(character).is_some() {
                    self.push(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes())?;
                } else {
                    text.push(character);
                }
            }
            self.push(&mut text, chunk.invalid())?;
        }
        Ok(Cow::Owned(text))
    }

    /// Works like [`Self::decode`], for bytes that are not needed any more.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub(super) fn decode_owned(&mut self, bytes: Vec<u8>) -> Result<String, ReadError> {
        let bytes = match String::from_utf8(bytes) {
            Ok(text) if !text.as_bytes().contains(&LEAD) => return Ok(text),
            Ok(text) => text.into_bytes(),
            Err(error) => error.into_bytes(),
        };
        self.decode(&bytes).map(Cow::into_owned)
    }

    /// Whether there were bytes that are read as characters of the private range.
    pub(super) fn has_foreign(&self) -> bool {
        self.left < MAX_FOREIGN
    }

    fn push(&mut self, text: &mut String, bytes: &[u8]) -> Result<(), ReadError> {
        let left = self.left.checked_sub(bytes.len());
        self.left = left.ok_or_else(|| {
            let reason = format!("the body has more than {MAX_FOREIGN} bytes that are not UTF-8");
            ReadError::Malformed(reason)
        })?;
        text.extend(bytes.iter().copied().map(character_of));
        Ok(())
    }
}

/// Returns the bytes of a text that [`Decoder::decode`] returned, if they are not those of the text.
#[inline]
pub(super) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let has_foreign = text.as_bytes().contains(&LEAD);
    has_foreign.then(|| restored(text))
}

fn restored(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte_of(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Returns bytes as a text if they are UTF-8.
pub(super) fn value_of(bytes: Vec<u8>) -> RawValue {
    match String::from_utf8(bytes) {
        Ok(text) => RawValue::Text(text),
        Err(error) => RawValue::Bytes(error.into_bytes().into()),
    }
}

/// Converts a text without escapes back into what was sent.
pub(super) fn restore(text: String) -> RawValue {
    match bytes_of(&text) {
        None => RawValue::Text(text),
        Some(bytes) => value_of(bytes),
    }
}

fn character_of(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte)).expect("a private character")
}

fn byte_of(character: char) -> Option<u8> {
    let code = u32::from(character);
    let byte = (FIRST..=LAST).contains(&code).then(|| code - FIRST)?;
    u8::try_from(byte).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> String {
        let text = Decoder::new().decode(bytes).expect("few bytes");
        text.into_owned()
    }

    fn bytes_in(value: RawValue) -> Vec<u8> {
        match value {
            RawValue::Text(text) => text.into_bytes(),
            RawValue::Bytes(bytes) => bytes.into_vec(),
            RawValue::Structure => unreachable!("a text"),
        }
    }

    proptest! {
        #[test]
        fn all_bytes_come_back(bytes: Vec<u8>, text: String, byte: u8) {
            prop_assert_eq!(bytes_in(restore(decode(&bytes))), bytes.clone());
            let private = character_of(byte).to_string();
            let mixed = [text.as_bytes(), private.as_bytes(), &bytes].concat();
            prop_assert_eq!(bytes_in(restore(decode(&mixed))), mixed);
        }
    }

    #[test]
    fn text_stays_text_and_other_bytes_are_told_apart() {
        assert_eq!(decode("aé😀".as_bytes()), "aé😀");
        assert_eq!(
            restore("aé😀".to_owned()),
            RawValue::Text("aé😀".to_owned())
        );
        let private = "\u{10F7E9}";
        assert_eq!(decode(private.as_bytes()).chars().count(), 4);
        assert_eq!(
            restore(decode(private.as_bytes())),
            RawValue::Text(private.to_owned())
        );
        assert_eq!(decode(b"J\xe9r\xf4me"), "J\u{10F7E9}r\u{10F7F4}me");
        assert_eq!(restore(decode(b"\xe9")), RawValue::Bytes([0xe9].into()));
    }
    #[test]
    fn the_number_of_bytes_that_are_not_utf8_is_limited() {
        let mut decoder = Decoder::new();
        let bytes = vec![0xff; MAX_FOREIGN];
        assert!(decoder.decode(&bytes).is_ok());
        assert!(decoder.decode(b"text").is_ok());
        assert!(decoder.decode(b"\xff").is_err());
    }
}
