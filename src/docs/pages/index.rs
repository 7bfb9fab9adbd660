//! The operations, and what is said instead of a page that is none.

use maud::{Markup, html};

use super::layout;
use super::operation::{FORMATS, path_of};
use crate::contract::{OPERATIONS, Operation, Section, routes};
use crate::docs::dto::Language;
use crate::formats::Format;

/// Every operation, under its heading.
pub fn index() -> String {
    let content = html! {
        h1 { "All operations" }
        p.lead { "What the service does, how it is asked for, and what it answers." }
        (operations())
        (types())
    };
    layout("All operations – Billables", routes::METADATA, &content)
}

/// There is no such page; here is what there is.
pub fn missing(message: &str) -> String {
    let content = html! {
        h1 { (message) }
        p.lead { "These there are:" }
        (operations())
        (types())
    };
    layout("Not found – Billables", "", &content)
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

/// Where the DTOs of all operations are.
pub(super) fn types() -> Markup {
    html! {
        section {
            h2 { "DTOs" }
            p { "The requests and objects of every operation, as source text:" }
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
