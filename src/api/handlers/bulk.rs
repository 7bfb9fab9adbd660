//! What requests that decide about many billables or sessions have in common: items as JSON or CSV, and
//! the outcome of each.

use std::borrow::Cow;

use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, body};
use crate::formats::Format;
use crate::formats::charset::{self, Charset};
use crate::formats::record::{Record, page};
use crate::formats::value::Value;
use crate::limits::Claim;

/// The number of items that are stored together.
pub(in crate::api) const TOGETHER: usize = 500;

/// Returns a body in UTF-8, and whether it is CSV or JSON.
///
/// # Errors
/// It is neither, or is not in the charset that its type names.
pub(in crate::api) fn decoded<'a>(
    head: &Parts,
    bytes: &'a [u8],
    claim: &mut Claim,
) -> Result<(Cow<'a, [u8]>, Format), ApiError> {
    let content_type = head.headers.get(CONTENT_TYPE);
    let content_type = content_type.map(|value| value.to_str().unwrap_or("?"));
    let charset = Charset::of(content_type)?;
    claim.grow(charset.memory(bytes))?;
    let bytes = charset.decode(bytes)?;
    let mut formats = [Format::Csv, Format::Json].into_iter();
    let format = formats.find(|format| body::is_in(head, &bytes, *format));
    let format = format.ok_or(ApiError::NotJson)?;
    let is_utf8 = str::from_utf8(&bytes).is_ok();
    if charset == Charset::Windows1252 && format == Format::Csv && !is_utf8 {
        return Ok((charset::windows_1252(&bytes).into_bytes().into(), format));
    }
    Ok((bytes, format))
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
