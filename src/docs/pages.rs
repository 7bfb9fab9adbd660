//! The documentation as HTML pages, complete without JavaScript.
//!
//! Each page is one request, because style and script are inline. The content security policy
//! allows only this style and this script, by their hashes.

mod form;
mod front;
mod index;
mod operation;
mod parts;

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::contract::routes;
pub use front::front;
pub use index::{error, index};
pub use operation::{FORMATS, operation};
pub(super) use parts::{code, table};

const STYLE: &str = include_str!("pages/style.css");
const SCRIPT: &str = include_str!("pages/script.js");

/// The icon shows white ledger lines on a square in the link colour. Without an icon, browsers
/// request `/favicon.ico`.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='3' fill='%2300525c'/%3E%3Cpath d='M4 5h8M4 8h8M4 11h5' stroke='%23fff' stroke-width='1.5' stroke-linecap='round'/%3E%3C/svg%3E";

/// The content security policy of pages allows only their own style and script, data images, and
/// requests to this server.
pub fn content_security_policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source_hash(STYLE),
            source_hash(SCRIPT)
        )
    });
    &POLICY
}

fn source_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// The layout of all pages. The link to `path`, the page's own path, is marked as current.
pub(super) fn layout(title: &str, path: &str, content: &Markup) -> String {
    let link = |to: &str, text: &str| {
        html! { a href=(to) aria-current=[(to == path).then_some("page")] { (text) } }
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.site {
                    nav aria-label="Documentation" {
                        (link(routes::FRONT, "Billables"))
                        (link(routes::MANUAL, "Manual"))
                        (link(routes::METADATA, "All operations"))
                        (link(routes::OPENAPI, "OpenAPI"))
                    }
                }
                main #content tabindex="-1" { (content) }
                p.unseen #said role="status" {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_short_and_do_not_close_their_elements() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("</") && !text.contains("<!--"));
        }
        assert!(STYLE.lines().count() < 200 && SCRIPT.lines().count() < 120);
    }

    #[test]
    fn the_policy_allows_the_style_of_a_page() {
        let page = index();
        let (_, rest) = page.split_once("<style>").expect("a style");
        let (style, _) = rest.split_once("</style>").expect("its end");
        assert!(content_security_policy().contains(&source_hash(style)));
    }
}
