//! Reads and decompresses a request body, within [`MAX_BODY`], the budget of bytes in flight and
//! a timeout.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use axum::body::{Body, Bytes};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::api::ApiError;
use crate::api::path::RouteStyle;
use crate::billable::ClientName;
use crate::formats::json::object;
use crate::formats::{BodyFormat, Format};
use crate::limits::{Budget, Claim};

/// The largest body, in bytes, compressed or not: 8 MiB.
pub(super) const MAX_BODY: usize = 8 * 1024 * 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    /// The zlib format of RFC 9110; raw deflate, which .NET sent for a long time, is accepted too.
    Deflate,
}

/// Reads a client's whole body. The reservation in the byte budget grows with the bytes received,
/// and Content-Length reserves nothing in advance.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    budget: &Budget,
    client: &ClientName,
    limit: Duration,
) -> Result<(Bytes, Claim), ApiError> {
    let coding = coding(headers)?;
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY) {
        return Err(ApiError::TooLarge(MAX_BODY));
    }
    let (bytes, mut claim) = timeout(limit, read_frames(body, budget, client))
        .await
        .map_err(|_| ApiError::BodyTimeout)??;
    match coding {
        // A client may send Content-Encoding with an empty body, which needs no decompression.
        Some(coding) if !bytes.is_empty() => {
            let decoded = block_in_place(|| decompress(coding, &bytes, &mut claim))?;
            Ok((decoded.into(), claim))
        }
        _ => Ok((bytes, claim)),
    }
}

/// Reads a JSON body. Member names are case-insensitive, and an empty body means `{}`.
///
/// On ServiceStack routes with the JSON format, the Content-Type is ignored.
pub(super) async fn read_json<T: DeserializeOwned>(
    head: &Parts,
    body: Body,
    budget: &Budget,
    client: &ClientName,
    limit: Duration,
) -> Result<(T, Claim), ApiError> {
    let (bytes, claim) = read(&head.headers, body, budget, client, limit).await?;
    if !is_in(head, &bytes, Format::Json) {
        return Err(ApiError::NotJson);
    }
    Ok((object(&bytes)?, claim))
}

/// Whether a body is in a format. On ServiceStack routes with the JSON format, everything is JSON.
pub(super) fn is_in(head: &Parts, bytes: &[u8], format: Format) -> bool {
    let content_type = head
        .headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    match head.extensions.get() {
        Some(RouteStyle::Operation { format: own, .. }) if *own == Format::Json => {
            format == Format::Json
        }
        _ => BodyFormat::of(content_type, bytes) == Ok(BodyFormat::Plain(format)),
    }
}

fn coding(headers: &HeaderMap) -> Result<Option<Coding>, ApiError> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let (value, None) = (values.next(), values.next()) else {
        return Err(ApiError::UnsupportedCoding);
    };
    let name = value.map_or(Ok(""), |value| value.to_str());
    match &*name.unwrap_or("?").trim().to_ascii_lowercase() {
        "" | "identity" => Ok(None),
        "gzip" | "x-gzip" => Ok(Some(Coding::Gzip)),
        "deflate" => Ok(Some(Coding::Deflate)),
        _ => Err(ApiError::UnsupportedCoding),
    }
}

async fn read_frames(
    mut body: Body,
    budget: &Budget,
    client: &ClientName,
) -> Result<(Bytes, Claim), ApiError> {
    let mut claim = budget.claim(client)?;
    let mut collected = Vec::new();
    let mut first = Bytes::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::Malformed("the body was truncated".to_owned()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + collected.len() + data.len() > MAX_BODY {
            return Err(ApiError::TooLarge(MAX_BODY));
        }
        claim.grow(data.len())?;
        // Most bodies are one frame, which needs no copy.
        if first.is_empty() && collected.is_empty() {
            first = data;
        } else {
            if collected.is_empty() {
                collected.extend_from_slice(&std::mem::take(&mut first));
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok((
        if collected.is_empty() {
            first
        } else {
            collected.into()
        },
        claim,
    ))
}

/// Whether the bytes start with a zlib header (RFC 1950, 2.2): compression method 8, and a header
/// that is a multiple of 31. No encoder starts a raw deflate stream like this.
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

fn decompress(coding: Coding, bytes: &[u8], claim: &mut Claim) -> Result<Vec<u8>, ApiError> {
    let mut rest = bytes;
    let decoded = match coding {
        Coding::Gzip => read_whole(MultiGzDecoder::new(&mut rest), claim),
        Coding::Deflate if is_zlib(bytes) => read_whole(ZlibDecoder::new(&mut rest), claim),
        Coding::Deflate => read_whole(DeflateDecoder::new(&mut rest), claim),
    }?;
    match rest {
        [] => Ok(decoded),
        _ => Err(undecodable()),
    }
}

/// Reads to the end within the limits. It reads in small chunks, so that the claim grows with the
/// decompressed size.
fn read_whole(mut decoder: impl Read, claim: &mut Claim) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        match decoder.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(length) if bytes.len() + length > MAX_BODY => {
                return Err(ApiError::TooLarge(MAX_BODY));
            }
            Ok(length) => {
                claim.grow(length)?;
                bytes.extend_from_slice(&piece[..length]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(undecodable()),
        }
    }
}

fn undecodable() -> ApiError {
    ApiError::Malformed("the body does not match its Content-Encoding".to_owned())
}
