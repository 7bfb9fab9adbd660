//! Reads a request with a profile.

use super::condition::{Absent, Condition, Undecided};
use super::file::Kind;
use super::profile::Profile;
use super::records::{Parts, Records, Request};
use super::rule::storable;
use super::source::Source;
use super::values::Values;
use super::{condition, time};
use crate::billable::{Code, Field, FieldError, RawReport, RawValue, Timestamp};
use crate::formats::ReadError;

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
                    Ok(timestamp) => RawValue::Text(timestamp.to_string()),
                    Err(rule) => {
                        let message = format!("occurredAt at {} {rule}", self.shown(field));
                        mapped
                            .errors
                            .push(FieldError::new(field, Code::InvalidInstant, message));
                        continue;
                    }
                },
                Field::CallSid => {
                    let (value, is_hashed) = storable(value);
                    mapped.is_hashed = is_hashed;
                    value
                }
                Field::AccountId | Field::CustomerId | Field::SessionId => value,
            };
            mapped.report.set(field, Some(value));
        }
        mapped
    }

    fn timestamp(&self, value: &RawValue, values: Values<'_>) -> Result<Timestamp, &'static str> {
        let RawValue::Text(text) = value else {
            return Err("is not a text");
        };
        let timestamp = self.time.parse(text)?;
        let Some(RawValue::Text(seconds)) = self.minus.and_then(|slot| values.get(slot)) else {
            return Ok(timestamp);
        };
        let earlier = condition::number(seconds.trim()).filter(|seconds| *seconds >= 0.0);
        earlier
            .and_then(|seconds| time::minus(timestamp, seconds))
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
