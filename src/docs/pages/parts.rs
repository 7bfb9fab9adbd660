//! What several pages have: tables, code, bars of links.

use maud::{Markup, html};

/// A table that a narrow screen shows as a list. Its roles are said outright, because browsers
/// drop those of tables that are shown as something else.
pub(super) fn table(name: &str, class: &str, heads: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        table.(class) role="table" aria-label=(name) {
            thead role="rowgroup" {
                tr role="row" {
                    @for head in heads { th role="columnheader" scope="col" { (head) } }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (index, (cell, head)) in row.iter().zip(heads).enumerate() {
                            @if index == 0 {
                                th role="rowheader" scope="row" { (cell) }
                            } @else {
                                td role="cell" data-label=(head) { (cell) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Source text, with a button that copies it where there is JavaScript. It can be scrolled with
/// the keyboard.
pub(super) fn code(name: &str, text: &str) -> Markup {
    html! {
        div.code {
            pre role="group" tabindex="0" aria-label=(name) { code { (text) } }
            button.copy type="button" hidden { "Copy" span.unseen { " " (name) } }
        }
    }
}

/// A link of a bar: its text, where it leads, whether it is the page that is shown.
pub(super) struct Tab {
    pub(super) text: String,
    pub(super) to: String,
    pub(super) is_current: bool,
}

/// Links of which one is the page that is shown.
pub(super) fn bar(name: &str, tabs: &[Tab]) -> Markup {
    html! {
        nav.bar aria-label=(name) {
            ul {
                @for Tab { text, to, is_current } in tabs {
                    li { a href=(to) aria-current=[is_current.then_some("page")] { (text) } }
                }
            }
        }
    }
}

/// A sentence of the description, which has no full stop at its end where it is a phrase.
pub(super) fn sentence(text: &str) -> Markup {
    let end = if text.ends_with('.') { "" } else { "." };
    html! { (text) (end) }
}
