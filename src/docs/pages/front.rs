//! The front page: an introduction, the state of the service and the first steps.

use maud::{Markup, html};

use super::index::types;
use super::layout;
use super::operation::path_of;
use super::parts::code;
use crate::contract::{Operation, routes};
use crate::docs::samples::http::laid_out_body;
use crate::docs::samples::{self, laid_out};
use crate::formats::Format;

/// The page for clients that reach the service at `base_url`.
pub fn front(is_ready: bool, base_url: &str) -> String {
    let content = html! {
        h1 { "Billables" }
        p.lead {
            "Telephony backends report billable calls and sessions here, and billing systems read \
             them back. Each report is stored once, permanently, before the response is sent."
        }
        (state(is_ready))
        (first_report(base_url))
        section {
            h2 { "Next steps" }
            ul.operations {
                @for (name, text) in [
                    ("NewBillable", "Report a call or a session, or a batch of them."),
                    ("ListBillables", "Read billables: in pages, or all of them as a file."),
                    ("GetBilling", "Get the totals to invoice, by customer, for any range of days."),
                    ("ReadLog", "Keep a copy: all reports, attributions and voids, in commit order."),
                ] {
                    @if let Some(operation) = Operation::find(name) {
                        li {
                            h3 { a href=(path_of(operation, Format::Json, None)) { (name) } }
                            p { (text) }
                        }
                    }
                }
            }
            p { a href=(routes::MANUAL) { "The manual" } ": getting started, senders, installing, running the service" }
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
                strong { "Not ready." } " Nothing can be stored now; retry reports later."
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
                "This requires a token with the scope " code { "report" } ", which "
                code { "billables token create --client NAME" } " creates on the server's host. Billables are permanent. For tests, use an account and a \
                customer that are never invoiced. Void a report that must not be billed."
            }
            (code("First report", &command))
            p {
                "The status is 201, and the body is the stored billable. Sending the report again gets \
                 200 with the same billable: a report with a " code { "callSid" } " can always be retried."
            }
            (code("First response", &answer.unwrap_or_default()))
        }
    }
}
