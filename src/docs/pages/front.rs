//! The front page: what this is, how it is, where to begin.

use maud::{Markup, html};

use super::index::types;
use super::layout;
use super::operation::path_of;
use super::parts::code;
use crate::contract::{Operation, routes};
use crate::docs::samples::http::laid_out_body;
use crate::docs::samples::{self, laid_out};
use crate::formats::Format;

/// The page, for those who reach the service at `base_url`.
pub fn front(is_ready: bool, base_url: &str) -> String {
    let content = html! {
        h1 { "Billables" }
        p.lead {
            "Telephony backends report here that a call or a session is billable; whoever writes \
             invoices reads it back. Each report is stored before it is answered, once, for ever."
        }
        (state(is_ready))
        (first_report(base_url))
        section {
            h2 { "Where to go on" }
            ul.operations {
                @for (name, text) in [
                    ("NewBillable", "Report a call or a session, or several at once."),
                    ("ListBillables", "Read billables back: pages, or all of them as a file."),
                    ("GetBilling", "What to invoice: totals by customer, for any range of days."),
                    ("ReadLog", "Keep a copy: everything that happens, in order."),
                ] {
                    @if let Some(operation) = Operation::find(name) {
                        li {
                            h3 { a href=(path_of(operation, Format::Json, None)) { (name) } }
                            p { (text) }
                        }
                    }
                }
            }
            p { a href=(routes::METADATA) { "All operations, with samples in every format" } }
        }
        (types())
    };
    layout("Billables", routes::FRONT, &content)
}

fn state(is_ready: bool) -> Markup {
    if is_ready {
        html! { p.state.ready { strong { "Ready." } " Reports can be stored now." } }
    } else {
        html! {
            p.state.away {
                strong { "Not ready." } " Nothing can be stored now; send reports again later."
            }
        }
    }
}

fn first_report(base_url: &str) -> Markup {
    let report = Operation::find("NewBillable");
    let body = report.and_then(|report| laid_out_body(report, Format::Json));
    let command = format!(
        "curl '{base_url}{}' \\\n  -H \"Authorization: Bearer $TOKEN\" \\\n  -H 'Content-Type: application/json' \\\n  -d '{}'\n",
        routes::BILLABLES,
        body.unwrap_or_default().replace('\n', "\n  ")
    );
    let answer = report.and_then(|report| {
        let answer = samples::answer(report, report.answers.first()?, Format::Json)?;
        Some(laid_out(&answer, Format::Json))
    });
    html! {
        section {
            h2 { "A first report" }
            p {
                "It takes a token with the scope " code { "report" } ", which "
                code { "billables token create" } " makes where the server runs."
            }
            (code("First report", &command))
            p {
                "The status is 201, and this is what is stored. The same again is 200 with the same \
                 billable: a report with a " code { "callSid" } " can always be sent again."
            }
            (code("What it answers", &answer.unwrap_or_default()))
        }
    }
}
