//! XML in the shape of .NET data contracts, parsed strictly from an event reader.
//!
//! The parser is stricter than .NET's contract serializer where it matters (no document types, no
//! processing instructions, bounded depth), and more tolerant where the serializer silently loses
//! data: members may come in any order, with the operation's namespace or without one.

mod write;

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::{LocalName, NamespaceResolver, ResolveResult};

use super::document::{Document, Item, Items, Unread};
use super::{ReadError, lossless};
use crate::billable::{Field, RawReport, RawValue};
pub(super) use write::{close, member, open, texts};

/// The namespace of the operation's types.
pub(super) const NAMESPACE: &str = "http://schemas.datacontract.org/2004/07/Voice.Api.Billing";

/// The namespace of `nil`.
pub(super) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The namespace of lists and dictionaries.
pub(super) const ARRAYS: &str = "http://schemas.microsoft.com/2003/10/Serialization/Arrays";

const MAX_DEPTH: usize = 64;

/// The maximum number of attributes of an element. Finding duplicates takes quadratic time.
const MAX_ATTRIBUTES: usize = 64;

/// Parses a `NewBillable` document as one report, or an `ArrayOfNewBillable` as a batch. A nil item
/// of a batch is a report without fields.
///
/// # Errors
/// The text is not a well-formed document with one of these root elements, a batch contains another
/// element, or there are too many items.
pub(super) fn read(text: &str) -> Result<Document, ReadError> {
    if let Some(found) = text.chars().find(|&c| !is_xml_char(c)) {
        return Err(ReadError::Malformed(format!(
            "the XML contains the invalid character U+{:04X}",
            found as u32
        )));
    }
    let mut reader = NsReader::from_str(text);
    reader.config_mut().check_comments = true;
    reader.config_mut().expand_empty_elements = true;
    let mut document = XmlReader {
        reader,
        depth: 0,
        unread: Unread::default(),
    };
    document.read().map_err(|reason| match reason {
        Reason::Malformed(what) => ReadError::Malformed(format!(
            "the XML {what} (near byte {})",
            document.reader.buffer_position()
        )),
        Reason::TooMany(error) => error,
    })
}

enum Reason {
    Malformed(&'static str),
    TooMany(ReadError),
}

impl From<&'static str> for Reason {
    fn from(what: &'static str) -> Self {
        Self::Malformed(what)
    }
}

const NOT_WELL_FORMED: Reason = Reason::Malformed("is not well-formed");
const UNBOUND_PREFIX: Reason = Reason::Malformed("uses an undeclared namespace prefix");

struct XmlReader<'a> {
    reader: NsReader<&'a [u8]>,
    depth: usize,
    unread: Unread,
}

/// The start of an element.
struct Element {
    /// The known element, or `None` for one that is skipped with its content.
    known: Option<Known>,
    is_nil: bool,
}

/// The known elements, if they are in the operation's namespace or in no namespace.
enum Known {
    Report,
    Reports,
    Member(Field),
}

impl<'a> XmlReader<'a> {
    fn read(&mut self) -> Result<Document, Reason> {
        let root = self.root()?;
        let Element { known, is_nil } = self.classify(&root)?;
        let body = match known {
            Some(Known::Report) => {
                let report = self.report(is_nil)?;
                Document::one(Item {
                    report,
                    unread: std::mem::take(&mut self.unread),
                })
            }
            Some(Known::Reports) => self.reports(is_nil)?,
            Some(Known::Member(_)) | None => {
                return Err(
                    "must have the root element NewBillable or ArrayOfNewBillable, in the operation's namespace or in no namespace"
                        .into(),
                );
            }
        };
        self.trailer()?;
        Ok(body)
    }

    fn next(&mut self) -> Result<Event<'a>, Reason> {
        self.reader.read_event().map_err(|_| NOT_WELL_FORMED)
    }

    /// Reads everything up to and including the start tag of the root element.
    fn root(&mut self) -> Result<BytesStart<'a>, Reason> {
        let mut is_first = true;
        loop {
            match self.next()? {
                Event::Decl(declaration) if is_first => check_declaration(&declaration)?,
                Event::Text(text) if is_blank(&text) => {}
                Event::Comment(_) => {}
                Event::Start(start) => return Ok(start),
                event => return Err(refusal(&event)),
            }
            is_first = false;
        }
    }

    fn trailer(&mut self) -> Result<(), Reason> {
        loop {
            match self.next()? {
                Event::Eof => return Ok(()),
                Event::Text(text) if is_blank(&text) => {}
                Event::Comment(_) => {}
                Event::Start(_) => return Err("has a second root element".into()),
                event => return Err(refusal(&event)),
            }
        }
    }

    /// Reads a batch. An unknown element is an error, because skipping it could lose a report.
    fn reports(&mut self, is_nil: bool) -> Result<Document, Reason> {
        let mut items = Items::default();
        self.children(is_nil, |document, element| match element.known {
            Some(Known::Report) => {
                let report = document.report(element.is_nil)?;
                items.push(report).map_err(Reason::TooMany)
            }
            Some(Known::Reports | Known::Member(_)) | None => {
                Err("has an item that is not a NewBillable in the operation's namespace or in no namespace".into())
            }
        })?;
        Ok(items.into_document())
    }

    /// Reads a report. If a member is repeated, the first one counts, even if it is nil.
    fn report(&mut self, is_nil: bool) -> Result<RawReport, Reason> {
        let mut report = RawReport::default();
        let mut seen = [false; Field::ALL.len()];
        self.children(is_nil, |document, element| {
            let Some(Known::Member(field)) = element.known else {
                return document.skip();
            };
            let is_first = !std::mem::replace(&mut seen[field as usize], true);
            if element.is_nil {
                return document.skip();
            }
            let value = document.member()?;
            if is_first {
                report.set(field, Some(value));
            }
            Ok(())
        })?;
        Ok(report)
    }

    /// Calls `child` for each child element. `child` must read it up to its end tag.
    fn children(
        &mut self,
        is_nil: bool,
        mut child: impl FnMut(&mut Self, Element) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        if is_nil {
            return self.skip();
        }
        loop {
            match self.next()? {
                Event::Start(start) => {
                    let element = self.classify(&start)?;
                    child(self, element)?;
                }
                Event::End(_) => return Ok(()),
                Event::Text(text) if is_blank(&text) => {}
                Event::Comment(_) => {}
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                    return Err("has text where only elements are allowed".into());
                }
                event => return Err(refusal(&event)),
            }
        }
    }

    /// Reads the text of a member, up to its end tag.
    fn member(&mut self) -> Result<RawValue, Reason> {
        let mut value = Vec::new();
        let push = |value: &mut Vec<u8>, text: &str| match lossless::bytes_of(text) {
            Some(bytes) => value.extend(bytes),
            None => value.extend(text.as_bytes()),
        };
        loop {
            match self.next()? {
                Event::Text(text) if text.contains("]]>") => return Err(NOT_WELL_FORMED),
                Event::Text(text) => push(&mut value, &text),
                Event::CData(text) => push(&mut value, &text),
                Event::GeneralRef(reference) => {
                    let character = resolve(&reference)?;
                    value.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Event::Comment(_) => {}
                Event::Start(_) => return Err("has an element where only text is allowed".into()),
                Event::End(_) => return Ok(lossless::value_of(value)),
                event => return Err(refusal(&event)),
            }
        }
    }

    /// Skips the content of an element up to its end tag, and checks that it is well-formed.
    fn skip(&mut self) -> Result<(), Reason> {
        let outer = self.depth;
        self.depth += 1;
        while self.depth > outer {
            match self.next()? {
                Event::Start(start) => {
                    self.classify(&start)?;
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err("is nested too deeply".into());
                    }
                }
                Event::End(_) => self.depth -= 1,
                Event::GeneralRef(reference) => {
                    resolve(&reference)?;
                }
                Event::Text(_) | Event::CData(_) | Event::Comment(_) => {}
                event => return Err(refusal(&event)),
            }
        }
        Ok(())
    }

    fn classify(&mut self, start: &BytesStart<'a>) -> Result<Element, Reason> {
        let resolver = self.reader.resolver();
        let (namespace, name) = resolver.resolve_element(start.name());
        let is_nil = check_attributes(start, resolver)?;
        let known = is_ours(&namespace)?.then(|| known(name)).flatten();
        if known.is_none() {
            self.unread.note(name.into_inner());
        }
        Ok(Element { known, is_nil })
    }
}

/// Returns the known element with this name. Names are case-sensitive, as in XML.
fn known(name: LocalName<'_>) -> Option<Known> {
    match name.into_inner() {
        "NewBillable" => Some(Known::Report),
        "ArrayOfNewBillable" => Some(Known::Reports),
        name => Field::ALL
            .into_iter()
            .find(|field| field.pascal() == name)
            .map(Known::Member),
    }
}

/// Whether a name is in the operation's namespace or in no namespace.
fn is_ours(namespace: &ResolveResult<'_>) -> Result<bool, Reason> {
    match namespace {
        ResolveResult::Bound(namespace) => Ok(namespace.into_inner() == NAMESPACE),
        ResolveResult::Unbound => Ok(true),
        ResolveResult::Unknown(_) => Err(UNBOUND_PREFIX),
    }
}

/// Checks an element's attributes, and returns whether one marks the element as nil.
fn check_attributes(start: &BytesStart<'_>, resolver: &NamespaceResolver) -> Result<bool, Reason> {
    let mut is_nil = false;
    for (count, attribute) in start.attributes().enumerate() {
        if count == MAX_ATTRIBUTES {
            return Err("has an element with too many attributes".into());
        }
        let attribute = attribute.map_err(|_| NOT_WELL_FORMED)?;
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|_| NOT_WELL_FORMED)?;
        let (namespace, name) = resolver.resolve_attribute(attribute.key);
        match namespace {
            ResolveResult::Unknown(_) => return Err(UNBOUND_PREFIX),
            ResolveResult::Bound(bound)
                if bound.into_inner() == XSI && name.into_inner() == "nil" =>
            {
                is_nil = match &*value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err("has a nil attribute that is neither true nor false".into()),
                };
            }
            ResolveResult::Bound(_) | ResolveResult::Unbound => {}
        }
    }
    Ok(is_nil)
}

fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), Reason> {
    let version = declaration.version().map_err(|_| NOT_WELL_FORMED)?;
    if version != "1.0" {
        return Err("must be version 1.0".into());
    }
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") => Ok(()),
        Some(_) => Err("must declare the encoding UTF-8 or none".into()),
    }
}

/// Resolves a character reference or one of XML's five predefined entities.
fn resolve(reference: &BytesRef<'_>) -> Result<char, Reason> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| NOT_WELL_FORMED)? {
        return Ok(character);
    }
    resolve_xml_entity(reference)
        .and_then(|text| text.chars().next())
        .ok_or_else(|| "refers to an undefined entity".into())
}

fn refusal(event: &Event<'_>) -> Reason {
    let what = match event {
        Event::DocType(_) => "must not have a document type declaration",
        Event::PI(_) => "must not have processing instructions",
        Event::Eof => "ends too early",
        Event::Decl(_) => "has an XML declaration that is not at the start",
        _ => return NOT_WELL_FORMED,
    };
    what.into()
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| matches!(c, ' ' | '\t' | '\r' | '\n'))
}

/// Whether a document may contain a character (XML 1.0, production 2).
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_sid(document: &str) -> Result<Option<RawValue>, ReadError> {
        let body = read(document)?;
        assert!(!body.is_batch());
        Ok(body.into_reports()[0].get(Field::CallSid).cloned())
    }

    /// Parses a document in the operation's namespace with these `members`.
    fn with(members: &str) -> Result<Option<RawValue>, ReadError> {
        call_sid(&format!(
            "<NewBillable xmlns:i='{XSI}' xmlns='{NAMESPACE}'>{members}</NewBillable>"
        ))
    }

    fn text(text: &str) -> Result<Option<RawValue>, ReadError> {
        Ok(Some(RawValue::Text(text.to_owned())))
    }

    #[test]
    fn the_namespace_is_the_operations_or_none_under_any_prefix() {
        assert_eq!(
            call_sid("<NewBillable><CallSid>a</CallSid></NewBillable>"),
            text("a")
        );
        assert_eq!(
            call_sid(&format!(
                "<p:NewBillable xmlns:p='{NAMESPACE}'><p:CallSid>a</p:CallSid></p:NewBillable>"
            )),
            text("a")
        );
        assert_eq!(
            call_sid(&format!(
                "<p:NewBillable xmlns:p='{NAMESPACE}'><CallSid>a</CallSid></p:NewBillable>"
            )),
            text("a")
        );
        assert_eq!(
            with("<x:CallSid xmlns:x='urn:other'>a</x:CallSid>"),
            Ok(None)
        );
        assert!(call_sid("<NewBillable xmlns='http://schemas.servicestack.net/types'/>").is_err());
        assert!(call_sid("<newBillable/>").is_err());
        assert!(call_sid("<p:NewBillable/>").is_err());
        assert!(with("<p:CallSid>a</p:CallSid>").is_err());
    }

    #[test]
    fn a_list_holds_reports() {
        let count = |items: &str| {
            read(&format!(
                "<ArrayOfNewBillable xmlns='{NAMESPACE}'>{items}</ArrayOfNewBillable>"
            ))
            .map(|body| body.is_batch().then(|| body.into_reports().len()))
        };
        assert_eq!(count(""), Ok(Some(0)));
        assert_eq!(
            count("<NewBillable/><!-- c --> <NewBillable><CallSid>a</CallSid></NewBillable>"),
            Ok(Some(2))
        );
        assert!(read("<ArrayOfNewBillable/>").is_ok());
        for items in [
            "x",
            "<NewBillable>",
            "<NewBillable>x</NewBillable>",
            "<x xmlns='urn:x'/>",
            "<newBillable/>",
            "<NewBillable xmlns='urn:x'/>",
            "<CallSid>a</CallSid>",
            "<ArrayOfNewBillable/>",
        ] {
            assert!(count(items).is_err(), "{items}");
        }
        assert!(read("<CallSid>a</CallSid>").is_err());
        assert!(read("<ArrayOfNewBillable xmlns='urn:x'/>").is_err());
    }

    #[test]
    fn members_come_in_any_order_and_the_first_repeated_member_counts() {
        assert_eq!(
            with("<SessionId>s</SessionId><CallSid>a</CallSid><CallSid>b</CallSid>"),
            text("a")
        );
        assert_eq!(
            with("<callSid>x</callSid><Other><CallSid>x</CallSid></Other>"),
            Ok(None)
        );
    }

    #[test]
    fn a_text_is_joined_from_its_pieces() {
        assert_eq!(
            with("<CallSid> a<!-- c -->&amp;<![CDATA[<b>]]>&#x41;&#66; </CallSid>"),
            text(" a&<b>AB ")
        );
        assert_eq!(with("<CallSid/>"), text(""));
        assert_eq!(with("<CallSid></CallSid>"), text(""));
    }

    #[test]
    fn nil_is_the_attribute_of_the_schema_instance_namespace() {
        assert_eq!(with("<CallSid i:nil='true'/>"), Ok(None));
        assert_eq!(
            with("<CallSid i:nil='true'/><CallSid>a</CallSid>"),
            Ok(None)
        );
        assert_eq!(with("<CallSid i:nil='1'>a</CallSid>"), Ok(None));
        assert_eq!(with("<CallSid i:nil='false'>a</CallSid>"), text("a"));
        assert_eq!(with("<CallSid nil='true'>a</CallSid>"), text("a"));
        assert!(with("<CallSid i:nil='TRUE'/>").is_err());
        assert_eq!(
            call_sid(&format!(
                "<NewBillable xmlns:i='{XSI}' i:nil='true'><CallSid>a</CallSid></NewBillable>"
            )),
            Ok(None)
        );
        assert_eq!(call_sid("<NewBillable/>"), Ok(None));
    }

    #[test]
    fn the_prolog_may_have_a_declaration_first_and_comments() {
        let root = "<NewBillable><CallSid>a</CallSid></NewBillable>";
        for prolog in [
            "<?xml version='1.0'?>",
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone='yes'?>\n<!-- c -->",
            " \n",
        ] {
            assert_eq!(
                call_sid(&format!("{prolog}{root}\n<!-- end -->\n")),
                text("a"),
                "{prolog}"
            );
        }
        for prolog in [
            "\n<?xml version='1.0'?>",
            "<?xml version='1.1'?>",
            "<?xml version='1.0' encoding='iso-8859-1'?>",
            "<?xml version='1.0' encoding='utf8'?>",
            "<?pi x?>",
            "<!DOCTYPE NewBillable>",
            "text",
            "&amp;",
        ] {
            assert!(call_sid(&format!("{prolog}{root}")).is_err(), "{prolog}");
        }
    }

    #[test]
    fn what_is_not_one_well_formed_document_is_refused() {
        for document in [
            " ",
            "<NewBillable",
            "<NewBillable>",
            "<NewBillable></Other>",
            "<NewBillable/><NewBillable/>",
            "<NewBillable/>x",
            "<NewBillable>x</NewBillable>",
            "<NewBillable><![CDATA[x]]></NewBillable>",
            "<NewBillable>&amp;</NewBillable>",
            "<NewBillable><CallSid>&lol;</CallSid></NewBillable>",
            "<NewBillable><CallSid>&#0;</CallSid></NewBillable>",
            "<NewBillable><CallSid>&#xD800;</CallSid></NewBillable>",
            "<NewBillable><CallSid><b>x</b></CallSid></NewBillable>",
            "<NewBillable><CallSid>a]]>b</CallSid></NewBillable>",
            "<NewBillable><CallSid>a\u{1}b</CallSid></NewBillable>",
            "<NewBillable a='1' a='2'/>",
            "<NewBillable a=1/>",
            "<NewBillable><Other>&lol;</Other></NewBillable>",
            "<NewBillable><?pi?></NewBillable>",
            "{}",
        ] {
            assert!(call_sid(document).is_err(), "{document}");
        }
    }

    #[test]
    fn an_entity_bomb_and_bottomless_nesting_are_refused() {
        let bomb = "<!DOCTYPE b [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><NewBillable><CallSid>&b;</CallSid></NewBillable>";
        assert!(call_sid(bomb).is_err());
        assert!(with(&"<a>".repeat(100_000)).is_err());
        assert!(with(&format!("{}{}", "<a>".repeat(100), "</a>".repeat(100))).is_err());
        assert!(with(&format!("{}{}", "<a>".repeat(50), "</a>".repeat(50))).is_ok());
        let attributes: String = (0..1000).map(|n| format!(" a{n}='x'")).collect();
        assert!(with(&format!("<a{attributes}/>")).is_err());
    }
}
