//! Reads a request with a profile.

use std::rc::Rc;
use std::sync::Arc;

use super::condition::{Absent, Condition, Undecided};
use super::documents::columns_of;
use super::file::Kind;
use super::profile::Profile;
use super::records::{Parts, Records, Request};
use super::rule::storable;
use super::source::Source;
use super::values::Values;
use super::{condition, time};
use crate::billable::{Code, Field, FieldError, RawReport, RawValue, Timestamp};
use crate::formats::{ReadError, lossless};

/// What a profile read from a request, one event after the other.
#[derive(Debug)]
pub struct Reading {
    pub events: Vec<Event>,
    pub is_batch: bool,
}

#[derive(Debug)]
pub enum Event {
    Report(Mapped),
    /// The event is none that is billed.
    Ignored {
        reason: Ignored,
        /// The call, if the event names it.
        call_sid: Option<String>,
    },
}

/// A report that was read with a profile.
#[derive(Debug, Default)]
pub struct Mapped {
    pub report: RawReport,
    /// The errors of fields that the profile reads.
    pub errors: Vec<FieldError>,
    /// Whether the call is a hash, because its id cannot be stored.
    pub is_hashed: bool,
    /// Whether the zone's clocks show the local time twice or never.
    pub is_ambiguous: bool,
}

/// The conditions by which an event is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// It is none of the events that the sender's calls are billed by.
    Only,
    /// The call was not answered.
    Answered,
}

impl Ignored {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Answered => "answered",
        }
    }
}

/// A request that a source reads, before the events are taken from it.
#[derive(Debug)]
pub struct Opened<'a> {
    profile: &'a Profile,
    source: &'a Source,
    records: Records,
}

impl Profile {
    /// Reads a request whose sender is known: [`Self::open`] and [`Opened::events`].
    ///
    /// # Errors
    /// As for both.
    pub fn read(
        &self,
        request: Request<'_>,
        is_answered: bool,
        decode: Option<fn(&[u8]) -> String>,
    ) -> Result<Reading, ReadError> {
        self.open(request)?.events(is_answered, decode)
    }

    /// Finds the source that reads a request, and the request's records.
    ///
    /// # Errors
    /// The request is malformed, or none that this profile reads.
    pub fn open(&self, request: Request<'_>) -> Result<Opened<'_>, ReadError> {
        let (query, appended) = self.split_query(request.query);
        let parts = Parts::of(request, query, appended)?;
        let mut refusal = None;
        for source in &self.sources {
            match parts.records(source) {
                Ok(Some(records)) => {
                    if records.iter().next().is_none_or(|first| source.fits(first)) {
                        return Ok(Opened {
                            profile: self,
                            source,
                            records,
                        });
                    }
                }
                Ok(None) => {}
                // Another source may read what is none of this one's documents.
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
        let wanted: Vec<_> = self.sources.iter().map(Source::wanted).collect();
        let wanted = wanted.join(", or ");
        let reason = format!("it reads {wanted}; the request is {}", parts.described());
        Err(refusal.unwrap_or_else(|| self.unrecognised(&reason, None)))
    }

    /// Reads the fields of a request that names no sender, without conditions. Returns `None` if it
    /// is none that this source reads.
    ///
    /// # Errors
    /// The request is malformed.
    pub(super) fn recognise(
        &self,
        source: &Source,
        request: Request<'_>,
        decode: Option<fn(&[u8]) -> String>,
    ) -> Result<Option<Vec<Mapped>>, ReadError> {
        let (query, appended) = self.split_query(request.query);
        let parts = Parts::of(request, query, appended)?;
        let Some(mut records) = parts.records(source)? else {
            return Ok(None);
        };
        if !records.iter().any(|values| source.fits(values)) {
            return Ok(None);
        }
        if let Some(decode) = decode {
            records.decode(decode);
        }
        let read = |values| {
            if !source.fits(values) {
                return Mapped::default();
            }
            let mut mapped = source.report(values);
            // The request may name it itself.
            mapped.errors.retain(|error| error.code != Code::NotEmpty);
            mapped
        };
        Ok(Some(records.iter().map(read).collect()))
    }

    fn unrecognised(&self, reason: &str, index: Option<usize>) -> ReadError {
        let message = format!("{} does not read this request: {reason}", self.shown());
        ReadError::Unrecognised { message, index }
    }
}

impl Opened<'_> {
    /// The number of records.
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// The size of the values that every event may get a copy of, in bytes.
    pub fn shared_bytes(&self) -> usize {
        self.records.shared_bytes()
    }

    /// The kind of document that is read.
    pub fn kind(&self) -> Kind {
        self.source.kind
    }

    /// Takes the events. `decode` decodes text that is not UTF-8.
    ///
    /// # Errors
    /// A condition cannot be decided, or a record of a batch is another one than the first.
    pub fn events(
        mut self,
        is_answered: bool,
        decode: Option<fn(&[u8]) -> String>,
    ) -> Result<Reading, ReadError> {
        if let Some(decode) = decode {
            self.records.decode(decode);
        }
        let is_batch = self.records.is_batch;
        let read = self.records.iter().enumerate().map(|(index, values)| {
            let event = self.source.event(values, is_answered);
            event.map_err(|reason| {
                let index = is_batch.then_some(index);
                self.profile.unrecognised(&reason, index)
            })
        });
        Ok(Reading {
            events: read.collect::<Result<_, _>>()?,
            is_batch,
        })
    }
}

/// Reads the rows of a CSV file with a profile, one by one.
#[derive(Debug)]
pub struct Table {
    profile: Arc<Profile>,
    /// The index of the source.
    source: usize,
    /// The number of the cell at each of the source's addresses.
    columns: Vec<Option<usize>>,
}

impl Table {
    /// Finds the columns that the profile's first source of CSV reads. `header` is that of the file,
    /// or `None` if it has none.
    ///
    /// # Errors
    /// No source reads such a file. The message is a sentence.
    pub fn of(profile: Arc<Profile>, header: Option<&[Rc<str>]>) -> Result<Self, String> {
        let mut sources = profile.sources.iter();
        let source = sources.position(|source| source.kind == Kind::Csv);
        let source = source.ok_or_else(|| format!("{} does not read CSV", profile.shown()))?;
        let columns = columns_of(&profile.sources[source], header)?;
        Ok(Self {
            profile,
            source,
            columns,
        })
    }

    /// Reads a row.
    ///
    /// # Errors
    /// A condition cannot be decided. The message is a sentence.
    pub fn event(&self, cells: &[String], is_answered: bool) -> Result<Event, String> {
        let source = &self.profile.sources[self.source];
        let text = |column: &Option<usize>| Some(lossless::restore(cells.get((*column)?)?.clone()));
        let own: Vec<_> = self.columns.iter().map(text).collect();
        let shared = vec![None; own.len()];
        let values = Values::new(&own, &shared);
        if source.fits(values) {
            return source.event(values, is_answered);
        }
        let (profile, wanted) = (self.profile.shown(), source.wanted());
        Err(format!(
            "{profile} does not read this row: it reads {wanted}"
        ))
    }
}

impl Source {
    /// Whether this source reads a request with such a record.
    fn fits(&self, values: Values<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(values) == Ok(true);
        self.when.iter().all(holds)
    }

    /// Says which requests it reads.
    fn wanted(&self) -> String {
        let mut wanted = self.kind.to_string();
        if let Some(within) = &self.within {
            wanted.push_str(&format!(" in {within}"));
        }
        if !self.when.is_empty() {
            let at = |condition: &Condition| self.addresses[condition.slot].to_string();
            let at: Vec<_> = self.when.iter().map(at).collect();
            wanted.push_str(&format!(" that has {}", at.join(" and ")));
        }
        wanted
    }

    fn event(&self, values: Values<'_>, is_answered: bool) -> Result<Event, String> {
        if !self.fits(values) {
            return Err("it lacks what the first item has".to_owned());
        }
        let answered: &[_] = if is_answered { &self.answered } else { &[] };
        for (conditions, reason) in [(&*self.only, Ignored::Only), (answered, Ignored::Answered)] {
            for condition in conditions {
                let holds = condition
                    .holds(values)
                    .map_err(|why| self.undecided(condition, why))?;
                if !holds {
                    let report = self.report(values).report;
                    let call_sid = match report.get(Field::CallSid) {
                        Some(RawValue::Text(text)) => Some(text.clone()),
                        _ => None,
                    };
                    return Ok(Event::Ignored { reason, call_sid });
                }
            }
        }
        Ok(Event::Report(self.report(values)))
    }

    fn undecided(&self, condition: &Condition, why: Undecided) -> String {
        let at = &self.addresses[condition.slot];
        match why {
            Undecided::Absent => {
                format!("it has nothing at {at}, which says whether the event counts")
            }
            Undecided::NotAText => format!("what it has at {at} is not a text"),
            Undecided::NotANumber => format!("what it has at {at} is not a number"),
        }
    }

    /// Reads the fields of a record.
    fn report(&self, values: Values<'_>) -> Mapped {
        let mut mapped = Mapped::default();
        for field in Field::ALL {
            let Some(rule) = &self.rules[field as usize] else {
                continue;
            };
            let Some(value) = rule.value(values) else {
                if rule.absent == Absent::Error {
                    let message =
                        format!("{} is not given at {}", field.camel(), self.shown(field));
                    mapped
                        .errors
                        .push(FieldError::new(field, Code::NotEmpty, message));
                }
                continue;
            };
            let value = match field {
                Field::OccurredAt => match self.timestamp(&value, values) {
                    Ok((timestamp, is_ambiguous)) => {
                        mapped.is_ambiguous = is_ambiguous;
                        RawValue::Text(timestamp.to_string())
                    }
                    Err(rule) => {
                        let message = format!("occurredAt at {} {rule}", self.shown(field));
                        mapped
                            .errors
                            .push(FieldError::new(field, Code::InvalidInstant, message));
                        continue;
                    }
                },
                Field::CallSid if self.hashes_calls => {
                    let (value, is_hashed) = storable(value);
                    mapped.is_hashed = is_hashed;
                    value
                }
                Field::AccountId | Field::CustomerId | Field::SessionId | Field::CallSid => value,
            };
            mapped.report.set(field, Some(value));
        }
        mapped
    }

    /// Reads a time, and whether it is one of two that its text may mean.
    fn timestamp(
        &self,
        value: &RawValue,
        values: Values<'_>,
    ) -> Result<(Timestamp, bool), &'static str> {
        let RawValue::Text(text) = value else {
            return Err("is not a text");
        };
        let (timestamp, is_ambiguous) = self.time.parse_told(text)?;
        let Some(RawValue::Text(seconds)) = self.minus.and_then(|slot| values.get(slot)) else {
            return Ok((timestamp, is_ambiguous));
        };
        let earlier = condition::number(seconds.trim()).filter(|seconds| *seconds >= 0.0);
        earlier
            .and_then(|seconds| time::minus(timestamp, seconds))
            .map(|earlier| (earlier, is_ambiguous))
            .ok_or("is followed by a duration that is no number of seconds")
    }

    /// The addresses of a field, for messages.
    fn shown(&self, field: Field) -> String {
        let rule = self.rules[field as usize].as_ref();
        let slots = rule.map_or(&[][..], |rule| rule.slots());
        let shown: Vec<_> = slots
            .iter()
            .map(|slot| self.addresses[*slot].to_string())
            .collect();
        shown.join(", ")
    }
}
