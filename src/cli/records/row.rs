//! A row of a file: cells by their columns, or a document.

use std::borrow::Cow;
use std::rc::Rc;

use crate::billable::RawValue;
use crate::formats::json::members_of;
use crate::formats::lossless;
use crate::senders;

/// A row, as it was read.
#[derive(Debug)]
pub(in crate::cli) struct Row {
    /// The line on which it begins, counted from 1.
    pub(in crate::cli) line: u64,
    /// The row as it is in the file, in UTF-8, or with its bytes kept as [`lossless`] does.
    pub(super) text: String,
    /// The cells of a row of CSV, without the guard of our own exports.
    pub(in crate::cli) cells: Option<Vec<String>>,
    pub(super) header: Option<Rc<[Rc<str>]>>,
}

/// A row that cannot be read.
#[derive(Debug)]
pub(in crate::cli) struct Unreadable {
    /// The line on which it begins, counted from 1.
    pub(in crate::cli) line: u64,
    /// The row as it is in the file, unless it is too long.
    pub(in crate::cli) text: Option<String>,
    /// What is wrong with it.
    pub(in crate::cli) reason: String,
}

/// The values of a row by their names, in the order of the row.
#[derive(Debug)]
pub(in crate::cli) struct Named(Vec<(Rc<str>, Option<RawValue>)>);

impl Row {
    /// The row, to be shown.
    pub(in crate::cli) fn shown(&self) -> String {
        match lossless::bytes_of(&self.text) {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            None => self.text.clone(),
        }
    }

    /// The bytes of the row.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match lossless::bytes_of(&self.text) {
            Some(bytes) => Cow::Owned(bytes),
            None => Cow::Borrowed(self.text.as_bytes()),
        }
    }

    /// Returns the value of a column, or at an address in JSON.
    ///
    /// # Errors
    /// The row is malformed, or has the column twice. The message is a sentence.
    pub(in crate::cli) fn value_at(&self, at: &str) -> Result<Option<RawValue>, String> {
        if self.cells.is_none() && at.starts_with('/') {
            return senders::value_at(&self.text, at);
        }
        let name = at.strip_prefix("column:").unwrap_or(at);
        if let (Some(cells), None) = (&self.cells, &self.header) {
            let number = name.parse::<usize>().ok();
            let cell = number.and_then(|number| cells.get(number.checked_sub(1)?));
            return Ok(cell.map(|cell| lossless::restore(cell.clone())));
        }
        Ok(self.named()?.get(name)?.cloned())
    }

    /// Returns the members of a row that is a JSON object, or the cells by the header's names. Empty
    /// cells have no value.
    pub(in crate::cli) fn named(&self) -> Result<Named, String> {
        let Some(cells) = &self.cells else {
            let members = members_of(&self.text).map_err(|error| error.to_string())?;
            let members = members.into_iter();
            return Ok(Named(
                members.map(|(name, value)| (name.into(), value)).collect(),
            ));
        };
        let header = self.header.iter().flat_map(|header| header.iter());
        let given = |cell: Option<&String>| match cell {
            Some(cell) if !cell.is_empty() => Some(lossless::restore(cell.clone())),
            _ => None,
        };
        let named = header
            .enumerate()
            .map(|(index, name)| (Rc::clone(name), given(cells.get(index))));
        Ok(Named(named.collect()))
    }
}

impl Named {
    /// Returns whether there is a member of that name, in any letter case, with or without a value.
    pub(in crate::cli) fn has(&self, name: &str) -> bool {
        let mut names = self.0.iter().map(|(known, _)| known);
        names.any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Returns the value of the member of that name, in any letter case. A name that occurs twice
    /// is an error, because either member could be meant.
    pub(in crate::cli) fn get(&self, name: &str) -> Result<Option<&RawValue>, String> {
        let mut found = self
            .0
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(format!("the row has {name} twice")),
            (Some((_, value)), None) => Ok(value.as_ref()),
            (None, _) => Ok(None),
        }
    }

    /// Like [`Self::get`], for a value that must be a string. A blank string counts as no value.
    pub(in crate::cli) fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.get(name)? {
            Some(RawValue::Text(text)) => Ok(Some(&**text).filter(|text| !text.trim().is_empty())),
            Some(RawValue::Structure | RawValue::Bytes(_)) => {
                Err(format!("{name} must be a string"))
            }
            None => Ok(None),
        }
    }
}
