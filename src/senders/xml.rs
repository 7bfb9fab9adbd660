//! Finds the elements of an XML document, whatever its senders put into it.
//!
//! Some senders do not escape what callers choose, and make elements of the names of SIP headers.
//! The strict reader of `formats` would refuse such a record, and the call would be free. This one
//! defines no entities but the five of XML, so it expands nothing.

use std::ops::ControlFlow;

use memchr::memmem::find;
use memchr::{memchr, memchr2};

use crate::billable::RawValue;
use crate::formats::ReadError;
use crate::formats::lossless;

const MAX_DEPTH: usize = 64;

/// The start or the end of an element.
pub(super) enum Element<'a> {
    Start,
    End(Content<'a>),
}

/// What is between the tags of an element.
pub(super) struct Content<'a> {
    raw: &'a str,
    has_elements: bool,
}

impl Content<'_> {
    /// Returns the text, or `Structure` if there are elements.
    ///
    /// # Errors
    /// The text refers to an entity that is not defined.
    pub(super) fn value(&self) -> Result<RawValue, ReadError> {
        if self.has_elements {
            return Ok(RawValue::Structure);
        }
        let mut value = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw;
        let push = |value: &mut Vec<u8>, text: &str| match lossless::bytes_of(text) {
            Some(bytes) => value.extend(bytes),
            None => value.extend(text.as_bytes()),
        };
        while let Some(at) = memchr2(b'&', b'<', rest.as_bytes()) {
            push(&mut value, &rest[..at]);
            rest = &rest[at..];
            if let Some(data) = rest.strip_prefix("<![CDATA[") {
                let (text, after) = data.split_once("]]>").unwrap_or((data, ""));
                push(&mut value, text);
                rest = after;
            } else if rest.starts_with('<') {
                // A comment or an instruction.
                rest = &rest[markup(rest).unwrap_or(rest.len())..];
            } else if let Some((character, length)) = reference(rest) {
                value.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
            } else {
                let reason = "the XML refers to an undefined entity".to_owned();
                return Err(ReadError::Malformed(reason));
            }
        }
        push(&mut value, rest);
        Ok(lossless::value_of(value))
    }
}

/// An element whose end has not come.
struct Open {
    /// Where its content begins.
    at: usize,
    has_elements: bool,
}

/// Calls `each` at the start and at the end of each element, with the names on the way to it,
/// without prefixes. Returns early when `each` breaks or returns an error.
///
/// A lenient reading ignores the ends of elements that are not open, and closes those that are open
/// within another one when that ends.
///
/// # Errors
/// The document has no element, or ends too early, or has unmatched ends; or an error of `each`.
pub(super) fn elements<'a>(
    text: &'a str,
    is_lenient: bool,
    mut each: impl FnMut(&[&'a str], Element<'a>) -> Result<ControlFlow<()>, ReadError>,
) -> Result<(), ReadError> {
    let (mut path, mut open): (Vec<&str>, Vec<Open>) = Default::default();
    let mut at = 0;
    let malformed =
        |what: &str, at: usize| ReadError::Malformed(format!("the XML {what} (near byte {at})"));
    let early = |at| malformed("ends too early", at);
    let mut is_done = false;
    while let Some(found) = memchr(b'<', &text.as_bytes()[at..]) {
        let start = at + found;
        let rest = &text[start..];
        let is_outside = path.is_empty() && !is_lenient;
        if is_outside && !text[at..start].trim().is_empty() {
            return Err(malformed("has text outside of its root element", at));
        }
        if is_outside && rest.starts_with("<!") && !rest.starts_with("<!--") {
            return Err(malformed(
                "must not have a document type declaration",
                start,
            ));
        }
        let length = markup(rest).ok_or_else(|| early(start))?;
        at = start + length;
        let tag = &rest[1..length - 1];
        if tag.starts_with(['!', '?']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let name = local(name.trim_end());
            let known = if is_lenient {
                path.iter().rposition(|open| *open == name)
            } else {
                (path.last() == Some(&name)).then(|| path.len() - 1)
            };
            let Some(depth) = known else {
                if is_lenient {
                    continue;
                }
                return Err(malformed("ends an element that is not open", start));
            };
            path.truncate(depth + 1);
            open.truncate(depth + 1);
            let ended = open.pop().ok_or_else(|| early(start))?;
            let content = Content {
                raw: &text[ended.at..start],
                has_elements: ended.has_elements,
            };
            if each(&path, Element::End(content))?.is_break() {
                return Ok(());
            }
            path.pop();
            is_done = path.is_empty();
            continue;
        }
        if is_done {
            return Err(malformed("has a second root element", start));
        }
        if path.len() == MAX_DEPTH {
            return Err(malformed("is nested too deeply", start));
        }
        let (name, is_empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        if let Some(parent) = open.last_mut() {
            parent.has_elements = true;
        }
        let end = name.find(|c: char| c.is_ascii_whitespace());
        path.push(local(&name[..end.unwrap_or(name.len())]));
        if each(&path, Element::Start)?.is_break() {
            return Ok(());
        }
        if is_empty {
            let content = Content {
                raw: "",
                has_elements: false,
            };
            if each(&path, Element::End(content))?.is_break() {
                return Ok(());
            }
            path.pop();
            is_done = path.is_empty();
        } else {
            open.push(Open {
                at,
                has_elements: false,
            });
        }
    }
    if !is_done {
        return Err(early(text.len()));
    }
    if !is_lenient && !text[at..].trim().is_empty() {
        return Err(malformed("has text outside of its root element", at));
    }
    Ok(())
}

/// Returns the name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// Returns the length of a tag, a comment, an instruction or a section at the start of a text, or
/// `None` if it has no end. A `>` in the value of an attribute does not end a tag.
fn markup(text: &str) -> Option<usize> {
    for (begin, end) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")] {
        if text.starts_with(begin) {
            let at = find(&text.as_bytes()[begin.len()..], end.as_bytes())?;
            return Some(begin.len() + at + end.len());
        }
    }
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(found) = memchr2(b'>', b'=', &bytes[at..]) {
        at += found + 1;
        if bytes[at - 1] == b'>' {
            return Some(at);
        }
        let blanks = bytes[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace());
        at += blanks.count();
        if let Some(quote @ (b'"' | b'\'')) = bytes.get(at) {
            at += 2 + memchr(*quote, &bytes[at + 1..])?;
        }
    }
    None
}

/// Returns the character that a reference at the start of a text stands for, and its length.
fn reference(text: &str) -> Option<(char, usize)> {
    const LONGEST: usize = 12;
    let end = memchr(b';', &text.as_bytes()[..text.len().min(LONGEST)])?;
    let name = text.get(1..end)?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((character, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formats::lossless::Decoder;

    fn texts(document: &str, is_lenient: bool) -> Result<Vec<(String, RawValue)>, ReadError> {
        let mut texts = Vec::new();
        elements(document, is_lenient, |path, element| {
            if let Element::End(content) = element {
                texts.push((path.join("/"), content.value()?));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(texts)
    }

    fn text(path: &str, text: &str) -> (String, RawValue) {
        (path.to_owned(), RawValue::Text(text.to_owned()))
    }

    fn structure(path: &str) -> (String, RawValue) {
        (path.to_owned(), RawValue::Structure)
    }

    #[test]
    fn elements_are_found_with_their_texts() {
        let document = "<?xml version=\"1.0\"?>\n<!-- <c> --><a xmlns:p='u' b = \"1>2\">\n<p:b>1&amp;<![CDATA[<2>]]>&#x41;<!-- x --></p:b><b/><c ><d>x</d ></c></a>\n";
        let expected = vec![
            text("a/b", "1&<2>A"),
            text("a/b", ""),
            text("a/c/d", "x"),
            structure("a/c"),
            structure("a"),
        ];
        assert_eq!(texts(document, false), Ok(expected.clone()));
        assert_eq!(texts(document, true), Ok(expected));
    }

    #[test]
    fn what_a_caller_chooses_does_not_hide_other_elements() {
        let with = |chosen: &str| format!("<r><n>{chosen}</n><u>1</u></r>");
        for chosen in ["a'b", "a\"b=", "=", "'", "\u{1}", "]]>", "a\u{FFFE}"] {
            let found = texts(&with(chosen), true).expect("a record");
            assert!(found.contains(&text("r/u", "1")), "{chosen}");
        }
        let header = "<r><sip_h_X-a'b>1</sip_h_X-a'b><u>1</u></r>";
        assert!(
            texts(header, false)
                .expect("a record")
                .contains(&text("r/u", "1"))
        );
        let unmatched = "<r><n></m></n></q><u>1</u></r>";
        assert!(
            texts(unmatched, true)
                .expect("a record")
                .contains(&text("r/u", "1"))
        );
        assert!(texts(unmatched, false).is_err());
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
        for document in [
            "",
            "x",
            "<a>",
            "<a",
            "<a><b></a>",
            "<a></b>",
            "<a/><b/>",
            "<a><!-- </a>",
            "<a b='></a>",
            "<!DOCTYPE a><a/>",
            "x<a/>",
            "<a/>x",
            "<a>&x;</a>",
            "<a>&</a>",
            &deep,
        ] {
            assert!(texts(document, false).is_err(), "{document:.40}");
        }
    }

    proptest! {
        #[test]
        fn no_text_stops_the_reader(text in "[<>/ab='\"!\\[\\]CDAT&;#x0-9 -]{0,60}", any: String) {
            for text in [text, any] {
                let _ = texts(&text, true);
                let _ = texts(&text, false);
            }
        }

        #[test]
        fn a_text_comes_out_as_it_was_written(value in "[^\\p{Cc}]{0,20}") {
            let escaped = quick_xml::escape::escape(&*value);
            let document = format!("<a><b>{escaped}</b></a>");
            // As every body is, so that each byte comes out as it came.
            let document = Decoder::default().decode_owned(document.into_bytes());
            let found = texts(&document, false).expect("a document");
            prop_assert_eq!(&found[0], &text("a/b", &value));
        }
    }
}
