//! Finds the values at a source's addresses in each record of a document.

use std::ops::ControlFlow;

use serde_json::value::RawValue as RawJson;

use super::address::Address;
use super::source::Source;
use super::tree::Tree;
use super::xml::{Element, elements};
use crate::billable::RawValue;
use crate::formats::csv::{MAX_COLUMNS, RowReader, unguard};
use crate::formats::json::malformed;
use crate::formats::json::visit::{UpTo, raw_value};
use crate::formats::lossless;
use crate::formats::{MAX_ITEMS, ReadError};

/// The values of each record, and whether they are a batch; `None` if they are none of the source's.
pub(super) type Found = Result<Option<(Vec<Vec<Option<RawValue>>>, bool)>, ReadError>;

/// Reads JSON: an object is a record, and an array is a batch of them.
pub(super) fn json(source: &Source, text: &str, is_lines: bool) -> Found {
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
pub(super) fn xml(source: &Source, text: &str) -> Found {
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
                    let path = steps.join("/");
                    let reason = format!("the XML has more than one {path} for one event");
                    return Err(ReadError::Malformed(reason));
                }
                record[*slot] = Some(content.value()?);
                seen.push(*slot);
                if source.ignores_rest && way.is_none() && seen.len() == wanted.len() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if source.ignores_rest && has_another(text) {
        // The second one would be lost. No caller can put a line break there.
        let reason = "the XML has more than one document".to_owned();
        return Err(ReadError::Malformed(reason));
    }
    let is_found = way.is_none() || !values.is_empty();
    Ok(is_found.then_some((values, way.is_some())))
}

/// Whether a line behind the first begins like a document: with a declaration, or the root's tag.
fn has_another(text: &str) -> bool {
    let (root, body) = root_of(text);
    let mut lines = body.lines().skip(1).map(str::trim_start);
    lines.any(|line| {
        let rest = line.strip_prefix(root).filter(|_| root.len() > 1);
        let is_root = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '>']));
        is_root || line.starts_with("<?xml")
    })
}

/// Whether something follows the end of an XML document in a file.
pub fn has_rest(text: &str) -> bool {
    let (root, body) = root_of(text);
    let close = format!("</{}>", root.trim_start_matches('<'));
    let rest = body.split_once(&close).map_or("", |(_, rest)| rest);
    !rest.trim().is_empty()
}

/// Returns the start of the root's tag, such as `<cdr`, and what begins with it.
fn root_of(text: &str) -> (&str, &str) {
    let mut body = text.trim_start();
    if body.starts_with("<?") {
        body = body
            .split_once("?>")
            .map_or("", |(_, body)| body)
            .trim_start();
    }
    let end = body.find(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/'));
    (&body[..end.unwrap_or(body.len())], body)
}

/// Reads CSV: each row is a record, and several are a batch.
pub(super) fn csv(source: &Source, text: &str) -> Found {
    let mut rows = RowReader::new(text);
    let mut header = None;
    if source.has_header {
        let names = rows.next()?.unwrap_or_default();
        rows.limit(names.len());
        header = Some(names);
    } else {
        rows.limit(MAX_COLUMNS);
    }
    let columns = columns_of(source, header.as_deref()).map_err(|what| rows.malformed(&what))?;
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
            Some(lossless::restore(unguard(text.clone())))
        };
        values.push(columns.iter().map(cell).collect());
    }
    let is_batch = values.len() != 1;
    Ok(Some((values, is_batch)))
}

/// Returns the index of the cell at each of the source's addresses. `header` is that of the file, or
/// `None` if it has none.
///
/// # Errors
/// The header names a column of the source twice. The message is a predicate.
pub(super) fn columns_of(
    source: &Source,
    header: Option<&[impl AsRef<str>]>,
) -> Result<Vec<Option<usize>>, String> {
    let column = |address: &Address| {
        let Address::Column(name) = address else {
            return Ok(None);
        };
        let Some(header) = header.filter(|_| source.has_header) else {
            let number = name.parse::<usize>().ok();
            return Ok(number.and_then(|number| number.checked_sub(1)));
        };
        let is_here = |cell: &&str| cell.trim().eq_ignore_ascii_case(name);
        if header.iter().map(AsRef::as_ref).filter(is_here).count() > 1 {
            return Err(format!("header names the column {name} twice"));
        }
        Ok(header.iter().position(|cell| is_here(&cell.as_ref())))
    };
    source.addresses.iter().map(column).collect()
}

/// Returns the value at `/json/pointer` in a JSON record.
///
/// # Errors
/// It is not a JSON pointer, or the record is not a JSON object. The message is a sentence.
pub fn value_at(record: &str, pointer: &str) -> Result<Option<RawValue>, String> {
    let Ok(Address::Json(steps)) = Address::parse(pointer) else {
        return Err(format!("{pointer} is not a JSON pointer"));
    };
    let mut found = [None];
    let read = Tree::of_steps(&steps).find(record, &mut found);
    read.map_err(|error| malformed(&error, 0).to_string())?;
    let [found] = found;
    let value = found.map_or(Ok(None), raw_value);
    value.map_err(|error| malformed(&error, 0).to_string())
}
