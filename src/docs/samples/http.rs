//! Complete requests and responses, as text. `TOKEN` and `length` are placeholders.

use http::StatusCode;

use super::{answer, laid_out, request_body, target};
use crate::contract::{Access, Body, Operation, RequestBody};
use crate::formats::Format;

/// The optional headers that the response to a single new report has.
const OF_ONE_REPORT: [&str; 2] = ["Location", "Billable-Identity"];

/// The format of a request's body, if it has one.
pub fn body_format(operation: &Operation, format: Format) -> Option<Format> {
    match operation.body {
        RequestBody::Nothing => None,
        RequestBody::Json | RequestBody::Rows(_) => Some(Format::Json),
        RequestBody::Reports => Some(format),
    }
}

/// The format's media type, without parameters.
pub fn media_type(format: Format) -> &'static str {
    let (media_type, _) = format
        .content_type()
        .split_once(';')
        .unwrap_or((format.content_type(), ""));
    media_type
}

/// The body of a request with line breaks, if it has one.
pub fn laid_out_body(operation: &Operation, format: Format) -> Option<String> {
    let format = body_format(operation, format)?;
    Some(laid_out(&request_body(operation, format)?, format))
}

/// The request for a response in `format`.
pub fn request(operation: &Operation, format: Format, host: &str) -> String {
    let mut text = format!(
        "{} {} HTTP/1.1\nHost: {host}\n",
        operation.method,
        target(operation)
    );
    if operation.access != Access::Open {
        text.push_str("Authorization: Bearer TOKEN\n");
    }
    if operation.has_formats() {
        text.push_str(&format!("Accept: {}\n", media_type(format)));
    }
    if let Some(format) = body_format(operation, format) {
        text.push_str(&format!(
            "Content-Type: {}\nContent-Length: length\n\n",
            media_type(format)
        ));
    }
    text + &laid_out_body(operation, format).unwrap_or_default()
}

/// The response to that request.
pub fn response(operation: &Operation, format: Format) -> String {
    let Some(success) = operation.answers.first() else {
        return String::new();
    };
    let content_type = match success.body {
        Body::Document(media_types) => media_types[0],
        Body::Nothing | Body::One(_) | Body::OneOrSeveral(_) => format.content_type(),
    };
    let reason = StatusCode::from_u16(success.status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut text = format!(
        "HTTP/1.1 {} {}\nContent-Type: {content_type}\n",
        success.status,
        reason.unwrap_or_default()
    );
    // A streamed body has no length and ends with trailers.
    let mut headers = success.headers.iter();
    let is_streamed = format.is_rows() && headers.any(|header| header.name == "Trailer");
    text.push_str(if is_streamed {
        "Transfer-Encoding: chunked\n"
    } else {
        "Content-Length: length\n"
    });
    let shown = success.headers.iter().filter(|header| match header.name {
        "Trailer" => is_streamed,
        name => header.is_required || OF_ONE_REPORT.contains(&name),
    });
    for header in shown {
        text.push_str(&format!("{}: {}\n", header.name, header.example));
    }
    match answer(operation, success, format) {
        Some(body) => text + "\n" + &laid_out(&body, format),
        None => text,
    }
}
