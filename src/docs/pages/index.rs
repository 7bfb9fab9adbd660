//! The list of operations, and the page for unknown operations and formats.

use maud::{Markup, html};

use super::layout;
use super::operation::{FORMATS, path_of};
use crate::contract::{OPERATIONS, Operation, Section, errors, routes};
use crate::docs::dto::Language;
use crate::formats::Format;
use crate::formats::status::ResponseStatus;

/// The page with every operation under its heading.
pub fn index() -> String {
    let content = html! {
        h1 { "All operations" }
        p.lead { "What the service can do, how to call it, and what it returns." }
        (operations())
        (types())
    };
    layout("All operations – Billables", routes::METADATA, &content)
}

/// The page of an error. If the path does not exist, it shows the available operations.
pub fn error(status: u16, title: &str, said: &ResponseStatus) -> String {
    let mut lines = said.message.lines();
    let content = html! {
        h1 { (status) " " (title) }
        p.lead { (lines.next().unwrap_or_default()) }
        @if lines.next().is_some() {
            ul { @for error in &said.errors { li { (error.field_name) ": " (error.message) } } }
        }
        p { "Error code: " code { (said.error_code) } }
        @if status == errors::NOT_FOUND.status {
            p { "These operations are available:" }
            (operations())
            (types())
        }
    };
    layout(&format!("{title} – Billables"), "", &content)
}

fn operations() -> Markup {
    html! {
        @for section in Section::ALL {
            section {
                h2 { (section.title()) }
                ul.operations {
                    @for operation in OPERATIONS.into_iter().filter(|one| one.section == section) {
                        li { (entry(operation)) }
                    }
                }
            }
        }
    }
}

fn entry(operation: &Operation) -> Markup {
    html! {
        h3 { a href=(path_of(operation, Format::Json, None)) { (operation.name) } }
        p.route { span.verb { (operation.method) } " " code { (operation.path) } }
        p { (operation.summary) }
        @if operation.has_formats() {
            p.formats {
                @for format in FORMATS {
                    a href=(path_of(operation, format, None)) {
                        (format.name()) span.unseen { " of " (operation.name) }
                    }
                    " "
                }
            }
        }
    }
}

/// The links to the DTOs of all operations.
pub(super) fn types() -> Markup {
    html! {
        section {
            h2 { "DTOs" }
            p { "The requests and objects of every operation, as source code:" }
            ul.links {
                @for language in Language::ALL {
                    li {
                        a href=(routes::TYPES.replace("{lang}", language.name())) {
                            (language.title()) span.unseen { ", all operations" }
                        }
                    }
                }
            }
        }
    }
}
