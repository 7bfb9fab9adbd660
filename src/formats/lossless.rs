//! Text that may hold bytes that are not UTF-8.
//!
//! PBXs copy what callers send into their records, in whatever encoding. A report is refused only if
//! such bytes are in one of its fields. So each byte is read as one character of a private range, and
//! what is read into a field is converted back.
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

/// Reads bytes as text. The text is borrowed if it has only what the bytes have.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if memchr(LEAD, bytes).is_none() => Cow::Borrowed(text),
        _ => {
            let mut text = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                for character in chunk.valid().chars() {
                    if byte_of(character).is_some() {
                        let mut utf8 = [0; 4];
                        let utf8 = character.encode_utf8(&mut utf8);
                        text.extend(utf8.bytes().map(character_of));
                    } else {
                        text.push(character);
                    }
                }
                text.extend(chunk.invalid().iter().copied().map(character_of));
            }
            Cow::Owned(text)
        }
    }
}

/// Works like [`decode`], for bytes that are not needed any more.
pub(super) fn decode_owned(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if memchr(LEAD, text.as_bytes()).is_none() => return text,
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    decode(&bytes).into_owned()
}

/// Converts a text that [`decode`] returned back into its bytes, as text if they are UTF-8.
pub(super) fn restore(text: String) -> RawValue {
    if memchr(LEAD, text.as_bytes()).is_none() {
        return RawValue::Text(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte_of(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => RawValue::Text(text),
        Err(error) => RawValue::Bytes(error.into_bytes().into()),
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

    fn bytes_of(value: RawValue) -> Vec<u8> {
        match value {
            RawValue::Text(text) => text.into_bytes(),
            RawValue::Bytes(bytes) => bytes.into_vec(),
            RawValue::Structure => unreachable!("a text"),
        }
    }

    proptest! {
        #[test]
        fn all_bytes_come_back(bytes: Vec<u8>, text: String, byte: u8) {
            prop_assert_eq!(bytes_of(restore(decode(&bytes).into_owned())), bytes.clone());
            let private = char::from_u32(FIRST + u32::from(byte)).expect("a character");
            let mixed = [text.as_bytes(), private.to_string().as_bytes(), &bytes].concat();
            prop_assert_eq!(bytes_of(restore(decode(&mixed).into_owned())), mixed);
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
            restore(decode(private.as_bytes()).into_owned()),
            RawValue::Text(private.to_owned())
        );
        assert_eq!(decode(b"J\xe9r\xf4me"), "J\u{10F7E9}r\u{10F7F4}me");
        assert_eq!(
            restore(decode(b"\xe9").into_owned()),
            RawValue::Bytes([0xe9].into())
        );
    }
}
