//! The documentation that the service serves: it is complete, its links work, and its samples match
//! real requests and responses.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billables::contract::types::{Member, Type};
use billables::contract::{Body, OPERATIONS, Operation, RequestBody};
use billables::docs::dto::{self, Language};
use billables::docs::samples::http::{laid_out_body, media_type};
use billables::docs::{pages, samples};
use billables::formats::Format;
use billables::formats::status::ResponseStatus;
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::client::{Reply, send};
use crate::support::{Client, Database, Server};

const HTML: &str = "text/html; charset=utf-8";

async fn get(client: &Client, path: &str) -> Reply {
    send(client.bare(Method::GET, path)).await
}

fn path_of(operation: &Operation, format: Format, language: Option<Language>) -> String {
    let language = language.map(|language| format!("&lang={}", language.name()));
    format!(
        "/{}/metadata?op={}{}",
        format.name(),
        operation.name,
        language.unwrap_or_default()
    )
}

/// The unescaped values of every attribute `name`.
fn attributes<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let begin = format!(" {name}=\"");
    let parts: Vec<_> = page.split(&begin).skip(1).map(str::to_owned).collect();
    parts.into_iter().map(|part| {
        let (value, _) = part.split_once('"').unwrap();
        unescaped(value)
    })
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

/// The text of a page without its tags. Every element must be closed in the right order, and every
/// id must be unique.
fn text_of(page: &str) -> String {
    const VOID: [&str; 5] = ["meta", "link", "input", "br", "img"];
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    let mut open = Vec::new();
    let mut text = String::new();
    while let Some((before, tagged)) = rest.split_once('<') {
        text.push_str(&unescaped(before));
        let (tag, behind) = tagged.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split(' ').next().unwrap();
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        rest = behind;
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{page}"),
            None if ["style", "script"].contains(&name) => {
                let (_, behind) = rest.split_once(&format!("</{name}>")).unwrap();
                rest = behind;
            }
            None if VOID.contains(&name) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty() && rest.is_empty(), "{open:?} {rest}");
    let ids: Vec<_> = attributes(page, "id").collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    text
}

/// Every type of the responses, including nested ones.
fn types(operation: &Operation) -> Vec<&'static Type> {
    fn collect(of: &'static Type, types: &mut Vec<&'static Type>) {
        types.push(of);
        for member in of.members {
            if let billables::contract::types::MemberKind::List(item) = member.kind {
                collect(item, types);
            }
        }
    }
    let mut found = Vec::new();
    for answer in operation.answers {
        if let Body::One(of) | Body::OneOrSeveral(of) = answer.body {
            collect(of, &mut found);
        }
    }
    found
}

#[test]
fn the_pages_contain_the_whole_contract() {
    let base = "http://host.example:8080";
    let languages = Language::ALL.into_iter().map(Some);
    for operation in OPERATIONS {
        for (format, language) in pages::FORMATS.into_iter().flat_map(|format| {
            std::iter::once(None)
                .chain(languages.clone())
                .map(move |language| (format, language))
        }) {
            let text = text_of(&pages::operation(operation, format, language, base));
            let has = |part: &str| assert!(text.contains(part), "{}: {part}", operation.name);
            has(operation.name);
            has(operation.summary);
            operation.notes.iter().for_each(|note| has(note));
            has(operation.path);
            operation
                .access
                .scope()
                .inspect(|scope| has(scope.as_str()));
            for error in operation.errors() {
                has(error.code);
                has(error.means);
                has(&error.status.to_string());
            }
            for answer in operation.answers {
                has(answer.when);
                let sample = samples::answer(operation, answer, format);
                if std::ptr::eq(answer, &operation.answers[0])
                    && let Some(sample) = sample
                {
                    has(&samples::laid_out(&sample, format));
                }
            }
            laid_out_body(operation, format).inspect(|body| has(body));
            match language.filter(|_| operation.by_name.is_some()) {
                Some(language) => has(&dto::source(language, &[operation], base)),
                None => {
                    let of_types = types(operation).into_iter().flat_map(|of| of.members);
                    let of_answers = operation.answers.iter().flat_map(|answer| answer.headers);
                    for Member { name, text, .. } in
                        operation.members.iter().chain(of_types).chain(of_answers)
                    {
                        has(name);
                        has(text);
                    }
                }
            }
        }
    }
    let said = ResponseStatus {
        error_code: "NotFound",
        message: "there is no operation <Nope>".to_owned(),
        errors: Vec::new(),
        index: None,
    };
    for page in [
        pages::index(),
        pages::error(404, "Not Found", &said),
        pages::front(true, base),
        pages::front(false, base),
    ] {
        text_of(&page);
    }
    let index = text_of(&pages::index());
    assert!(
        OPERATIONS
            .iter()
            .all(|operation| index.contains(operation.name) && index.contains(operation.summary))
    );
    assert!(text_of(&pages::front(false, base)).contains("Nothing can be stored now"));
    assert!(
        text_of(&pages::front(true, base)).contains("curl 'http://host.example:8080/billables'")
    );
}

#[tokio::test]
async fn every_link_works_and_no_page_loads_other_resources() {
    let (database, mut open) = (
        Database::sqlite(),
        vec!["/".to_owned(), "/metadata".to_owned()],
    );
    let server = Server::start(&database).await;
    let client = server.client();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut fragments = Vec::new();
    while let Some(path) = open.pop() {
        if seen.contains_key(&path) {
            continue;
        }
        let reply = get(&client, &path).await;
        assert_eq!(reply.status, 200, "{path}");
        let head = send(client.bare(Method::HEAD, &path)).await;
        assert_eq!((head.status, &*head.body), (200, ""));
        assert_eq!(head.header("content-type"), reply.header("content-type"));
        assert_eq!(
            head.header("content-length"),
            Some(&*reply.body.len().to_string())
        );
        if reply.header("content-type") == Some(HTML) {
            check_page(&path, &reply, &server.address().to_string());
            for link in attributes(&reply.body, "href") {
                let (link, fragment) = link.split_once('#').unwrap_or((&link, ""));
                if !fragment.is_empty() {
                    let page = if link.is_empty() { &path } else { link };
                    fragments.push((page.to_owned(), fragment.to_owned()));
                }
                if link.starts_with('/') {
                    open.push(link.to_owned());
                } else {
                    assert!(link.is_empty() || link.starts_with("data:"), "{link}");
                }
            }
        }
        seen.insert(path, reply.body);
    }
    for (page, fragment) in fragments {
        let id = format!(" id=\"{fragment}\"");
        assert!(seen[&page].contains(&id), "{page}#{fragment}");
    }
    for page in billables::docs::manual::paths() {
        assert!(seen.contains_key(&format!("/docs/{page}")), "{page}");
    }
    for operation in OPERATIONS {
        assert!(seen.contains_key(&path_of(operation, Format::Json, None)));
    }
    for language in Language::ALL {
        let report = Operation::find("NewBillable").unwrap();
        assert!(seen.contains_key(&path_of(report, Format::Csv, Some(language))));
        assert!(seen.contains_key(&format!("/types/{}", language.name())));
    }
}

/// Checks that the policy allows the page's style and script, and that the page names no other
/// resource.
fn check_page(path: &str, reply: &Reply, own: &str) {
    let policy = reply.header("content-security-policy").unwrap();
    let between = |name: &str| {
        let (_, rest) = reply.body.split_once(&format!("<{name}>")).unwrap();
        let (text, _) = rest.split_once(&format!("</{name}>")).unwrap();
        format!(
            "{name}-src 'sha256-{}'",
            STANDARD.encode(Sha256::digest(text))
        )
    };
    assert!(policy.starts_with("default-src 'none'; "));
    for name in ["style", "script"] {
        assert!(policy.contains(&between(name)), "{policy}");
        assert_eq!(reply.body.matches(&format!("<{name}")).count(), 1);
    }
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(
        reply.header("cross-origin-opener-policy"),
        Some("same-origin")
    );
    assert_eq!(reply.header("content-disposition"), None);
    assert!(!reply.body.contains(" style=\""));
    assert!(attributes(&reply.body, "src").all(|source| source.starts_with("data:image/")));
    // The manual's text names other addresses, which are no links.
    if path.starts_with("/docs") {
        return;
    }
    // URLs in a page are names of XML namespaces or the service's own address.
    let namespaces = [
        "schemas.datacontract.org/",
        "schemas.microsoft.com/",
        "www.w3.org/2001/",
        "www.w3.org/2000/svg",
    ];
    for address in reply.body.split("://").skip(1) {
        let is_known = namespaces.iter().any(|known| address.starts_with(known));
        assert!(is_known || address.starts_with(own), "{address:.60}");
    }
}

#[tokio::test]
async fn unknown_names_get_404_and_the_known_ones_are_listed() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let names = |text: &str| {
        OPERATIONS
            .iter()
            .all(|operation| text.contains(operation.name))
    };
    for path in [
        "/json/metadata?op=%3CNope%3E",
        "/XML/Metadata/",
        "/csv/metadata?op=",
    ] {
        let page = client
            .bare(Method::GET, path)
            .header("Accept", "text/html,application/xml;q=0.9,*/*;q=0.8");
        let page = page.send().await.unwrap();
        assert_eq!(
            (
                page.status().as_u16(),
                page.headers()["content-type"].to_str().unwrap()
            ),
            (404, HTML)
        );
        assert!(page.headers().contains_key("content-security-policy"));
        let page = page.text().await.unwrap();
        assert!(names(&text_of(&page)) && !page.contains("<Nope>"));
        for format in [Format::Json, Format::Xml] {
            let reply = send(
                client
                    .bare(Method::GET, path)
                    .header("Accept", format.content_type()),
            )
            .await;
            assert_eq!((reply.status, &*reply.error_code()), (404, "NotFound"));
            assert!(names(&reply.body));
        }
    }
    // A name that is not UTF-8, or that is missing, is not found either.
    for path in ["/types/%FF", "/%FF/metadata?op=NewBillable", "/types/"] {
        let reply = client.get(path).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (404, "NotFound"),
            "{path}"
        );
    }
    server.until_logged("/json/metadata").await;
    let log = server.log();
    assert!(
        log.lines()
            .filter(|line| line.contains("metadata"))
            .all(|line| line.contains("outcome=\"NotFound\"")),
        "{log}"
    );
    for path in ["/types/cobol", "/json/metadata?op=NewBillable&lang=cobol"] {
        let reply = get(&client, path).await;
        assert_eq!((reply.status, &*reply.error_code()), (404, "NotFound"));
        assert!(
            Language::ALL
                .iter()
                .all(|language| reply.body.contains(language.name()))
        );
    }
    for path in ["/ndjson/metadata?op=NewBillable", "/api/metadata"] {
        assert_eq!(get(&client, path).await.status, 404);
    }
    // Documentation is never sent as an attachment, even if the client accepts only a row format
    // such as CSV.
    for path in [
        "/metadata",
        "/types/typescript",
        "/json/metadata?op=newbillable&LANG=TypeScript",
    ] {
        let reply = send(client.bare(Method::GET, path).header("Accept", "text/csv")).await;
        assert_eq!(
            (reply.status, reply.header("content-disposition")),
            (200, None),
            "{path}"
        );
    }
}

/// Collects the names of all members of a document, as paths.
fn names(value: &Value, prefix: &str, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = format!("{prefix}.{name}");
                names.insert(name.clone());
                self::names(value, &name, names);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| self::names(item, prefix, names)),
        _ => {}
    }
}

#[tokio::test]
async fn the_sample_report_is_accepted_in_every_format_and_answered_as_shown() {
    let report = Operation::find("NewBillable").unwrap();
    for format in pages::FORMATS {
        let database = Database::sqlite();
        let server = Server::start(&database).await;
        let request = server.client().post(&samples::target(report));
        let request = request
            .header("Accept", media_type(format))
            .header("Content-Type", media_type(format));
        let reply = send(request.body(laid_out_body(report, format).unwrap())).await;
        let sample = samples::answer(report, &report.answers[0], format).unwrap();
        assert_eq!(reply.status, report.answers[0].status);
        // The response differs from the sample only in `recordedAt`, whose value is read from the
        // billable's JSON.
        let location = reply.header("location").unwrap().to_owned();
        let stored = server.client().get(&location).await.json();
        let recorded_at = stored["recordedAt"].as_str().unwrap();
        assert_eq!(
            reply
                .body
                .replace(recorded_at, "2026-11-24T08:15:27.402113Z"),
            sample
        );
        for name in ["location", "billable-identity"] {
            let header = report.answers[0]
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            assert_eq!(reply.header(name), header.map(|header| header.example));
        }
    }
}

#[tokio::test]
async fn the_samples_of_all_operations_are_accepted_and_answered_as_shown() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let in_order = [
        "NewBillable",
        "ListBillables",
        "CheckBillables",
        "GetBillable",
        "ReadLog",
        "AttributeSession",
        "GetSession",
        "VoidBillable",
        "CreateToken",
        "GetBilling",
        "GetLivez",
        "GetReadyz",
        "GetMetrics",
        "GetFrontPage",
        "GetMetadata",
        "GetOperationMetadata",
        "GetTypes",
        "GetOpenApi",
    ];
    for name in in_order {
        let operation = Operation::find(name).unwrap();
        let mut request = client.request(operation.method.clone(), &samples::target(operation));
        if operation.body != RequestBody::Nothing {
            let body = laid_out_body(operation, Format::Json).unwrap();
            request = request
                .header("Content-Type", "application/json")
                .body(body);
        }
        let reply = send(request).await;
        let answer = &operation.answers[0];
        assert_eq!(reply.status, answer.status, "{name}: {reply:?}");
        let Some(sample) = samples::answer(operation, answer, Format::Json) else {
            continue;
        };
        let [mut shown, mut real] = [BTreeSet::new(), BTreeSet::new()];
        names(&serde_json::from_str(&sample).unwrap(), "", &mut shown);
        names(&reply.json(), "", &mut real);
        // The list has no second page.
        let is_last = ["ListBillables"].contains(&name);
        shown.retain(|name| !is_last || name != ".nextCursor");
        assert_eq!(shown, real, "{name}");
    }
}
