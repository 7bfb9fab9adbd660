//! The form that sends a request. It needs JavaScript; the script reads its data attributes.

use maud::{Markup, html};

use crate::contract::types::{Location, Member};
use crate::contract::{Access, Operation, Section};
use crate::docs::samples::http::{body_format, laid_out_body, media_type};
use crate::formats::Format;

/// A field for each parameter of the path, the query and the headers, and one for the body.
pub(super) fn form(operation: &Operation, format: Format) -> Markup {
    let accept = if operation.has_formats() {
        media_type(format)
    } else {
        "*/*"
    };
    let content_type = body_format(operation, format).map(media_type);
    let members = operation.members.iter();
    let fields = members.filter(|member| member.location != Location::Body);
    let body = laid_out_body(operation, format);
    html! {
        section #send.scripted hidden {
            h2 { "Send a request" }
            p { "This page sends the request to this server. The token is not stored." }
            @if let Section::Reporting | Section::Deciding = operation.section {
                p { strong { "What this stores is permanent." } " For tests, use an account and a customer that are never invoiced." }
            }
            form data-method=(operation.method) data-path=(operation.path) data-accept=(accept)
                data-content-type=[content_type] {
                @if operation.access != Access::Open {
                    div.field {
                        label for="token" { "Token" }
                        input #token type="password" autocomplete="off" spellcheck="false" required;
                    }
                }
                @for member in fields { (field(member)) }
                @if let Some(body) = body {
                    div.field.wide {
                        label for="body" { "Body" }
                        textarea #body rows=(body.lines().count().clamp(3, 16)) spellcheck="false"
                            autocapitalize="off" { (body) }
                    }
                }
                p.wide { button type="submit" { "Send " (operation.method) } }
            }
            p #outcome role="status" {}
            pre #answer role="group" tabindex="0" aria-label="Response" hidden { code {} }
        }
    }
}

/// A field of the form. Optional fields start empty, and empty fields are not sent.
fn field(member: &Member) -> Markup {
    let id = format!("field-{}", member.name);
    let value = if member.is_required {
        member.example
    } else {
        ""
    };
    let location = match member.location {
        Location::Path => "path",
        Location::Header => "header",
        Location::Query | Location::Body => "query",
    };
    html! {
        div.field {
            label for=(id) { (member.name) @if !member.is_required { small { " optional" } } }
            input id=(id) name=(member.name) data-location=(location) value=(value)
                placeholder=(member.example) required[member.is_required] autocomplete="off"
                spellcheck="false" autocapitalize="off";
        }
    }
}
