//! Character encodings that a `Content-Type` names. Everything after this reads UTF-8.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::{Format, ReadError};

/// The encodings that are decoded. Their labels are those of the Encoding Standard, in which
/// ISO-8859-1 and US-ASCII are labels of Windows-1252.
const KNOWN: [&Encoding; 4] = [UTF_8, WINDOWS_1252, UTF_16LE, UTF_16BE];

/// Converts a body to UTF-8 if its `Content-Type` names another encoding. A byte order mark
/// outweighs the label.
///
/// JSON that is UTF-8 stays as it is, because senders label it wrongly. So does what is labelled as
/// US-ASCII: a byte that is not ASCII is then more likely UTF-8.
///
/// # Errors
/// The encoding is not known, or the body is not in it.
pub fn decode<'a>(content_type: Option<&str>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, ReadError> {
    let Some(label) = content_type.and_then(label) else {
        return Ok(Cow::Borrowed(body));
    };
    let encoding = Encoding::for_label(label.as_bytes());
    let encoding = encoding.filter(|found| KNOWN.contains(found));
    let Some(encoding) = encoding else {
        return Err(ReadError::UnsupportedType);
    };
    let is_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
        || content_type.and_then(Format::from_content_type) == Some(Format::Json);
    let is_utf8 = || std::str::from_utf8(body).is_ok() && !body.contains(&0);
    let is_ascii = label.eq_ignore_ascii_case("us-ascii") || label.eq_ignore_ascii_case("ascii");
    if encoding == UTF_8 || is_ascii || (is_json && is_utf8()) {
        return Ok(Cow::Borrowed(body));
    }
    let (text, encoding, has_errors) = encoding.decode(body);
    if has_errors {
        let name = encoding.name();
        return Err(ReadError::Malformed(format!("the body is not {name}")));
    }
    Ok(Cow::Owned(text.into_owned().into_bytes()))
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

    fn decoded(content_type: &str, body: &[u8]) -> Result<String, ReadError> {
        let body = decode(Some(content_type), body)?.into_owned();
        Ok(String::from_utf8(body).expect("UTF-8"))
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_body_is_decoded_as_its_label_says() {
        let text = |text: &str| Ok(text.to_owned());
        for label in ["ISO-8859-1", "latin1", "\"windows-1252\"", "cp1252"] {
            let content_type = format!("text/csv; charset={label}; header=present");
            assert_eq!(
                decoded(&content_type, b"J\xe9r\xf4me \x80"),
                text("Jérôme €")
            );
        }
        for label in ["utf-16", "UTF-16LE"] {
            let content_type = format!("application/json;charset={label}");
            let body = utf16("{\"callSid\":\"é\"}", u16::to_le_bytes);
            assert_eq!(decoded(&content_type, &body), text("{\"callSid\":\"é\"}"));
        }
        let big = utf16("\u{feff}{}", u16::to_be_bytes);
        for label in ["utf-16", "utf-16be"] {
            let content_type = format!("application/json; Charset={label}");
            assert_eq!(decoded(&content_type, &big), text("{}"), "{label}");
        }
        // JSON that is UTF-8, and what is labelled as ASCII, is what its bytes say.
        let json = "{\"a\":\"é\"}";
        assert_eq!(
            decoded("application/json; charset=latin1", json.as_bytes()),
            text(json)
        );
        assert_eq!(
            decoded("text/plain; charset=iso-8859-1", json.as_bytes()),
            text(json)
        );
        assert_eq!(
            decoded("text/csv; charset=us-ascii", "é".as_bytes()),
            text("é")
        );
        assert_eq!(
            decoded("text/csv; charset=utf-8", "é".as_bytes()),
            text("é")
        );
        assert_eq!(decoded("text/csv", "é".as_bytes()), text("é"));
        for unknown in ["utf-7", "shift_jis", "utf-32", "x", ""] {
            let content_type = format!("text/csv; charset={unknown}");
            assert_eq!(
                decoded(&content_type, b"a"),
                Err(ReadError::UnsupportedType)
            );
        }
        let odd = decoded("text/csv; charset=utf-16le", b"a\0b");
        assert_eq!(
            odd,
            Err(ReadError::Malformed("the body is not UTF-16LE".to_owned()))
        );
    }
}
