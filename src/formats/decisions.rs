//! The items of requests and files that decide about many billables or sessions.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use serde::Deserialize;
use uuid::Uuid;

use super::csv::columns;
use super::json::object;
use super::json::visit::UpTo;
use super::{Format, ReadError, trimmed};
use crate::billable::{Code, Field, FieldError, Pair, Text};

/// What is wrong with an item.
#[derive(Clone, Debug)]
pub struct ItemError {
    /// Its index; `None` for what all items share.
    pub index: Option<usize>,
    /// The member that violates a rule, in PascalCase.
    pub name: &'static str,
    pub code: Code,
    pub message: String,
}

/// A billable that is to be voided.
#[derive(Clone, Debug)]
pub struct WantedVoid {
    /// The id as it was sent.
    pub input: String,
    pub id: Uuid,
    pub reason: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound = "I: Default + Deserialize<'de>")]
struct IdsIn<I> {
    ids: I,
    reason: Option<String>,
}

/// Ids with their reasons, as they were sent, and the reason of those that have none.
#[derive(Clone, Debug, Default)]
pub struct VoidsIn {
    pub rows: Vec<(String, Option<String>)>,
    pub reason: Option<String>,
}

/// Reads ids and reasons: of CSV from each row; of JSON `ids`, and one `reason` for all.
///
/// # Errors
/// The text is in neither format, malformed, or has more than `MOST` items.
pub fn read_voids<const MOST: usize>(bytes: &[u8], format: Format) -> Result<VoidsIn, ReadError> {
    match format {
        Format::Csv => {
            let text = std::str::from_utf8(trimmed(bytes)).map_err(|_| not_utf8())?;
            let rows = columns(text, ["id", "reason"], MOST)?.into_iter();
            let rows = rows.map(|[id, reason]| (id.unwrap_or_default(), reason));
            Ok(VoidsIn {
                rows: rows.collect(),
                reason: None,
            })
        }
        Format::Json => {
            let IdsIn { ids, reason } = object(bytes)?;
            let UpTo::<String, MOST>(ids) = ids;
            if ids.len() > MOST {
                return Err(ReadError::TooManyItems);
            }
            let rows = ids.into_iter().map(|id| (id, None)).collect();
            Ok(VoidsIn { rows, reason })
        }
        _ => Err(ReadError::UnsupportedType),
    }
}

fn not_utf8() -> ReadError {
    ReadError::Malformed("the CSV is not UTF-8".to_owned())
}

/// Checks ids and reasons. A blank reason is none.
///
/// # Errors
/// All items that violate a rule.
pub fn check_voids(voids: VoidsIn) -> Result<Vec<WantedVoid>, Vec<ItemError>> {
    let VoidsIn { rows, reason } = voids;
    let parsed = |reason: Option<String>| {
        let given = reason.filter(|reason| !reason.trim().is_empty());
        given
            .map(|reason| Text::named("reason", reason))
            .transpose()
    };
    // It is checked once, because it may be long.
    let common = parsed(reason).map_err(|(code, message)| {
        vec![ItemError {
            index: None,
            name: "Reason",
            code,
            message,
        }]
    })?;
    let (mut wanted, mut errors) = (Vec::with_capacity(rows.len()), Vec::new());
    for (index, (input, reason)) in rows.into_iter().enumerate() {
        let mut add = |name, code, message| {
            errors.push(ItemError {
                index: Some(index),
                name,
                code,
                message,
            });
        };
        let id = input.trim().parse().ok();
        if id.is_none() {
            let message = "the id is not a UUID".to_owned();
            add("Id", Code::Predicate, message);
        }
        match (id, parsed(reason)) {
            (Some(id), Ok(reason)) => wanted.push(WantedVoid {
                input,
                id,
                reason: reason.or_else(|| common.clone()),
            }),
            (_, Err((code, message))) => add("Reason", code, message),
            (None, Ok(_)) => {}
        }
    }
    if errors.is_empty() {
        Ok(wanted)
    } else {
        Err(errors)
    }
}

/// Returns the first item of each billable or session.
pub fn distinct<T, K: Eq + Hash>(wanted: &[T], of: impl Fn(&T) -> &K) -> Vec<&T> {
    let mut seen = HashSet::new();
    wanted.iter().filter(|item| seen.insert(of(item))).collect()
}

/// Returns the outcome of each item. `replayed` has the billables that exist, and whether they were
/// voided before.
pub fn void_outcomes(
    wanted: Vec<WantedVoid>,
    mut replayed: HashMap<Uuid, bool>,
) -> Vec<(String, &'static str)> {
    let outcome = |WantedVoid { input, id, .. }| {
        // A further item of the same billable changes nothing.
        let outcome = match replayed.get_mut(&id) {
            None => "missing",
            Some(true) => "replayed",
            Some(is_replayed) => {
                *is_replayed = true;
                "voided"
            }
        };
        (input, outcome)
    };
    wanted.into_iter().map(outcome).collect()
}

/// A session, and the account and customer that it is to be billed to.
#[derive(Clone, Debug)]
pub struct WantedSession {
    pub session_id: Text,
    pub pair: Pair,
}

/// A session's decision as it was sent.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionIn {
    pub session_id: Option<String>,
    pub account_id: Option<String>,
    pub customer_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound = "S: Default + Deserialize<'de>")]
struct SessionsIn<S> {
    sessions: S,
}

/// Reads decisions about sessions: of CSV from each row; of JSON from an array, or from the member
/// `sessions`.
///
/// # Errors
/// The text is in neither format, malformed, or has more than `MOST` items.
pub fn read_sessions<const MOST: usize>(
    bytes: &[u8],
    format: Format,
) -> Result<Vec<SessionIn>, ReadError> {
    match format {
        Format::Csv => {
            let text = std::str::from_utf8(trimmed(bytes)).map_err(|_| not_utf8())?;
            let names = [Field::SessionId, Field::AccountId, Field::CustomerId].map(Field::camel);
            let rows = columns(text, names, MOST)?.into_iter();
            Ok(rows
                .map(|[session_id, account_id, customer_id]| SessionIn {
                    session_id,
                    account_id,
                    customer_id,
                })
                .collect())
        }
        Format::Json => {
            let UpTo::<SessionIn, MOST>(sessions) =
                if trimmed(bytes).trim_ascii_start().starts_with(b"[") {
                    object(bytes)?
                } else {
                    let SessionsIn { sessions } = object(bytes)?;
                    sessions
                };
            if sessions.len() > MOST {
                return Err(ReadError::TooManyItems);
            }
            Ok(sessions)
        }
        _ => Err(ReadError::UnsupportedType),
    }
}

impl SessionIn {
    /// Checks the session, the account and the customer, each of which is required.
    ///
    /// # Errors
    /// All that violate a rule.
    pub fn check(self) -> Result<WantedSession, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut required = |field: Field, value: Option<String>| {
            // A blank one counts as none, as in a report.
            let given = value.filter(|value| !value.trim().is_empty());
            let missing = || {
                let message = format!("{} is required", field.camel());
                FieldError::new(field, Code::NotEmpty, message)
            };
            let parsed = given
                .ok_or_else(missing)
                .and_then(|text| Text::parse(field, text));
            parsed.map_err(|error| errors.push(error)).ok()
        };
        let session_id = required(Field::SessionId, self.session_id);
        let account_id = required(Field::AccountId, self.account_id);
        let customer_id = required(Field::CustomerId, self.customer_id);
        match (session_id, account_id, customer_id) {
            (Some(session_id), Some(account_id), Some(customer_id)) => Ok(WantedSession {
                session_id,
                pair: Pair {
                    account_id,
                    customer_id,
                },
            }),
            _ => Err(errors),
        }
    }
}

/// Checks decisions about sessions.
///
/// # Errors
/// All items that violate a rule.
pub fn check_sessions(rows: Vec<SessionIn>) -> Result<Vec<WantedSession>, Vec<ItemError>> {
    let (mut wanted, mut errors) = (Vec::with_capacity(rows.len()), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        match row.check() {
            Ok(session) => wanted.push(session),
            Err(wrong) => errors.extend(wrong.into_iter().map(|error| ItemError {
                index: Some(index),
                name: error.field.pascal(),
                code: error.code,
                message: error.message,
            })),
        }
    }
    if errors.is_empty() {
        Ok(wanted)
    } else {
        Err(errors)
    }
}

/// What a session is billed to, and the outcome of an item that asks for it.
#[derive(Clone, Debug)]
pub struct Decision {
    pub pair: Pair,
    /// `decided`, `same` or `pending`.
    pub outcome: &'static str,
}

/// Returns the outcome of each item. `decisions` has all sessions.
pub fn session_outcomes(
    wanted: Vec<WantedSession>,
    mut decisions: HashMap<Text, Decision>,
) -> Vec<(String, &'static str)> {
    let outcome = |WantedSession { session_id, pair }| {
        let outcome = match decisions.get_mut(&session_id) {
            Some(decision) if decision.pair == pair => {
                // A further item of the same session changes nothing.
                let next = match decision.outcome {
                    "decided" => "same",
                    other => other,
                };
                std::mem::replace(&mut decision.outcome, next)
            }
            _ => "conflict",
        };
        (session_id.as_str().to_owned(), outcome)
    };
    wanted.into_iter().map(outcome).collect()
}
