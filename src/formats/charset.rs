//! Character encodings that a `Content-Type` names. Everything else reads UTF-8.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::{ReadError, lossless};

/// An encoding that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, and US-ASCII: a byte that is not ASCII is then more likely UTF-8.
    Utf8,
    /// Windows-1252, which has what ISO-8859-1 has. Only the fields that are not UTF-8 are read in
    /// it, because senders label UTF-8 as ISO-8859-1, too.
    Windows1252,
    /// UTF-16, in this byte order unless a byte order mark says otherwise.
    Utf16 { is_big_endian: bool },
}

impl Charset {
    /// Returns the encoding that a `Content-Type` names, by the labels of the Encoding Standard;
    /// UTF-8 if it names none.
    ///
    /// # Errors
    /// The encoding is another one.
    pub fn of(content_type: Option<&str>) -> Result<Self, ReadError> {
        let Some(label) = content_type.and_then(label) else {
            return Ok(Self::Utf8);
        };
        if label.eq_ignore_ascii_case("us-ascii") || label.eq_ignore_ascii_case("ascii") {
            return Ok(Self::Utf8);
        }
        let known = [
            (UTF_8, Self::Utf8),
            (WINDOWS_1252, Self::Windows1252),
            (
                UTF_16LE,
                Self::Utf16 {
                    is_big_endian: false,
                },
            ),
            (
                UTF_16BE,
                Self::Utf16 {
                    is_big_endian: true,
                },
            ),
        ];
        let encoding = Encoding::for_label(label.as_bytes());
        let mut known = known.into_iter();
        let found = known.find(|(known, _)| Some(*known) == encoding);
        found
            .map(|(_, charset)| charset)
            .ok_or(ReadError::UnsupportedType)
    }

    /// Converts a body in UTF-16 to UTF-8, unless it is UTF-8 in spite of its label.
    ///
    /// # Errors
    /// The body is not UTF-16.
    pub fn decode(self, body: &[u8]) -> Result<Cow<'_, [u8]>, ReadError> {
        let Self::Utf16 { is_big_endian } = self else {
            return Ok(Cow::Borrowed(body));
        };
        if std::str::from_utf8(body).is_ok() && !body.contains(&0) {
            return Ok(Cow::Borrowed(body));
        }
        let encoding = if is_big_endian { UTF_16BE } else { UTF_16LE };
        let (text, encoding, has_errors) = encoding.decode(body);
        if has_errors {
            let name = encoding.name();
            return Err(ReadError::Malformed(format!("the body is not {name}")));
        }
        Ok(Cow::Owned(text.into_owned().into_bytes()))
    }

    /// The maximum memory that decoding takes in addition to the body, in bytes.
    pub fn memory(self, body: &[u8]) -> usize {
        match self {
            Self::Utf16 { .. } => body.len() * 3,
            Self::Utf8 | Self::Windows1252 => lossless::growth(body),
        }
    }
}

/// Decodes a text in Windows-1252, in which every byte is a character.
pub fn windows_1252(bytes: &[u8]) -> String {
    WINDOWS_1252
        .decode_without_bom_handling(bytes)
        .0
        .into_owned()
}

/// Returns the value of the parameter `charset`.
fn label(content_type: &str) -> Option<&str> {
    let mut parameters = content_type.split(';').skip(1);
    parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(label: &str) -> Result<Charset, ReadError> {
        Charset::of(Some(&format!("text/csv; header=present; Charset={label}")))
    }

    fn decoded(label: &str, body: &[u8]) -> Result<String, ReadError> {
        let body = of(label)?.decode(body)?.into_owned();
        Ok(String::from_utf8(body).expect("UTF-8"))
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn an_encoding_is_known_by_its_labels() {
        for label in ["UTF-8", "utf8", "us-ascii", "ASCII", "\"utf-8\""] {
            assert_eq!(of(label), Ok(Charset::Utf8), "{label}");
        }
        for label in ["ISO-8859-1", "latin1", "\"windows-1252\"", "cp1252"] {
            assert_eq!(of(label), Ok(Charset::Windows1252), "{label}");
        }
        for label in ["utf-7", "shift_jis", "utf-32", "x", ""] {
            assert_eq!(of(label), Err(ReadError::UnsupportedType), "{label}");
        }
        assert_eq!(Charset::of(None), Ok(Charset::Utf8));
        assert_eq!(Charset::of(Some("text/csv")), Ok(Charset::Utf8));
        assert_eq!(windows_1252(b"J\xe9r\xf4me \x80"), "Jérôme €");
    }

    #[test]
    fn utf16_is_decoded_in_both_byte_orders() {
        let json = "{\"callSid\":\"é\"}";
        let (little, big) = (utf16(json, u16::to_le_bytes), utf16(json, u16::to_be_bytes));
        let marked = [b"\xfe\xff".as_slice(), &big].concat();
        for (label, body) in [
            ("utf-16", &little),
            ("UTF-16LE", &little),
            ("utf-16be", &big),
            ("utf-16", &marked),
            ("utf-16", &json.as_bytes().to_vec()),
        ] {
            assert_eq!(decoded(label, body), Ok(json.to_owned()), "{label}");
        }
        let odd = decoded("utf-16le", b"a\0b");
        let reason = "the body is not UTF-16LE".to_owned();
        assert_eq!(odd, Err(ReadError::Malformed(reason)));
    }
}
