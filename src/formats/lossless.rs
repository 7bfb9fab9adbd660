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

use crate::billable::RawValue;

/// The characters that stand for the bytes 0 to 255.
const FIRST: u32 = 0x10_F700;
const LAST: u32 = FIRST + 0xFF;

/// The first byte of these characters in UTF-8.
const LEAD: u8 = 0xF4;

/// Returns how many bytes more a body takes when it is read as text: each of its bytes that is not UTF-8
/// takes four.
pub(super) fn growth(body: &[u8]) -> usize {
    if std::str::from_utf8(body).is_ok() && memchr(LEAD, body).is_none() {
        return 0;
    }
    let chunks = body.utf8_chunks();
    let foreign = chunks.map(|chunk| {
        let private = chunk.valid().chars().filter(|c| byte_of(*c).is_some());
        chunk.invalid().len() + 4 * private.count()
    });
    3 * foreign.sum::<usize>()
}

/// Reads bytes as text.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    has_foreign: bool,
}

impl Decoder {
    /// The text is borrowed if it has only what the bytes have.
    pub(crate) fn decode<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, str> {
        match std::str::from_utf8(bytes) {
            Ok(text) if memchr(LEAD, bytes).is_none() => return Cow::Borrowed(text),
            _ => {}
        }
        let mut text = String::with_capacity(bytes.len() + growth(bytes));
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                if byte_of(character).is_some() {
                    self.push(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
                } else {
                    text.push(character);
                }
            }
            self.push(&mut text, chunk.invalid());
        }
        Cow::Owned(text)
    }

    /// Works like [`Self::decode`], for bytes that are not needed any more.
    pub(crate) fn decode_owned(&mut self, bytes: Vec<u8>) -> String {
        let bytes = match String::from_utf8(bytes) {
            Ok(text) if !text.as_bytes().contains(&LEAD) => return text,
            Ok(text) => text.into_bytes(),
            Err(error) => error.into_bytes(),
        };
        self.decode(&bytes).into_owned()
    }

    /// Whether there were bytes that are read as characters of the private range.
    pub(crate) fn has_foreign(&self) -> bool {
        self.has_foreign
    }

    fn push(&mut self, text: &mut String, bytes: &[u8]) {
        self.has_foreign |= !bytes.is_empty();
        text.extend(bytes.iter().copied().map(character_of));
    }
}

/// Returns the bytes of a text that [`Decoder::decode`] returned, if they are not those of the text.
#[inline]
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
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
pub(crate) fn value_of(bytes: Vec<u8>) -> RawValue {
    match String::from_utf8(bytes) {
        Ok(text) => RawValue::Text(text),
        Err(error) => RawValue::Bytes(error.into_bytes().into()),
    }
}

/// Converts a text without escapes back into what was sent.
pub(crate) fn restore(text: String) -> RawValue {
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
        let text = Decoder::default().decode(bytes).into_owned();
        assert_eq!(text.len(), bytes.len() + growth(bytes));
        text
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
}
