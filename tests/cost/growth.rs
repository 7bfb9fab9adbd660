//! Instruction counts grow at most in proportion to the length of the input, for the worst inputs
//! that we could think of.

use std::hint::black_box;

use billables::formats::negotiation::{PROBLEM, Wishes, negotiate, wants_error_in};
use billables::formats::parameters::Parameters;
use billables::formats::{Binding, BodyFormat, Format};
use billables::senders::{self, Request};
use http::HeaderMap;

use crate::callgrind::{count, measured};

const SMALL: usize = 100 * 1024;
const LARGE: usize = 1024 * 1024;

/// The highest ratio of the large input's cost to the small one's; the large one is 10.24 times as
/// long.
const MAX_RATIO: u64 = 12;

/// A parser, the name of an input's shape, and a function that makes an input of about a given
/// length.
struct Shape {
    parser: BodyFormat,
    name: &'static str,
    make: Box<dyn Fn(usize) -> String>,
}

/// Returns a shape: `head`, then `unit` as often as fits, then `tail`.
fn shape(parser: BodyFormat, name: &'static str, head: &str, unit: &str, tail: &str) -> Shape {
    let (head, unit, tail) = (head.to_owned(), unit.to_owned(), tail.to_owned());
    let make =
        Box::new(move |length: usize| format!("{head}{}{tail}", unit.repeat(length / unit.len())));
    Shape { parser, name, make }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn shapes() -> Vec<Shape> {
    let json = |name, head, unit: &str, tail| {
        shape(BodyFormat::Plain(Format::Json), name, head, unit, tail)
    };
    let lines = |name, unit| shape(BodyFormat::Plain(Format::Ndjson), name, "", unit, "");
    let xml = |name, head: &str, unit: &str, tail: &str| {
        let head = format!("<NewBillable>{head}");
        shape(
            BodyFormat::Plain(Format::Xml),
            name,
            &head,
            unit,
            &format!("{tail}</NewBillable>"),
        )
    };
    let jsv = |name, head, unit: &str, tail| {
        shape(BodyFormat::Plain(Format::Jsv), name, head, unit, tail)
    };
    let csv = |name, head, unit| shape(BodyFormat::Plain(Format::Csv), name, head, unit, "");
    let form = |name, unit| shape(BodyFormat::Form, name, "", unit, "");
    let multipart = |name, boundary: &str, head: &str, unit: &str, tail: &str| {
        shape(
            BodyFormat::Multipart(boundary.to_owned()),
            name,
            head,
            unit,
            tail,
        )
    };
    let nested = format!("\"a\":{}{},", "[".repeat(120), "]".repeat(120));
    let elements = format!("{}{}", "<a>".repeat(60), "</a>".repeat(60));
    let attributes: String = (0..60)
        .map(|number| format!(" a{number}='&amp;'"))
        .collect();
    let namespaces: String = (0..60)
        .map(|number| format!(" xmlns:a{number}='urn:{number}'"))
        .collect();
    let lists = format!("a:{}{},", "[".repeat(60), "]".repeat(60));
    let part = "--b\r\nContent-Disposition: form-data; name=\"";
    let boundary = "-".repeat(70);
    vec![
        json("members", "{", "\"accountId\":1,", "\"x\":1}"),
        json("a long text", "{\"callSid\":\"", "x", "\"}"),
        json("escapes", "{\"callSid\":\"", "\\ud83d\\ude00\\n", "\"}"),
        json("escapes in an unused member", "{\"x\":\"", "\\u0041", "\"}"),
        json("a long name", "{\"", "\\t", "\":1}"),
        json("a long number", "{\"callSid\":", "1", "}"),
        json("blanks", "{", " \n", "}"),
        json("blanks, then an error", "{", " \n", "x"),
        json("nesting", "{", &nested, "\"x\":1}"),
        json("bottomless nesting", "{\"x\":", "[", ""),
        json("an open text", "{\"x\":\"", "x", ""),
        json(
            "a structure instead of a text",
            "{\"callSid\":[",
            "{},",
            "{}]}",
        ),
        json(
            "variables",
            "{\"variables\":{",
            "\"uuid\":\"\\u0041\",",
            "\"x\":1}}",
        ),
        json(
            "a list of long items",
            "[",
            &format!("{{\"x\":\"{}\"}},", "x".repeat(1000)),
            "{}]",
        ),
        json("unclosed lists", "[", "[", ""),
        json(
            "records",
            "[",
            "{\"variables\":{\"uuid\":\"%41\"}},",
            "{\"variables\":{}}]",
        ),
        json("a long call", "{\"variables\":{\"uuid\":\"", "%41", "\"}}"),
        lines("blank lines", " \n"),
        lines(
            "long lines",
            &format!("{{\"x\":\"{}\"}}\n", "x".repeat(1000)),
        ),
        xml("members", "", "<CallSid>a</CallSid>", ""),
        xml("unused elements", "", "<a/>", ""),
        xml("nesting", "", &elements, ""),
        xml("bottomless nesting", "", "<a>", ""),
        xml("attributes", "", &format!("<a{attributes}/>"), ""),
        xml("one element's attributes", "<a", " a='b'", "/>"),
        xml("one long attribute", "<a a='", "&lt;", "'/>"),
        xml("namespaces", "", &format!("<a{namespaces}><a/></a>"), ""),
        xml("a long text", "<CallSid>", "]]", "</CallSid>"),
        xml("references", "<CallSid>", "&amp;&#65;", "</CallSid>"),
        xml("sections", "<CallSid>", "<![CDATA[]]>", "</CallSid>"),
        xml("an open section", "<CallSid><![CDATA[", "]]", ""),
        xml("comments", "", "<!---->", ""),
        xml("an open comment", "<!--", "- ", ""),
        xml("tags that never end", "<", "<", ""),
        xml("ampersands", "<CallSid>", "&", ""),
        xml("a long name", "<", "a", "/>"),
        xml("blanks", "", " \r\n", ""),
        jsv("members", "{", "AccountId:a,", "x:y}"),
        jsv("quotes", "{CallSid:\"", "\"\"", "\"}"),
        jsv("a long text", "{CallSid:", "x ", "}"),
        jsv("a long name", "{", "x ", ":y}"),
        jsv("blanks", "{", " \n", "}"),
        jsv("nesting", "{", &lists, "x:y}"),
        jsv("bottomless nesting", "{x:", "[", ""),
        jsv("an open text", "{CallSid:\"", "\"\"", ""),
        jsv(
            "a list of long items",
            "[",
            &format!("{{x:{}}},", "x".repeat(1000)),
            "{}]",
        ),
        csv("columns", "", "callSid,"),
        csv("quoted columns", "", "\"\"\"\","),
        csv("a long cell", "callSid\n", "x"),
        csv("quotes", "callSid\n\"", "\"\""),
        csv("an open quote", "callSid\n", "\"\n"),
        csv("blank lines", "callSid\n", "\r\n"),
        csv("long rows", "callSid\n", &format!("{}\n", "x".repeat(1000))),
        form("fields", "callSid=a&"),
        form("separators", "&=&"),
        form("escapes", "%41%F0%9F%98%80"),
        form("blanks", "+"),
        form("half escapes", "%%4"),
        form("a record", "cdr=%7B%22%22"),
        multipart(
            "almost the boundary",
            &boundary,
            "",
            &format!("\r\n--{}", &boundary[1..]),
            "",
        ),
        multipart("dashes", &boundary, "", "-", ""),
        multipart("line ends", "b", "", "\r\n--", ""),
        multipart(
            "a long value",
            "b",
            &format!("{part}callSid\"\r\n\r\n"),
            "x\r\n",
            "\r\n--b--",
        ),
        multipart("a long head", "b", part, "a\r\n", "\r\n--b--"),
        multipart("a long name", "b", part, "\\\"", "\"\r\n\r\n\r\n--b--"),
        multipart(
            "heads",
            "b",
            "",
            &format!(
                "{part}x\"{};{}\r\n\r\n\r\n",
                "; a=b".repeat(500),
                " ".repeat(4000)
            ),
            "--b--",
        ),
    ]
}

/// Parses a body and binds it, as the service does, and reads it with senders' profiles.
fn read(parser: &BodyFormat, input: &str) {
    let content_type;
    let content_type = match parser {
        BodyFormat::Plain(format) => format.content_type(),
        BodyFormat::Form => "application/x-www-form-urlencoded",
        BodyFormat::Multipart(boundary) => {
            content_type = format!("multipart/form-data; boundary={boundary}");
            &content_type
        }
    };
    let request = Request {
        content_type: Some(content_type),
        headers: &HeaderMap::new(),
        query: "",
        body: input.as_bytes(),
    };
    // One of each kind of document.
    for name in ["freeswitch", "freeswitch-xml", "twilio", "asterisk-csv"] {
        let profile = senders::find(name).expect("a sender");
        let _ = black_box(profile.read(request, false, None));
    }
    if let Ok(mut document) = parser.read(input.as_bytes()) {
        let _ = black_box(document.bind("", Binding::Override, false));
        drop(black_box(document));
    }
}

/// Parses header values and a query. Each may be as long as a request head.
fn read_head(input: &str) {
    let wishes = Wishes {
        accept: Some(input),
        format: Some(input),
        ..Wishes::default()
    };
    black_box((negotiate(wishes), wants_error_in(wishes, PROBLEM)));
    let _ = black_box(BodyFormat::of(Some(input), b"x"));
    if let Ok(parameters) = Parameters::parse(input) {
        black_box(parameters.report());
    }
}

const HEADS: [(&str, &str); 6] = [
    ("ranges", "*/*,"),
    ("weights", "a/b;q=0.001;q=1,"),
    ("parameters", ";a=b"),
    ("fields", "callSid=a&"),
    ("separators", ",;=&"),
    ("escapes", "%41"),
];

#[test]
fn the_cost_of_an_input_grows_with_its_length_and_no_faster() {
    let counts = count(
        "growth::the_cost_of_an_input_grows_with_its_length_and_no_faster",
        || {
            for Shape { parser, make, .. } in shapes() {
                for length in [SMALL, LARGE] {
                    let input = make(length);
                    measured(&|| read(&parser, &input));
                }
            }
            for (_, unit) in HEADS {
                for length in [SMALL, LARGE] {
                    let input = unit.repeat(length / unit.len());
                    measured(&|| read_head(&input));
                }
            }
        },
    );
    let Some(counts) = counts else { return };

    let shapes = shapes();
    let bodies = shapes
        .iter()
        .map(|shape| (format!("{:?}", shape.parser), shape.name));
    let heads = HEADS.iter().map(|(name, _)| ("head".to_owned(), *name));
    let names: Vec<_> = bodies.chain(heads).collect();
    assert_eq!(counts.len(), 2 * names.len());
    let mut failed = Vec::new();
    for ((parser, name), pair) in names.into_iter().zip(counts.chunks(2)) {
        let (small, large) = (pair[0], pair[1]);
        println!(
            "{parser:.40} {name}: {small} {large} {:.2}",
            large as f64 / small as f64
        );
        if large > small * MAX_RATIO {
            failed.push((parser, name, small, large));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
