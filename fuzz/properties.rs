//! Properties that hold for every input of every parser. The fuzzer looks for inputs that break
//! them, and the test suite checks them with the seeds, damaged seeds and random inputs.
//!
//! - No input causes a panic.
//! - An accepted report can be written in every format, and is read back as the same report with
//!   the same identity. The same holds for a batch.
//! - A call that a sender's profile reads can be stored.
//! - A time that can be read is the same time when it is written again.

use std::collections::BTreeMap;

use billables::billable::{
    ClientName, Field, Identity, RawReport, RawValue, Report, Reported, Text, Timestamp,
};
use billables::formats::negotiation::{PROBLEM, Wishes, negotiate, wants_error_in};
use billables::formats::parameters::Parameters;
use billables::formats::record::{Record, list};
use billables::formats::{Binding, BodyFormat, Format};
use billables::senders::{self, Event, Profile, Request, TimeFormat};
use http::HeaderMap;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

/// The boundary of the multipart forms.
const BOUNDARY: &str = "b";

/// Returns the targets that read bodies, with the formats that they read.
pub(crate) fn bodies() -> [(&'static str, BodyFormat); 7] {
    [
        ("json", BodyFormat::Plain(Format::Json)),
        ("json-lines", BodyFormat::Plain(Format::Ndjson)),
        ("xml", BodyFormat::Plain(Format::Xml)),
        ("jsv", BodyFormat::Plain(Format::Jsv)),
        ("csv", BodyFormat::Plain(Format::Csv)),
        ("form", BodyFormat::Form),
        ("multipart", BodyFormat::Multipart(BOUNDARY.to_owned())),
    ]
}

/// The target that reads headers and queries.
pub(crate) const NEGOTIATION: &str = "negotiation";

/// The target that reads a profile, and a request with it.
pub(crate) const PROFILES: &str = "profiles";

/// The target that reads a request with every profile of the service.
pub(crate) const SENDERS: &str = "senders";

/// The target that reads times.
pub(crate) const TIMES: &str = "times";

/// Checks the properties of `target` with an input.
pub(crate) fn check(target: &str, data: &[u8]) {
    match target {
        NEGOTIATION => return check_negotiation(data),
        PROFILES => return check_profile(data),
        SENDERS => return check_senders(data),
        TIMES => return check_time(data),
        _ => {}
    }
    let (_, format) = bodies()
        .into_iter()
        .find(|(name, _)| *name == target)
        .expect("a target of that name");
    check_body(&format, data);
}

fn check_body(format: &BodyFormat, data: &[u8]) {
    let Ok(mut document) = format.read(data) else {
        return;
    };
    let bound = document.bind("format=xml&x=%zz?uuid=u", Binding::Override, false);
    assert!(bound.is_ok(), "this query names no field: {bound:?}");
    let reports: Vec<_> = document
        .into_reports()
        .into_iter()
        .filter_map(|raw| Report::parse(raw, now()).ok())
        .collect();
    for report in &reports {
        for (format, written) in written(report) {
            assert_same(report, &read_one(&format, &written), &written);
        }
    }
    for format in [Format::Json, Format::Xml, Format::Jsv, Format::Ndjson] {
        let reports = || reports.iter().enumerate();
        let items =
            reports().map(|(index, report)| Record::report(report).write_item(format, index == 0));
        let written: String = list("NewBillable", items, format).collect();
        let again = BodyFormat::Plain(format).read(written.as_bytes());
        let again = again.expect("a list");
        assert!(again.is_batch(), "{written}");
        let again = again.into_reports();
        assert_eq!(again.len(), reports().count(), "{written}");
        for ((_, report), again) in reports().zip(again) {
            assert_same(report, &parsed(again), &written);
        }
    }
}

/// Writes a report in every format that can hold a single one.
fn written(report: &Report) -> Vec<(BodyFormat, String)> {
    // A body of JSON lines is always a batch, even with one line.
    let mut all: Vec<_> = Format::ALL
        .into_iter()
        .filter(|format| *format != Format::Ndjson)
        .map(|format| {
            (
                BodyFormat::Plain(format),
                Record::report(report).write(format),
            )
        })
        .collect();
    let mut form = Vec::new();
    let mut parts = String::new();
    for (field, value) in fields(report) {
        let name = field.camel();
        form.push(format!(
            "{name}={}",
            utf8_percent_encode(&value, NON_ALPHANUMERIC)
        ));
        parts.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    all.push((BodyFormat::Form, form.join("&")));
    let multipart = BodyFormat::Multipart(BOUNDARY.to_owned());
    all.push((multipart, format!("{parts}--{BOUNDARY}--\r\n")));
    all
}

fn fields(report: &Report) -> Vec<(Field, String)> {
    let reported = report.reported.fields().into_iter();
    let mut fields: Vec<_> = reported
        .filter_map(|(field, value)| Some((field, value?.to_owned())))
        .collect();
    fields.extend(
        report
            .occurred_at
            .map(|at| (Field::OccurredAt, at.to_string())),
    );
    fields
}

fn read_one(format: &BodyFormat, written: &str) -> Report {
    match format.read(written.as_bytes()) {
        Ok(document) if !document.is_batch() => parsed(document.into_reports().remove(0)),
        other => panic!("{format:?} reads {written:?} as {other:?}"),
    }
}

fn parsed(raw: RawReport) -> Report {
    Report::parse(raw, now()).expect("what was accepted once is accepted again")
}

fn assert_same(report: &Report, again: &Report, written: &str) {
    assert_eq!(report, again, "{written}");
    assert_eq!(id(&report.reported), id(&again.reported), "{written}");
}

fn id(reported: &Reported) -> Uuid {
    let client = ClientName::parse("fuzz").expect("a name");
    Identity::of(None, None, reported).id(&client, reported, Uuid::nil)
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-24T00:00:00Z").expect("a timestamp")
}

/// Checks an input of a profile's file, a line `---` and a request.
fn check_profile(data: &[u8]) {
    let mark = b"\n---\n";
    let at = data.windows(mark.len()).position(|window| window == mark);
    let (file, request) = match at {
        Some(at) => (&data[..at], &data[at + mark.len()..]),
        None => (data, &b""[..]),
    };
    let file = std::str::from_utf8(file);
    if let Some(Ok(profile)) = file.ok().map(Profile::parse) {
        check_request(&profile, request);
    }
}

fn check_senders(data: &[u8]) {
    for profile in senders::all() {
        check_request(profile, data);
    }
}

/// Checks a request of a line with its Content-Type, a line with its query, and its body.
fn check_request(profile: &Profile, data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (content_type, query, body) = (line(), line(), line());
    let (content_type, query) = (str::from_utf8(content_type), str::from_utf8(query));
    let request = Request {
        content_type: content_type.ok().filter(|label| !label.is_empty()),
        headers: &HeaderMap::new(),
        query: query.unwrap_or_default(),
        body,
    };
    let is_answered = profile.knows_answered();
    let Ok(reading) = profile.read(request, is_answered, None) else {
        return;
    };
    assert!(reading.is_batch || reading.events.len() == 1);
    for event in reading.events {
        let Event::Report(mapped) = event else {
            continue;
        };
        for field in [Field::CallSid, Field::OccurredAt] {
            match mapped.report.get(field) {
                None | Some(RawValue::Structure) => {}
                Some(RawValue::Bytes(_)) => panic!("{field:?} is not UTF-8"),
                Some(RawValue::Text(text)) if field == Field::CallSid => {
                    let stored = Text::parse(field, text.clone());
                    assert!(stored.is_ok() && !text.trim().is_empty(), "{text:?}");
                }
                Some(RawValue::Text(text)) => {
                    assert!(Timestamp::parse(text).is_some(), "{text:?}");
                }
            }
        }
    }
}

/// Checks an input of a line with a pattern, a line with a zone, and a time.
fn check_time(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, zone, time) = (line(), line(), line());
    let zone = (!zone.is_empty()).then_some(zone);
    let pattern = (!pattern.is_empty()).then_some(pattern);
    let Ok(format) = TimeFormat::new(pattern, zone, &BTreeMap::new()) else {
        return;
    };
    if let Ok(timestamp) = format.parse(time) {
        let again = TimeFormat::default().parse(&timestamp.to_string());
        let is_shown = Timestamp::parse(&timestamp.to_string()).is_some();
        assert!(
            !is_shown || again == Ok(timestamp),
            "{time:?} is {timestamp}"
        );
    }
}

/// Checks an input of four lines: an `Accept`, a `Content-Type`, a `?format=` and a query.
fn check_negotiation(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (accept, content_type, format, query) = (line(), line(), line(), line());
    let wishes = Wishes {
        suffix: None,
        format: Some(format),
        accept: Some(accept),
        request: Format::from_content_type(content_type),
    };
    let negotiated = negotiate(wishes);
    let is_problem = wants_error_in(wishes, PROBLEM);
    for suffix in Format::ALL {
        let suffixed = Wishes {
            suffix: Some(suffix),
            ..wishes
        };
        assert_eq!(negotiate(suffixed), suffix);
        assert!(!wants_error_in(suffixed, PROBLEM));
    }
    let alone = Wishes {
        accept: Some(negotiated.content_type()),
        ..Wishes::default()
    };
    assert_eq!(negotiate(alone), negotiated);
    assert!(!is_problem || accept.to_ascii_lowercase().contains("problem+json"));
    let _ = BodyFormat::of(Some(content_type), query.as_bytes());
    let _ = BodyFormat::of_route(negotiated, Some(content_type), query.as_bytes());
    let _ = Timestamp::parse(query);
    if let Ok(parameters) = Parameters::parse(query) {
        let report = parameters.report();
        for field in Field::ALL {
            assert!(!matches!(report.get(field), Some(RawValue::Structure)));
            assert!(parameters.get(field.camel()).is_some() || report.get(field).is_none());
        }
    }
}
