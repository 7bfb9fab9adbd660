//! Finds the records of a request, and in each the values at a source's addresses.

use std::borrow::Cow;
use std::ops::ControlFlow;

use http::HeaderMap;
use serde_json::value::RawValue as RawJson;

use super::address::Address;
use super::file::Kind;
use super::source::Source;
use super::tree::Tree;
use super::values::{Values, bytes_of};
use super::xml::{Element, elements};
use crate::billable::RawValue;
use crate::formats::csv::{MAX_COLUMNS, RowReader};
use crate::formats::json::visit::{UpTo, raw_value};
use crate::formats::json::{malformed, members_of};
use crate::formats::lossless::{self, Decoder};
use crate::formats::parameters::Parameters;
use crate::formats::{BodyFormat, Format, MAX_ITEMS, ReadError, form};
use crate::telemetry::printable;

/// The maximum number of names that a message lists, and their length in characters.
const MAX_NAMES: usize = 10;
const MAX_NAMES_LENGTH: usize = 300;

/// A request, as far as senders put something into it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub content_type: Option<&'a str>,
    pub headers: &'a HeaderMap,
    /// The query of the URL, without the question mark.
    pub query: &'a str,
    pub body: &'a [u8],
}

/// The records of a request.
#[derive(Debug)]
pub(super) struct Records {
    own: Vec<Vec<Option<RawValue>>>,
    shared: Vec<Option<RawValue>>,
    pub(super) is_batch: bool,
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.own.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Values<'_>> {
        let shared = &self.shared;
        self.own.iter().map(move |own| Values::new(own, shared))
    }

    /// The size of the values that every record may get a copy of, in bytes.
    pub(super) fn shared_bytes(&self) -> usize {
        let shared = self.shared.iter().flatten();
        shared.map(|value| bytes_of(value).len()).sum()
    }

    /// Decodes the values that are not UTF-8.
    pub(super) fn decode(&mut self, decode: fn(&[u8]) -> String) {
        for value in self
            .own
            .iter_mut()
            .flatten()
            .chain(&mut self.shared)
            .flatten()
        {
            if let RawValue::Bytes(bytes) = value {
                *value = RawValue::Text(decode(bytes));
            }
        }
    }
}

/// A request whose parts are decoded.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    body: Body<'a>,
    query: Parameters,
    appended: Option<&'a str>,
    headers: &'a HeaderMap,
}

#[derive(Debug)]
enum Body<'a> {
    Json(Cow<'a, str>),
    /// JSON lines.
    Lines(Cow<'a, str>),
    Xml(Cow<'a, str>),
    Csv(Cow<'a, str>),
    Form(Parameters),
    Empty,
}

impl<'a> Parts<'a> {
    /// `query` and `appended` are the parts of the request's query.
    ///
    /// # Errors
    /// The body is in no format that a source reads, or the query or a form is malformed.
    pub(super) fn of(
        request: Request<'a>,
        query: &str,
        appended: Option<&'a str>,
    ) -> Result<Self, ReadError> {
        Ok(Self {
            body: Body::of(request.content_type, request.body)?,
            query: Parameters::parse(query)?,
            appended,
            headers: request.headers,
        })
    }

    /// Returns the records that a source reads, or `None` if the request is of another kind.
    ///
    /// # Errors
    /// The document is malformed, has too many records, or names a value twice.
    pub(super) fn records(&self, source: &Source) -> Result<Option<Records>, ReadError> {
        let held;
        let (text, is_lines) = match (&source.within, &self.body) {
            (Some(within), _) => {
                let Some(document) = self.parameter(within)? else {
                    return Ok(None);
                };
                held = document;
                (held, false)
            }
            (None, body) => match (source.kind, body) {
                (Kind::Json, Body::Json(text)) => (&**text, false),
                (Kind::Json, Body::Lines(text)) => (&**text, true),
                (Kind::Xml, Body::Xml(text)) | (Kind::Csv, Body::Csv(text)) => (&**text, false),
                (Kind::Form, Body::Form(_)) | (Kind::Query, _) => ("", false),
                _ => return Ok(None),
            },
        };
        let none = || vec![None; source.addresses.len()];
        let found = match source.kind {
            Kind::Json => json(source, text, is_lines)?,
            Kind::Xml => xml(source, text)?,
            Kind::Csv => csv(source, text)?,
            Kind::Form | Kind::Query => Some((vec![none()], false)),
        };
        let Some((own, is_batch)) = found else {
            return Ok(None);
        };
        let mut shared = none();
        for (value, address) in shared.iter_mut().zip(&source.addresses) {
            *value = match address {
                Address::Form(_) | Address::Query(_) => self
                    .parameter(address)?
                    .map(|text| lossless::restore(text.to_owned())),
                Address::Header(name) => self
                    .headers
                    .get(&**name)
                    .map(|value| lossless::value_of(value.as_bytes().to_vec())),
                Address::Appended => self.appended.map(|text| RawValue::Text(text.to_owned())),
                Address::Json(_) | Address::Xml(_) | Address::Column(_) => None,
            };
        }
        Ok(Some(Records {
            own,
            shared,
            is_batch,
        }))
    }

    /// Says what the body is, and which names are at its top.
    pub(super) fn described(&self) -> String {
        let (kind, names) = match &self.body {
            Body::Empty => return "an empty body".to_owned(),
            Body::Json(text) => {
                let members = members_of(text).unwrap_or_default().into_iter();
                ("JSON", members.map(|(name, _)| name).collect())
            }
            Body::Lines(_) => ("JSON lines", Vec::new()),
            Body::Xml(_) => ("XML", Vec::new()),
            Body::Csv(text) => {
                let header = RowReader::new(text).next();
                ("CSV", header.ok().flatten().unwrap_or_default())
            }
            Body::Form(form) => ("a form", form.names().map(str::to_owned).collect()),
        };
        let names: Vec<_> = names.into_iter().take(MAX_NAMES).collect();
        if names.is_empty() {
            return kind.to_owned();
        }
        let names = printable(&names.join(", "), MAX_NAMES_LENGTH);
        format!("{kind} with {names}")
    }

    /// Returns the field of a form, or the parameter of the query, at an address.
    fn parameter(&self, address: &Address) -> Result<Option<&str>, ReadError> {
        let (found, name) = match (address, &self.body) {
            (Address::Form(name), Body::Form(form)) => (form.get_all(name), name),
            (Address::Query(name), _) => (self.query.get_all(name), name),
            _ => return Ok(None),
        };
        match *found {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            // Nobody can tell which of them the sender means.
            _ => Err(ReadError::Malformed(format!(
                "the request has more than one {name}"
            ))),
        }
    }
}

impl<'a> Body<'a> {
    fn of(content_type: Option<&str>, body: &'a [u8]) -> Result<Self, ReadError> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::Empty);
        }
        // Many senders label JSON and XML with something else.
        let format = match BodyFormat::of(content_type, body) {
            Err(ReadError::UnsupportedType) => BodyFormat::of(None, body)?,
            format => format?,
        };
        let mut decoder = Decoder::default();
        let mut text = || decoder.decode(crate::formats::trimmed(body));
        Ok(match format {
            BodyFormat::Plain(Format::Json) => Self::Json(text()),
            BodyFormat::Plain(Format::Ndjson) => Self::Lines(text()),
            BodyFormat::Plain(Format::Xml) => Self::Xml(text()),
            BodyFormat::Plain(Format::Csv) => Self::Csv(text()),
            BodyFormat::Plain(Format::Jsv) => return Err(ReadError::UnsupportedType),
            BodyFormat::Form => Self::Form(form::fields(body, &mut decoder)?),
            BodyFormat::Multipart(boundary) => Self::Form(form::multipart_fields(
                body,
                &boundary,
                &mut decoder,
                |_| {},
            )?),
        })
    }
}

/// The values of each record, and whether they are a batch; `None` if they are none of the source's.
type Found = Result<Option<(Vec<Vec<Option<RawValue>>>, bool)>, ReadError>;

/// Reads JSON: an object is a record, and an array is a batch of them.
fn json(source: &Source, text: &str, is_lines: bool) -> Found {
    let documents: Vec<(usize, &str)> = if is_lines {
        let lines = text.split('\n').enumerate();
        lines.filter(|(_, line)| !line.trim().is_empty()).collect()
    } else {
        vec![(0, text)]
    };
    let mut is_batch = is_lines;
    let mut values = Vec::new();
    for (before, mut document) in documents {
        if let Some(steps) = &source.records {
            let mut found = [None];
            malformed_at(Tree::of_steps(steps).find(document, &mut found), before)?;
            match found[0] {
                Some(found) if found.get().starts_with('[') => document = found.get(),
                _ => return Ok(None),
            }
        }
        if document.trim_start().starts_with('[') {
            let UpTo::<&RawJson, MAX_ITEMS>(items) =
                malformed_at(serde_json::from_str(document), before)?;
            for item in items {
                values.push(malformed_at(of_record(source, item.get()), before)?);
            }
            is_batch = true;
        } else {
            values.push(malformed_at(of_record(source, document), before)?);
        }
        if values.len() > MAX_ITEMS {
            return Err(ReadError::TooManyItems);
        }
    }
    Ok(Some((values, is_batch)))
}

/// Reads the values in a record, which must be an object.
fn of_record(source: &Source, record: &str) -> serde_json::Result<Vec<Option<RawValue>>> {
    let mut found = vec![None; source.addresses.len()];
    if record.trim_start().starts_with('[') {
        return Err(serde::de::Error::custom("not an object"));
    }
    source.tree.find(record, &mut found)?;
    let read = |found: Option<&RawJson>| found.map_or(Ok(None), raw_value);
    found.into_iter().map(read).collect()
}

fn malformed_at<T>(read: serde_json::Result<T>, before: usize) -> Result<T, ReadError> {
    read.map_err(|error| malformed(&error, before))
}

/// Reads XML: the document is a record, or each element at the way to the records is one.
fn xml(source: &Source, text: &str) -> Found {
    let wanted = source.addresses.iter().enumerate();
    let wanted: Vec<_> = wanted
        .filter_map(|(slot, address)| match address {
            Address::Xml(steps) => Some((slot, &**steps)),
            _ => None,
        })
        .collect();
    let way = source.records.as_deref();
    // A record's own element is the first step of its addresses.
    let depth = way.map_or(0, |way| way.len() - 1);
    let mut values: Vec<Vec<Option<RawValue>>> = Vec::new();
    let mut seen = Vec::new();
    elements(text, source.ignores_rest, |path, element| {
        match element {
            Element::Start => {
                if way.map_or(path.len() == 1, |way| path == way) {
                    if values.len() == MAX_ITEMS {
                        return Err(ReadError::TooManyItems);
                    }
                    values.push(vec![None; source.addresses.len()]);
                    seen.clear();
                }
            }
            Element::End(content) => {
                let is_within = way.is_none_or(|way| {
                    path.len() >= way.len() && path.iter().zip(way).all(|(a, b)| a == b)
                });
                let here = wanted
                    .iter()
                    .filter(|_| is_within)
                    .find(|(_, steps)| path[depth..] == **steps);
                let (Some((slot, steps)), Some(record)) = (here, values.last_mut()) else {
                    return Ok(ControlFlow::Continue(()));
                };
                if seen.contains(slot) {
                    // Nobody can tell which of them the sender means, or it is another call.
                    if !source.ignores_rest {
                        let path = steps.join("/");
                        let reason = format!("the XML has more than one {path} for one event");
                        return Err(ReadError::Malformed(reason));
                    }
                    return Ok(ControlFlow::Continue(()));
                }
                record[*slot] = Some(content.value());
                seen.push(*slot);
                if source.ignores_rest && way.is_none() && seen.len() == wanted.len() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let is_found = way.is_none() || !values.is_empty();
    Ok(is_found.then_some((values, way.is_some())))
}

/// Reads CSV: each row is a record, and several are a batch.
fn csv(source: &Source, text: &str) -> Found {
    let mut rows = RowReader::new(text);
    let mut columns = vec![None; source.addresses.len()];
    let mut header = Vec::new();
    if source.has_header {
        header = rows.next()?.unwrap_or_default();
        rows.limit(header.len());
    } else {
        rows.limit(MAX_COLUMNS);
    }
    for (column, address) in columns.iter_mut().zip(&source.addresses) {
        let Address::Column(name) = address else {
            continue;
        };
        if !source.has_header {
            *column = name.parse::<usize>().ok().map(|number| number - 1);
            continue;
        }
        let is_here = |cell: &String| cell.trim().eq_ignore_ascii_case(name);
        *column = header.iter().position(is_here);
        if header.iter().filter(|cell| is_here(cell)).count() > 1 {
            return Err(rows.malformed(&format!("header names the column {name} twice")));
        }
    }
    if columns.iter().all(Option::is_none) {
        // It is another file, or one without a header, whose first row would be lost.
        return Ok(None);
    }
    let mut values = Vec::new();
    while let Some(cells) = rows.next()? {
        if values.len() == MAX_ITEMS {
            return Err(ReadError::TooManyItems);
        }
        let cell = |column: &Option<usize>| {
            let text = cells.get((*column)?)?;
            Some(lossless::restore(text.clone()))
        };
        values.push(columns.iter().map(cell).collect());
    }
    let is_batch = values.len() != 1;
    Ok(Some((values, is_batch)))
}
