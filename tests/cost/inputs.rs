//! The operations that the ratchet counts: every parser, with reports like those that clients send,
//! and the identity of a report.

use std::hint::black_box;
use std::sync::Arc;

use billables::billable::{
    ClientName, Field, IdempotencyKey, Identity, RawReport, RawValue, Report, Timestamp,
};
use billables::formats::negotiation::{Wishes, negotiate};
use billables::formats::parameters::Parameters;
use billables::formats::record::{Record, list};
use billables::formats::{Binding, BodyFormat, Format};
use billables::senders::{self, Profile, Request};
use billables::token::SenderSettings;
use http::HeaderMap;
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
        (
            "json call detail record",
            read(BodyFormat::Plain(Format::Json), record()),
        ),
        ("json report by a mapping", mapped(MAPPED_JSON)),
        ("twilio callback", with_profile("twilio", FORM, CALLBACK)),
        (
            "freeswitch record",
            with_profile("freeswitch", JSON, &record()),
        ),
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

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A JSON report of a sender whose fields are mapped.
const MAPPED_JSON: &str = r#"{"accountId":"AC8f14e45f","customerId":"CU2b8a1c","call":{"id":"CA5d41402abc4b2a76b9719d911017c592"},"started":"2026-03-25T09:53:19.278217Z"}"#;

/// A status callback of Twilio, with the fields that every one has.
const CALLBACK: &str = "Called=%2B15005550006&ToState=&CallerCountry=US&Direction=outbound-api&Timestamp=Sun%2C%2001%20Mar%202026%2008%3A30%3A42%20%2B0000&CallbackSource=call-progress-events&SipResponseCode=200&SequenceNumber=3&CallSid=CA4d2c0060c659435ebcc7b4ddf79277b1&To=%2B15005550006&ApiVersion=2010-04-01&CallStatus=completed&Duration=1&From=%2B15107571675&CallDuration=42&AccountSid=AC0123456789abcdef0123456789abcdef";

/// Parses a body with the profile of a sender.
fn with_profile(name: &str, content_type: &'static str, body: &str) -> Operation {
    let profile = senders::find(name).expect("a sender");
    read_with(profile, content_type, body)
}

/// Parses a body whose fields are mapped.
fn mapped(body: &str) -> Operation {
    let maps = [
        "accountId=/accountId",
        "customerId=/customerId",
        "callSid=/call/id",
        "occurredAt=/started",
    ];
    let settings = SenderSettings {
        maps: maps.map(str::to_owned).to_vec(),
        ..SenderSettings::default()
    };
    let profile = senders::profile_of(&settings).expect("a mapping");
    read_with(profile.expect("a profile"), JSON, body)
}

fn read_with(profile: Arc<Profile>, content_type: &'static str, body: &str) -> Operation {
    let (headers, body) = (HeaderMap::new(), body.to_owned());
    Box::new(move || {
        let request = Request {
            content_type: Some(content_type),
            headers: &headers,
            query: "",
            body: black_box(body.as_bytes()),
        };
        let reading = profile.read(request, false, None).expect("an event");
        black_box(reading);
    })
}

/// Parses a body into the fields of its reports, and looks whether a sender sent it.
fn read(format: BodyFormat, body: String) -> Operation {
    let headers = HeaderMap::new();
    Box::new(move || {
        let document = black_box(&format).read(black_box(body.as_bytes()));
        let request = Request {
            content_type: match format {
                BodyFormat::Form => Some(FORM),
                _ => None,
            },
            headers: &headers,
            query: "",
            body: black_box(body.as_bytes()),
        };
        let recognised = senders::recognise(&format, request, None);
        black_box(recognised.expect("a body of this format"));
        let mut document = document.expect("a body of this format");
        document
            .bind("", Binding::Override, false)
            .expect("an empty query");
        black_box(document.into_reports());
    })
}

/// The record that FreeSWITCH sends for a call, with many unused members.
fn record() -> String {
    let variables: String = (0..100)
        .map(|number| format!(r#""sip_h_X-Header-{number}":"sofia%2Finternal%2F{number}","#))
        .collect();
    format!(
        r#"{{"core-uuid":"2e8c4ba0","variables":{{{variables}"uuid":"e5a31d46","start_uepoch":"1774432399278217"}}}}"#
    )
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
