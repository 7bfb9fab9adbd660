//! What requests that decide about many billables or sessions have in common: rows as JSON or CSV, and
//! the outcome of each.

use std::borrow::Cow;

use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, body};
use crate::formats::charset::{self, Charset};
use crate::formats::csv::columns;
use crate::formats::record::{Record, page};
use crate::formats::value::Value;
use crate::formats::{self, Format};
use crate::limits::Claim;

/// The number of items that are stored together.
pub(in crate::api) const TOGETHER: usize = 500;

/// A body with an item for each row.
pub(in crate::api) enum Rows<'a, const N: usize> {
    /// CSV, with the columns that were asked for.
    Csv(Vec<[Option<String>; N]>),
    /// JSON in UTF-8, not parsed yet.
    Json(Cow<'a, [u8]>),
}

/// Reads a body of rows with these columns.
///
/// # Errors
/// It is neither CSV nor JSON, is not in the charset that its type names, or has too many rows.
pub(in crate::api) fn rows<'a, const N: usize>(
    head: &Parts,
    bytes: &'a [u8],
    claim: &mut Claim,
    names: [&'static str; N],
) -> Result<Rows<'a, N>, ApiError> {
    let content_type = head.headers.get(CONTENT_TYPE);
    let content_type = content_type.map(|value| value.to_str().unwrap_or("?"));
    let charset = Charset::of(content_type)?;
    claim.grow(charset.memory(bytes))?;
    let bytes = charset.decode(bytes)?;
    if body::is_in(head, &bytes, Format::Json) {
        return Ok(Rows::Json(bytes));
    }
    if !body::is_in(head, &bytes, Format::Csv) {
        return Err(ApiError::NotJson);
    }
    let trimmed = formats::trimmed(&bytes);
    let text = match std::str::from_utf8(trimmed) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) if charset == Charset::Windows1252 => charset::windows_1252(trimmed).into(),
        Err(_) => return Err(ApiError::Malformed("the CSV is not UTF-8".to_owned())),
    };
    Ok(Rows::Csv(columns(&text, names)?))
}

/// Returns the outcome of each item. `held` is dropped when they are sent.
pub(in crate::api) fn outcomes(
    response_format: ResponseFormat,
    outcomes: Vec<(String, &'static str)>,
    held: impl Send + 'static,
) -> Response {
    let format = response_format.format;
    let items = outcomes
        .into_iter()
        .enumerate()
        .map(move |(index, (input, outcome))| {
            let _held = &held;
            let members = vec![
                ("input", Value::text(Some(input))),
                ("outcome", Value::text(Some(outcome))),
            ];
            Record::new("Decided", members).write_item(format, index == 0)
        });
    response_format.pieces(page("Decided", items, None, None, format))
}
