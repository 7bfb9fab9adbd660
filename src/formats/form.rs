//! Forms: url-encoded, and multipart (RFC 7578). Files are skipped, so they may contain any bytes.

use memchr::memmem;

use super::document::{Item, Unread};
use super::lossless::{self, Decoder};
use super::parameters::Parameters;
use super::{Document, ReadError};
use crate::billable::Field;

/// The maximum number of parts in a multipart form.
const MAX_PARTS: usize = 1000;

/// The maximum size of a part's headers, in bytes.
const MAX_PART_HEAD: usize = 8 * 1024;

/// Parses a url-encoded form.
///
/// # Errors
/// It has too many fields.
pub(super) fn read(body: &[u8]) -> Result<Document, ReadError> {
    let mut decoder = Decoder::default();
    let form = fields(body, &mut decoder)?;
    Ok(document(&form, decoder.has_foreign(), Unread::default()))
}

/// Decodes the fields of a url-encoded form.
///
/// # Errors
/// It has too many fields.
pub(crate) fn fields(body: &[u8], decoder: &mut Decoder) -> Result<Parameters, ReadError> {
    // Some clients end a form like a line. A line end that belongs to a value is escaped.
    let end = body.iter().rposition(|byte| !b"\r\n".contains(byte));
    Parameters::parse_form(&body[..end.map_or(0, |last| last + 1)], decoder)
}

/// Parses a multipart form with this boundary.
///
/// # Errors
/// The form violates RFC 7578 or RFC 2046, or has too many parts.
pub(super) fn read_multipart(body: &[u8], boundary: &str) -> Result<Document, ReadError> {
    let (mut decoder, mut files) = (Decoder::default(), Unread::default());
    let form = multipart_fields(body, boundary, &mut decoder, |name| files.note(name))?;
    Ok(document(&form, decoder.has_foreign(), files))
}

/// Decodes the fields of a multipart form, and calls `skip` with the name of each file.
///
/// # Errors
/// As for [`read_multipart`].
pub(crate) fn multipart_fields(
    body: &[u8],
    boundary: &str,
    decoder: &mut Decoder,
    mut skip: impl FnMut(&str),
) -> Result<Parameters, ReadError> {
    parts(body, boundary, decoder, &mut skip)
        .map_err(|what| ReadError::Malformed(format!("the multipart form {what}")))
}

fn document(form: &Parameters, is_foreign: bool, mut unread: Unread) -> Document {
    let mut report = form.report();
    if is_foreign {
        report.map_texts(lossless::restore);
    }
    for name in form.names().filter(|name| Field::from_name(name).is_none()) {
        unread.note(name);
    }
    Document::one(Item { report, unread })
}

/// Returns the boundary of a `Content-Type`, if it has one: 1 to 70 printable ASCII characters.
pub(super) fn boundary_of(content_type: &str) -> Option<String> {
    let parameter = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim())
    })?;
    let boundary = parameter
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(parameter);
    let allowed = |byte: u8| matches!(byte, b' '..=b'~');
    ((1..=70).contains(&boundary.len()) && boundary.bytes().all(allowed))
        .then(|| boundary.to_owned())
}

fn parts(
    body: &[u8],
    boundary: &str,
    decoder: &mut Decoder,
    skip: &mut impl FnMut(&str),
) -> Result<Parameters, &'static str> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    // The first delimiter may be at the very start, without a line end before it.
    let mut rest = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => split(body, &finder)
            .map(|(_, rest)| rest)
            .ok_or("does not contain its boundary")?,
    };
    let mut form = Parameters::default();
    for _ in 0..MAX_PARTS {
        if rest.starts_with(b"--") {
            return Ok(form);
        }
        let blanks = rest.iter().take_while(|byte| b" \t".contains(byte));
        let part = rest[blanks.count()..]
            .strip_prefix(b"\r\n")
            .ok_or("has unexpected content after a boundary")?;
        let (part, next) = split(part, &finder).ok_or("ends before its closing boundary")?;
        match field(part, decoder)? {
            (name, Some(value)) => form.push(name, value),
            (name, None) => skip(&name),
        }
        rest = next;
    }
    Err("has too many parts")
}

/// Splits at the first delimiter. Returns the bytes before and after it.
fn split<'a>(bytes: &'a [u8], finder: &memmem::Finder<'_>) -> Option<(&'a [u8], &'a [u8])> {
    let at = finder.find(bytes)?;
    Some((&bytes[..at], &bytes[at + finder.needle().len()..]))
}

/// Returns a part's name, and its value if it is not a file.
fn field(part: &[u8], decoder: &mut Decoder) -> Result<(String, Option<String>), &'static str> {
    let (head, value) = match part.strip_prefix(b"\r\n") {
        Some(value) => (&b""[..], value),
        None => split(part, &memmem::Finder::new("\r\n\r\n")).unwrap_or((part, b"")),
    };
    if head.len() > MAX_PART_HEAD {
        return Err("has a part with headers that are too long");
    }
    let head = decoder.decode(head).into_owned();
    let header = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then_some(value)
        })
    };
    let parameters = header("content-disposition")
        .and_then(disposition_of)
        .ok_or("has a part without a valid Content-Disposition")?;
    let get = |wanted: &str| {
        parameters
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    let is_file = get("filename").or(get("filename*")).is_some();
    let coding =
        header("content-transfer-encoding").map(|coding| coding.trim().to_ascii_lowercase());
    if !is_file && !matches!(coding.as_deref(), None | Some("7bit" | "8bit" | "binary")) {
        return Err("has a field with an unsupported Content-Transfer-Encoding");
    }
    let name = get("name").map(|(_, name)| name.clone());
    if is_file {
        return Ok((name.unwrap_or_default(), None));
    }
    let name = name.ok_or("has a part without a name")?;
    Ok((name, Some(decoder.decode(value).into_owned())))
}

/// Parses the parameters of `form-data; name="a"; …`. For a quote in a name, browsers write `%22`
/// and other clients write `\"`.
fn disposition_of(value: &str) -> Option<Vec<(String, String)>> {
    let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(parameters);
        }
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let value;
        (value, rest) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, rest) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), rest)
            }
        };
        parameters.push((name.trim().to_owned(), value));
    }
}

/// Parses a quoted string after its opening quote. Returns it, and the text after the semicolon
/// that follows.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                let rest = quoted[at + 1..].trim_start();
                let rest = rest.strip_prefix(';').or(rest.is_empty().then_some(rest))?;
                return Some((value.replace("%22", "\""), rest));
            }
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billable::{RawReport, RawValue};

    fn report(document: Result<Document, ReadError>) -> Result<RawReport, ReadError> {
        document.map(|document| document.into_reports().remove(0))
    }

    fn text(text: &str) -> Option<RawValue> {
        Some(RawValue::Text(text.to_owned()))
    }

    #[test]
    fn a_boundary_is_taken_from_its_parameter() {
        let of = |content_type| boundary_of(content_type);
        assert_eq!(of("multipart/form-data; boundary=b"), Some("b".to_owned()));
        assert_eq!(
            of("multipart/form-data; charset=utf-8; BOUNDARY=\"a b\""),
            Some("a b".to_owned())
        );
        assert_eq!(of("multipart/form-data"), None);
        assert_eq!(of("multipart/form-data; boundary="), None);
        assert_eq!(
            of(&format!("multipart/form-data; boundary={}", "x".repeat(71))),
            None
        );
    }

    #[test]
    fn parts_are_fields_and_files_are_skipped() {
        let form = concat!(
            "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"sessionId\"\r\n\r\nS\r\n1\r\n",
            "--b \r\ncontent-disposition: FORM-DATA; name=callSid\r\nContent-Type: text/plain\r\n\r\n--c\r\n",
            "--b\r\nContent-Disposition: form-data; name=\"accountId\"; filename=\"a\\\"; b\"\r\n\r\nfile\r\n",
            "--b\r\nContent-Disposition: form-data; name=\"customerId\"\r\n\r\n\r\n--b--\r\nepilogue",
        );
        let report = report(read_multipart(form.as_bytes(), "b")).expect("a form");
        assert_eq!(report.get(Field::SessionId).cloned(), text("S\r\n1"));
        assert_eq!(report.get(Field::CallSid).cloned(), text("--c"));
        assert_eq!(report.get(Field::AccountId), None);
        assert_eq!(report.get(Field::CustomerId), None);
        assert!(read_multipart(b"--b--", "b").is_ok());
    }

    #[test]
    fn a_file_and_a_field_that_nobody_reads_may_have_any_bytes() {
        let form = |parameters: &str| {
            let head = format!("--b\r\nContent-Disposition: form-data; name=x{parameters}\r\n\r\n");
            [head.as_bytes(), b"\xff\0\r\n--b--"].concat()
        };
        assert!(read_multipart(&form("; filename=f"), "b").is_ok());
        assert!(read_multipart(&form(""), "b").is_ok());
    }

    #[test]
    fn what_is_not_a_form_is_refused() {
        let part = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n";
        let many = format!("{}--b--", part.repeat(1001));
        let long = format!("--b\r\nX: {}\r\n\r\n1\r\n--b--", "x".repeat(10_000));
        for form in [
            "",
            "x",
            "--b",
            "--b\r\n",
            part,
            "--bx\r\n\r\n--b--",
            "--b\r\n\r\n1\r\n--b--",
            "--b\r\nContent-Disposition: attachment; name=x\r\n\r\n1\r\n--b--",
            "--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=x\r\nContent-Transfer-Encoding: base64\r\n\r\nczE=\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=\"x\r\n\r\n1\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=\"x\"y\r\n\r\n1\r\n--b--",
            &many,
            &long,
        ] {
            assert!(read_multipart(form.as_bytes(), "b").is_err(), "{form:.60}");
        }
    }

    #[test]
    fn a_quote_in_a_name_is_unescaped() {
        let name = |disposition| {
            disposition_of(disposition).expect("parameters")[0]
                .1
                .clone()
        };
        assert_eq!(name(" form-data; name=\"a%22b\""), "a\"b");
        assert_eq!(name("form-data;name=\"a\\\"b\\\\\" ; filename=x"), "a\"b\\");
    }

    #[test]
    fn a_url_encoded_form_binds_like_a_query() {
        let read = |text: &str| report(read(text.as_bytes()));
        let form = read("SessionId=S%201&callSid=a&callSid=b&customerId=").expect("a form");
        assert_eq!(form.get(Field::SessionId).cloned(), text("S 1"));
        assert_eq!(form.get(Field::CallSid).cloned(), text("a,b"));
        assert_eq!(form.get(Field::CustomerId), None);
        let refused = read("callSid=%FF&other=%FF").expect("a form");
        assert_eq!(
            refused.get(Field::CallSid),
            Some(&RawValue::Bytes([0xff].into()))
        );
    }
}
