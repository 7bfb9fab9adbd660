//! A request whose parts are decoded, and the records that a source finds in it.

use std::borrow::Cow;

use http::HeaderMap;

use super::address::Address;
use super::documents::{csv, json, xml};
use super::file::Kind;
use super::source::Source;
use super::values::{Values, bytes_of};
use crate::billable::RawValue;
use crate::formats::csv::RowReader;
use crate::formats::json::members_of;
use crate::formats::lossless::{self, Decoder};
use crate::formats::parameters::Parameters;
use crate::formats::{BodyFormat, Format, ReadError, form};
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
    /// Of a type that no source reads.
    Opaque,
}

impl<'a> Parts<'a> {
    /// `query` and `appended` are the parts of the request's query.
    ///
    /// # Errors
    /// The query or a form is malformed.
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
            Body::Opaque => return "a body of another type".to_owned(),
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
        let format = BodyFormat::of(content_type, body).or_else(|_| BodyFormat::of(None, body));
        let Ok(format) = format else {
            return Ok(Self::Opaque);
        };
        let mut decoder = Decoder::default();
        let mut text = || decoder.decode(crate::formats::trimmed(body));
        Ok(match format {
            BodyFormat::Plain(Format::Json) => Self::Json(text()),
            BodyFormat::Plain(Format::Ndjson) => Self::Lines(text()),
            BodyFormat::Plain(Format::Xml) => Self::Xml(text()),
            BodyFormat::Plain(Format::Csv) => Self::Csv(text()),
            BodyFormat::Plain(Format::Jsv) => Self::Opaque,
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
