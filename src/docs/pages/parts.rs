//! Parts that several pages use: tables, code, bars of links.

use maud::{Markup, html};

/// A table that narrow screens show as a list. Its roles are explicit, because browsers drop those
/// of a table that is not displayed as a table.
pub(in crate::docs) fn table(
    name: &str,
    class: &str,
    heads: &[&str],
    rows: &[Vec<Markup>],
) -> Markup {
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

/// Source code that can be scrolled with the keyboard, with a button that copies it if JavaScript
/// is enabled.
pub(in crate::docs) fn code(name: &str, text: &str) -> Markup {
    html! {
        div.code {
            pre role="group" tabindex="0" aria-label=(name) { code { (text) } }
            button.copy type="button" hidden { "Copy" span.unseen { " " (name) } }
        }
    }
}

/// A link of a bar: its text, its target, and whether it is the current page.
pub(super) struct Tab {
    pub(super) text: String,
    pub(super) to: String,
    pub(super) is_current: bool,
}

/// A bar of links, one of which is the current page.
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

/// A text of the contract, with a full stop added if it has none.
pub(super) fn sentence(text: &str) -> Markup {
    let end = if text.ends_with('.') { "" } else { "." };
    html! { (text) (end) }
}
