//! The operations that the ratchet counts: every parser, with reports like those that clients send,
//! and the identity of a report.

use std::hint::black_box;

use billables::billable::{
    ClientName, Field, IdempotencyKey, Identity, RawReport, RawValue, Report, Timestamp,
};
use billables::formats::negotiation::{Wishes, negotiate};
use billables::formats::parameters::Parameters;
use billables::formats::record::{Record, list};
use billables::formats::{Binding, BodyFormat, Format};
use uuid::Uuid;

/// An operation to measure. The cost includes dropping the result.
pub(crate) type Operation = Box<dyn Fn()>;

/// The number of reports in a batch.
const BATCH: usize = 1000;

/// The boundary of a multipart form, in the style of a browser.
const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

/// Returns every operation with its name.
pub(crate) fn operations() -> Vec<(String, Operation)> {
    let formats = Format::ALL.into_iter();
    let mut all: Vec<_> = formats
        .flat_map(|format| {
            [1, BATCH].map(|count| {
                let name = match count {
                    1 => format!("{} report", format.name()),
                    _ => format!("{} batch of {count}", format.name()),
                };
                (name, read(BodyFormat::Plain(format), body(format, count)))
            })
        })
        .collect();
    let multipart = BodyFormat::Multipart(BOUNDARY.to_owned());
    let others = [
        ("json call detail record", call_detail_record()),
        ("form report", read(BodyFormat::Form, form())),
        ("multipart report", read(multipart, parts())),
        ("query", query()),
        ("negotiation", negotiation()),
        ("rules of a report", rules()),
        ("identity by call", identity(None)),
        ("identity by key", identity(Some("order-2026-03-25-000017"))),
    ];
    all.extend(others.map(|(name, operation)| (name.to_owned(), operation)));
    all
}

/// Parses a body into the fields of its reports.
fn read(format: BodyFormat, body: String) -> Operation {
    let binding = Binding {
        query_wins: true,
        takes_hints: true,
    };
    Box::new(move || {
        let document = black_box(&format).read(black_box(body.as_bytes()));
        let mut document = document.expect("a body of this format");
        document.bind("", binding).expect("an empty query");
        black_box(document.into_reports());
    })
}

/// Parses the record that FreeSWITCH sends for a call, with many unused members.
fn call_detail_record() -> Operation {
    let variables: String = (0..100)
        .map(|number| format!(r#""sip_h_X-Header-{number}":"sofia%2Finternal%2F{number}","#))
        .collect();
    let record = format!(
        r#"{{"core-uuid":"2e8c4ba0","variables":{{{variables}"uuid":"e5a31d46","start_uepoch":"1774432399278217"}}}}"#
    );
    read(BodyFormat::Plain(Format::Json), record)
}

/// Parses a query into the fields that it names.
fn query() -> Operation {
    let query = form();
    Box::new(move || {
        let parameters = Parameters::parse(black_box(&query)).expect("a query");
        black_box(parameters.report());
    })
}

/// Chooses the format of a response from a browser's `Accept`.
fn negotiation() -> Operation {
    let wishes = Wishes {
        accept: Some("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"),
        ..Wishes::default()
    };
    Box::new(move || {
        black_box(negotiate(black_box(wishes)));
    })
}

/// Validates fields and makes a report of them.
fn rules() -> Operation {
    let raw = raw(0);
    Box::new(move || {
        let _ = black_box(Report::parse(black_box(&raw).clone(), now()));
    })
}

/// Computes the id of a report.
fn identity(key: Option<&str>) -> Operation {
    let key = key.map(|key| IdempotencyKey::parse(key.as_bytes()).expect("a key"));
    let client = ClientName::parse("switch-1").expect("a name");
    let Report { reported, .. } = report(0);
    Box::new(move || {
        let identity = Identity::of(black_box(&key).clone(), Some(17), black_box(&reported));
        black_box(identity.id(&client, &reported, Uuid::nil));
    })
}

/// Returns reports in a format, as a list if there are several.
fn body(format: Format, count: usize) -> String {
    if count == 1 {
        return Record::report(&report(0)).write(format);
    }
    let items =
        (0..count).map(|number| Record::report(&report(number)).write_item(format, number == 0));
    list("NewBillable", items, format).collect()
}

/// Returns the fields of a report as a URL-encoded form, or a query.
fn form() -> String {
    let fields = fields(0).map(|(field, text)| {
        let escaped = text.replace(':', "%3A").replace(' ', "+");
        format!("{}={escaped}", field.camel())
    });
    fields.join("&")
}

/// Returns the fields of a report as a multipart form.
fn parts() -> String {
    let parts = fields(0).map(|(field, text)| {
        let name = field.camel();
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    });
    parts.concat() + &format!("--{BOUNDARY}--\r\n")
}

fn report(number: usize) -> Report {
    Report::parse(raw(number), now()).expect("a report")
}

fn raw(number: usize) -> RawReport {
    let mut raw = RawReport::default();
    for (field, text) in fields(number) {
        raw.set(field, Some(RawValue::Text(text)));
    }
    raw
}

/// Returns fields of realistic length, one of which needs escaping in some formats.
fn fields(number: usize) -> [(Field, String); Field::ALL.len()] {
    [
        (Field::AccountId, format!("account-{:03}", number % 100)),
        (Field::CustomerId, format!("Smith: Sons {number:06}")),
        (Field::SessionId, format!("session-{:08}", number / 3)),
        (Field::CallSid, format!("CA{number:032x}")),
        (Field::OccurredAt, "2026-03-25T09:53:19.278217Z".to_owned()),
    ]
}

/// Returns a fixed time, so that each run measures the same.
fn now() -> Timestamp {
    Timestamp::from_micros(1_774_500_000_000_000).expect("a timestamp of 2026")
}
