//! Conditions: which requests and which events a source reads.

use serde::Deserialize;

use super::address::Address;
use super::values::Values;
use crate::billable::RawValue;

/// A condition as a profile writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCondition {
    pub(super) at: Address,
    is: Option<Presence>,
    #[serde(rename = "in")]
    one_of: Option<Vec<String>>,
    not: Option<Vec<String>>,
    begins: Option<Vec<String>>,
    above: Option<f64>,
    #[serde(default)]
    pub(super) absent: Absent,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Presence {
    Present,
}

/// What it means that a value is absent which a profile names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Absent {
    /// The request is refused: a sender that renames a member must not make its calls free.
    #[default]
    Error,
    /// The condition does not hold, or the field is not given.
    No,
}

/// A condition on a value.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// The index of the value among those of the source's addresses.
    pub(super) slot: usize,
    pub(super) test: Test,
    pub(super) absent: Absent,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Present,
    /// The text is one of these, in any letter case.
    OneOf(Vec<String>),
    /// The text is none of these, in any letter case.
    NoneOf(Vec<String>),
    /// The text begins with one of these, in any letter case.
    Begins(Vec<String>),
    /// The number is greater.
    Above(f64),
}

impl RawCondition {
    /// Creates a condition that a value is one of these texts.
    pub(super) fn one_of(at: Address, texts: Vec<String>, absent: Absent) -> Self {
        Self {
            at,
            is: None,
            one_of: Some(texts),
            not: None,
            begins: None,
            above: None,
            absent,
        }
    }

    /// # Errors
    /// It has no test, or several.
    pub(super) fn test(&self) -> Result<Test, String> {
        let given = |texts: &Option<Vec<String>>| texts.clone().filter(|texts| !texts.is_empty());
        let above = self.above.filter(|number| number.is_finite());
        let tests = [
            self.is.map(|Presence::Present| Test::Present),
            given(&self.one_of).map(Test::OneOf),
            given(&self.not).map(Test::NoneOf),
            given(&self.begins).map(Test::Begins),
            above.map(Test::Above),
        ];
        let mut tests = tests.into_iter().flatten();
        match (tests.next(), tests.next()) {
            (Some(test), None) => Ok(test),
            _ => Err(format!(
                "the condition on {} must have one of is, in, not, begins and above",
                self.at
            )),
        }
    }
}

/// Why a condition could not be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecided {
    Absent,
    NotAText,
    NotANumber,
}

impl Condition {
    /// Whether the condition holds.
    ///
    /// # Errors
    /// The value is absent, and the profile does not say what that means, or is not a text or a number.
    pub(super) fn holds(&self, values: Values<'_>) -> Result<bool, Undecided> {
        let value = values.get(self.slot);
        if self.test == Test::Present {
            return Ok(value.is_some());
        }
        let Some(value) = value else {
            return match self.absent {
                Absent::No => Ok(false),
                Absent::Error => Err(Undecided::Absent),
            };
        };
        let RawValue::Text(text) = value else {
            return Err(Undecided::NotAText);
        };
        let text = text.trim();
        match &self.test {
            Test::Present => Ok(true),
            Test::OneOf(texts) => Ok(texts.iter().any(|one| one.eq_ignore_ascii_case(text))),
            Test::NoneOf(texts) => Ok(!texts.iter().any(|one| one.eq_ignore_ascii_case(text))),
            Test::Begins(texts) => {
                let begins = |start: &String| {
                    let begin = text.get(..start.len());
                    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(start))
                };
                Ok(texts.iter().any(begins))
            }
            Test::Above(least) => number(text)
                .map(|number| number > *least)
                .ok_or(Undecided::NotANumber),
        }
    }
}

/// Parses a decimal number. `NaN` and `inf` are none.
pub(super) fn number(text: &str) -> Option<f64> {
    let is_plain = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+'));
    text.parse().ok().filter(|_| is_plain)
}
