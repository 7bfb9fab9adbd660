//! Profiles: what a sender's file says, checked.

use super::address::Address;
use super::file::{Example, Handshake, Kind, MAPPING, RawProfile, Reply};
use super::source::Source;
use crate::billable::Field;

/// A sender: where the fields of a report are in what it sends.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    /// Its name in the documentation.
    pub title: String,
    /// Where the sender's protocol is documented.
    pub docs: String,
    /// Whether a request that fits is read with the profile although nothing names it.
    pub is_automatic: bool,
    /// How the sender is set up: Markdown with `{address}`, `{token}`, `{account}` and `{customer}`.
    pub setup: String,
    pub examples: Vec<Example>,
    /// The response to a request that was stored or ignored, if the sender needs a certain one.
    pub reply: Option<Reply>,
    /// How the sender checks that a URL wants its events.
    pub handshake: Option<Handshake>,
    /// The texts that begin what the sender appends to the URL.
    appended: Vec<String>,
    pub(super) sources: Vec<Source>,
    /// What the profile was made from.
    raw: RawProfile,
}

/// Why a profile is invalid. The message is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProfileError(pub(super) String);

impl Profile {
    /// Parses a profile's file.
    ///
    /// # Errors
    /// It is not TOML of this form, or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let raw: RawProfile =
            toml::from_str(text).map_err(|error| ProfileError(error.to_string()))?;
        Self::check(raw)?.complete()
    }

    /// # Errors
    /// It does not say where callSid is: each repeat of an event would be billed.
    pub(super) fn complete(self) -> Result<Self, ProfileError> {
        let has_call = |source: &Source| source.rules[Field::CallSid as usize].is_some();
        if self.sources.iter().all(has_call) {
            return Ok(self);
        }
        Err(ProfileError("it is not said where callSid is".to_owned()))
    }

    pub(super) fn check(raw: RawProfile) -> Result<Self, ProfileError> {
        if raw.source.is_empty() {
            return Err(ProfileError("a profile must have a source".to_owned()));
        }
        let is_status = |reply: &Reply| (200..300).contains(&reply.status);
        if !raw.reply.as_ref().is_none_or(is_status) {
            return Err(ProfileError("the status of a reply must be 2xx".to_owned()));
        }
        let is_mark = |mark: &String| mark.starts_with(['?', '&']) && mark.len() > 1;
        if !raw.appended.iter().all(is_mark) {
            return Err(ProfileError(
                "each text in appended must begin with ? or &".to_owned(),
            ));
        }
        let has_appended = !raw.appended.is_empty();
        let sources = raw
            .source
            .iter()
            .map(|source| Source::of(source, has_appended));
        Ok(Self {
            name: raw.name.clone(),
            title: raw.title.clone(),
            docs: raw.docs.clone(),
            is_automatic: raw.automatic,
            setup: raw.setup.clone(),
            examples: raw.example.clone(),
            reply: raw.reply.clone(),
            handshake: raw.handshake,
            appended: raw.appended.clone(),
            sources: sources.collect::<Result<_, _>>().map_err(ProfileError)?,
            raw,
        })
    }

    pub(super) fn raw(&self) -> RawProfile {
        self.raw.clone()
    }

    /// Whether it knows which calls were answered.
    pub fn knows_answered(&self) -> bool {
        self.sources
            .iter()
            .all(|source| !source.answered.is_empty())
    }

    /// Whether it reads documents of this kind.
    pub fn reads(&self, kind: Kind) -> bool {
        self.sources.iter().any(|source| source.kind == kind)
    }

    /// The names of the columns that it reads in CSV.
    pub fn columns(&self) -> Vec<String> {
        let addresses = self.sources.iter().flat_map(|source| &source.addresses);
        let column = |address: &Address| match address {
            Address::Column(name) => Some(name.clone()),
            _ => None,
        };
        addresses.filter_map(column).collect()
    }

    /// Whether its files of CSV have no header.
    pub fn is_headerless(&self) -> bool {
        let mut tables = self
            .sources
            .iter()
            .filter(|source| source.kind == Kind::Csv);
        tables.any(|source| !source.has_header)
    }

    /// Whether it reads requests without a body.
    pub fn reads_query(&self) -> bool {
        self.reads(Kind::Query)
    }

    /// Whether it reads this parameter of the URL.
    pub fn reads_parameter(&self, name: &str) -> bool {
        let mut sources = self.sources.iter();
        let is_here = |address: &Address| match address {
            Address::Query(known) => known.eq_ignore_ascii_case(name),
            _ => false,
        };
        sources.any(|source| {
            source.addresses.iter().any(is_here) || source.within.as_ref().is_some_and(is_here)
        })
    }

    /// Whether the sender appends something to the URL.
    pub fn appends(&self) -> bool {
        !self.appended.is_empty()
    }

    /// How messages call it.
    pub(super) fn shown(&self) -> String {
        match &*self.name {
            MAPPING => "the mapping".to_owned(),
            name => format!("the profile of the sender {name}"),
        }
    }

    /// Splits what the sender appended off a query.
    ///
    /// It is no part of the query, whatever it holds: FreeSWITCH does not encode what it appends,
    /// and the caller may have chosen it. A URL without a query gets one by it.
    pub fn split_query<'a>(&self, query: &'a str) -> (&'a str, Option<&'a str>) {
        let begin = |mark: &String| match query.strip_prefix(&mark[1..]) {
            Some(_) => Some((0, mark.len() - 1)),
            None => query.find(&**mark).map(|at| (at, mark.len())),
        };
        match self.appended.iter().filter_map(begin).min() {
            Some((at, length)) => (&query[..at], Some(&query[at + length..])),
            None => (query, None),
        }
    }
}
