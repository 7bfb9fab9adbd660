//! The page of an operation. The parts are in the order of the metadata page of Evo Voice, whose
//! API this service replaces, except that the responses come before the samples.

use maud::{Markup, html};

use super::parts::{Tab, bar, code, sentence, table};
use super::{form, layout};
use crate::contract::routes::Route;
use crate::contract::types::{Member, MemberKind, Type};
use crate::contract::{Access, Body, Operation, routes};
use crate::docs::dto::{self, Language};
use crate::docs::samples::http::{media_type, request, response};
use crate::formats::Format;

/// The formats that have pages, as on ServiceStack.
pub const FORMATS: [Format; 4] = [Format::Json, Format::Xml, Format::Jsv, Format::Csv];

/// The path of an operation's page.
pub(super) fn path_of(operation: &Operation, format: Format, language: Option<Language>) -> String {
    let path = routes::OPERATION_METADATA.replace("{format}", format.name());
    let language = language.map(|language| format!("&lang={}", language.name()));
    format!(
        "{path}?op={}{}",
        operation.name,
        language.unwrap_or_default()
    )
}

/// The page with samples in `format`, and with the DTO in `language` or else tables of parameters.
pub fn operation(
    operation: &Operation,
    format: Format,
    language: Option<Language>,
    base_url: &str,
) -> String {
    let language = language.filter(|_| operation.by_name.is_some());
    let content = html! {
        (head(operation))
        (jump())
        (routes_of(operation))
        section #types {
            h2 { (language.map_or("Parameters", Language::title)) }
            @if operation.by_name.is_some() { (languages(operation, format, language)) }
            @match language {
                Some(language) => (source(operation, language, base_url)),
                None => (parameters(operation)),
            }
        }
        (answers(operation))
        (samples(operation, format, language, base_url))
        (form::form(operation, format))
    };
    let title = format!("{} – Billables", operation.name);
    layout(&title, "", &content)
}

fn head(operation: &Operation) -> Markup {
    html! {
        p.back { a href=(routes::METADATA) { "All operations" } }
        h1 { (operation.name) }
        p.lead { (sentence(operation.summary)) }
        @for note in operation.notes { p { (note) } }
        p.access {
            @match operation.access {
                Access::Open => { strong { "Needs no token" } },
                Access::Any => {
                    strong { "Requires Authentication" }
                    ": a token, whatever its scopes."
                },
                Access::Scope(scope) => {
                    strong { "Requires Authentication" }
                    ": a token with the scope " code { (scope.as_str()) } "."
                },
                Access::Unlimited(scope) => {
                    strong { "Requires Authentication" }
                    ": a token with the scope " code { (scope.as_str()) }
                    " and access to all accounts."
                },
            }
        }
    }
}

/// Links to the parts of the page. The last part needs JavaScript, and so does its link.
fn jump() -> Markup {
    html! {
        nav.jump aria-label="On this page" {
            ul.links {
                li { a href="#routes" { "Routes" } }
                li { a href="#types" { "Parameters" } }
                li { a href="#answers" { "Responses" } }
                li { a href="#samples" { "Samples" } }
                li.scripted hidden { a href="#send" { "Send a request" } }
            }
        }
    }
}

/// The table of all routes of the operation.
fn routes_of(operation: &Operation) -> Markup {
    let rows: Vec<_> = Route::all(operation)
        .into_iter()
        .map(|route| {
            let of_accept = if operation.has_formats() {
                "The response format is selected by the query parameter format, or else by the Accept header"
            } else {
                ""
            };
            (route.path, route.note.unwrap_or(of_accept))
        })
        .map(|(path, note)| {
            vec![
                html! { span.verb { (operation.method) } },
                html! { code { (path) } },
                html! { (note) },
            ]
        })
        .collect();
    html! {
        section #routes {
            h2 { "Routes" }
            (table("Routes", "routes", &["Verb", "Path", "Notes"], &rows))
        }
    }
}

fn languages(operation: &Operation, format: Format, shown: Option<Language>) -> Markup {
    let languages = Language::ALL.into_iter().map(Some);
    let tabs: Vec<_> = std::iter::once(None)
        .chain(languages)
        .map(|language| Tab {
            text: language.map_or("Parameters", Language::title).to_owned(),
            to: path_of(operation, format, language) + "#types",
            is_current: language == shown,
        })
        .collect();
    bar("Languages", &tabs)
}

fn source(operation: &Operation, language: Language, base_url: &str) -> Markup {
    let text = dto::source(language, &[operation], base_url);
    let all = routes::TYPES.replace("{lang}", language.name());
    let name = format!("{} in {}", operation.name, language.title());
    html! {
        (code(&name, &text))
        p { a href=(all) { "All operations in " (language.title()) } }
    }
}

/// The members of the request, of each object in the response, and the response headers.
fn parameters(operation: &Operation) -> Markup {
    let mut types = Vec::new();
    for answer in operation.answers {
        if let Body::One(of) | Body::OneOrSeveral(of) = answer.body {
            collect(of, &mut types);
        }
    }
    let mut headers: Vec<&Member> = Vec::new();
    for header in operation.answers.iter().flat_map(|answer| answer.headers) {
        if !headers.iter().any(|known| known.name == header.name) {
            headers.push(header);
        }
    }
    html! {
        @if operation.members.is_empty() {
            p { "This operation has no parameters." }
        } @else {
            h3 { (operation.name) }
            (members(operation.name, operation.members))
        }
        @for of in types {
            h3 { (of.name) }
            p { (sentence(of.text)) }
            (members(of.name, of.members))
        }
        @if !headers.is_empty() {
            h3 { "Response headers" }
            (members("Response headers", headers))
        }
    }
}

/// Collects a type and the types of its members, each once.
fn collect(of: &'static Type, types: &mut Vec<&'static Type>) {
    if types.iter().any(|known| known.name == of.name) {
        return;
    }
    types.push(of);
    for member in of.members {
        if let MemberKind::List(item) = member.kind {
            collect(item, types);
        }
    }
}

fn members<'a>(name: &str, members: impl IntoIterator<Item = &'a Member>) -> Markup {
    let rows: Vec<_> = members
        .into_iter()
        .map(|member| {
            vec![
                html! { code { (member.name) } },
                html! { (member.location.as_str()) },
                html! { (member.kind.name()) },
                html! { @if member.is_required { strong { "Yes" } } @else { "No" } },
                html! { (sentence(member.text)) },
            ]
        })
        .collect();
    let heads = ["Name", "Parameter", "Data Type", "Required", "Description"];
    table(name, "members", &heads, &rows)
}

/// The successes, then the errors.
fn answers(operation: &Operation) -> Markup {
    let successes: Vec<_> = operation
        .answers
        .iter()
        .map(|answer| {
            let body = match answer.body {
                Body::Nothing => "none".to_owned(),
                Body::One(of) => of.name.to_owned(),
                Body::OneOrSeveral(of) => format!("{0}, or an array of {0}", of.name),
                Body::Document(media_types) => media_types.join(" or "),
            };
            vec![
                html! { (answer.status) },
                html! { (body) },
                html! { (sentence(answer.when)) },
            ]
        })
        .collect();
    let mut errors: Vec<_> = operation.errors().collect();
    errors.sort_by_key(|error| error.status);
    let errors: Vec<_> = errors
        .iter()
        .map(|error| {
            vec![
                html! { (error.status) },
                html! { code { (error.code) } },
                html! { (error.means) },
            ]
        })
        .collect();
    html! {
        section #answers {
            h2 { "Responses" }
            (table("Successes", "answers", &["Status", "Content", "When"], &successes))
            h3 { "Errors" }
            p {
                "Each has a " code { "responseStatus" } " with a stable code in " code { "errorCode" } "."
            }
            (table("Errors", "answers", &["Status", "Code", "Meaning"], &errors))
        }
    }
}

fn samples(
    operation: &Operation,
    format: Format,
    language: Option<Language>,
    base_url: &str,
) -> Markup {
    let host = base_url
        .split_once("://")
        .map_or(base_url, |(_, host)| host);
    let is_written = operation.has_formats();
    let title = if is_written {
        format!("HTTP + {}", format.name().to_uppercase())
    } else {
        "HTTP".to_owned()
    };
    let tabs = FORMATS.map(|other| Tab {
        text: other.name().to_uppercase(),
        to: path_of(operation, other, language) + "#samples",
        is_current: other == format,
    });
    html! {
        section #samples {
            h2 { (title) }
            @if is_written {
                (override_note(operation, format))
                (bar("Formats", &tabs))
            }
            p {
                "These are the complete HTTP messages, with line breaks for readability. "
                @if operation.access != Access::Open { code { "TOKEN" } " stands for the client's token" }
                @if operation.access != Access::Open && is_written { "; " }
                @if is_written { code { "length" } " stands for the length in bytes" }
                @if operation.access != Access::Open || is_written { "." }
            }
            div.samples {
                div { h3 { "Request" } (code("Sample request", &request(operation, format, host))) }
                div { h3 { "Response" } (code("Sample response", &response(operation, format))) }
            }
        }
    }
}

/// How to request the format.
fn override_note(operation: &Operation, format: Format) -> Markup {
    let name = format.name();
    html! {
        p {
            "To get " (name.to_uppercase()) ", send " code { "Accept: " (media_type(format)) }
            @if operation.takes_suffix { ", append the suffix " code { "." (name) } " to the path" }
            " or add " code { "?format=" (name) } "."
        }
    }
}
