//! The manual: the Markdown files in `docs/`, as pages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::pages::{code, layout, table};
use crate::contract::routes;

/// The pages, by their path below `/docs`, in the order of the manual.
const PAGES: [(&str, &str); 40] = [
    ("", include_str!("../../docs/README.md")),
    (
        "getting-started",
        include_str!("../../docs/getting-started.md"),
    ),
    ("reporting", include_str!("../../docs/reporting.md")),
    ("identity", include_str!("../../docs/identity.md")),
    ("reading", include_str!("../../docs/reading.md")),
    ("senders", include_str!("../../docs/senders/README.md")),
    ("senders/3cx", include_str!("../../docs/senders/3cx.md")),
    (
        "senders/africastalking",
        include_str!("../../docs/senders/africastalking.md"),
    ),
    (
        "senders/asterisk",
        include_str!("../../docs/senders/asterisk.md"),
    ),
    (
        "senders/asterisk-csv",
        include_str!("../../docs/senders/asterisk-csv.md"),
    ),
    (
        "senders/bandwidth",
        include_str!("../../docs/senders/bandwidth.md"),
    ),
    (
        "senders/cgrates",
        include_str!("../../docs/senders/cgrates.md"),
    ),
    (
        "senders/cloudevents",
        include_str!("../../docs/senders/cloudevents.md"),
    ),
    ("senders/cucm", include_str!("../../docs/senders/cucm.md")),
    (
        "senders/exotel",
        include_str!("../../docs/senders/exotel.md"),
    ),
    (
        "senders/freeswitch",
        include_str!("../../docs/senders/freeswitch.md"),
    ),
    (
        "senders/freeswitch-csv",
        include_str!("../../docs/senders/freeswitch-csv.md"),
    ),
    (
        "senders/freeswitch-xml",
        include_str!("../../docs/senders/freeswitch-xml.md"),
    ),
    (
        "senders/jambonz",
        include_str!("../../docs/senders/jambonz.md"),
    ),
    (
        "senders/kamailio",
        include_str!("../../docs/senders/kamailio.md"),
    ),
    (
        "senders/opensips",
        include_str!("../../docs/senders/opensips.md"),
    ),
    ("senders/plivo", include_str!("../../docs/senders/plivo.md")),
    (
        "senders/signalwire",
        include_str!("../../docs/senders/signalwire.md"),
    ),
    (
        "senders/sipgate",
        include_str!("../../docs/senders/sipgate.md"),
    ),
    (
        "senders/telnyx",
        include_str!("../../docs/senders/telnyx.md"),
    ),
    (
        "senders/telnyx-texml",
        include_str!("../../docs/senders/telnyx-texml.md"),
    ),
    (
        "senders/twilio",
        include_str!("../../docs/senders/twilio.md"),
    ),
    (
        "senders/twilio-api",
        include_str!("../../docs/senders/twilio-api.md"),
    ),
    (
        "senders/vonage",
        include_str!("../../docs/senders/vonage.md"),
    ),
    (
        "senders/mapping",
        include_str!("../../docs/senders/mapping.md"),
    ),
    ("servicestack", include_str!("../../docs/servicestack.md")),
    ("tokens", include_str!("../../docs/tokens.md")),
    ("import-export", include_str!("../../docs/import-export.md")),
    ("install", include_str!("../../docs/install.md")),
    ("operations", include_str!("../../docs/operations.md")),
    ("guarantees", include_str!("../../docs/guarantees.md")),
    ("faq", include_str!("../../docs/faq.md")),
    (
        "internals/architecture",
        include_str!("../../docs/internals/architecture.md"),
    ),
    (
        "internals/performance",
        include_str!("../../docs/internals/performance.md"),
    ),
    (
        "internals/proof",
        include_str!("../../docs/internals/proof.md"),
    ),
];

/// The images of the manual, by the file names in its links.
const PICTURES: [(&str, &str); 1] = [(
    "growth.svg",
    include_str!("../../docs/internals/growth.svg"),
)];

/// The paths of all pages below `/docs`, except the first one's, which is empty.
pub fn paths() -> impl Iterator<Item = &'static str> {
    PAGES.iter().skip(1).map(|(path, _)| *path)
}

/// Renders the page with this path below `/docs`.
pub fn page(path: &str) -> Option<String> {
    let (path, text) = PAGES.iter().find(|(known, _)| *known == path)?;
    let page = render(path, text);
    let content = html! {
        @if !path.is_empty() {
            p.back { a href=(routes::MANUAL) { "Manual" } }
        }
        div.manual { (page.content) }
    };
    let own = if path.is_empty() { routes::MANUAL } else { "" };
    Some(layout(
        &format!("{} – Billables", page.title),
        own,
        &content,
    ))
}

struct Rendered {
    title: String,
    content: Markup,
}

fn render(path: &str, text: &str) -> Rendered {
    let events: Vec<_> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let (mut out, mut title, mut heading) = (String::new(), String::new(), String::new());
    let mut rest = &events[..];
    while let [event, after @ ..] = rest {
        rest = after;
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let inner = until(&mut rest, TagEnd::Heading(*level));
                heading = plain(inner);
                if *level == HeadingLevel::H1 {
                    title.clone_from(&heading);
                }
                let markup = html(path, inner);
                out.push_str(&format!(
                    "<{level} id=\"{}\">{markup}</{level}>",
                    anchor(&heading)
                ));
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let inner = until(&mut rest, TagEnd::CodeBlock);
                let name = match kind {
                    CodeBlockKind::Fenced(language) => match &**language {
                        "sh" => "Command",
                        "text" => "Output",
                        _ => "Example",
                    },
                    CodeBlockKind::Indented => "Example",
                };
                out.push_str(&code(name, &plain(inner)).into_string());
            }
            Event::Start(Tag::Table(_)) => {
                let inner = until(&mut rest, TagEnd::Table);
                out.push_str(&rendered_table(path, &heading, inner).into_string());
            }
            event => out.push_str(&html(path, std::slice::from_ref(event))),
        }
    }
    Rendered {
        title,
        content: PreEscaped(out),
    }
}

/// Takes the events up to an end event, and skips that one.
fn until<'a, 'e>(rest: &mut &'a [Event<'e>], end: TagEnd) -> &'a [Event<'e>] {
    let is_end = |event: &Event<'_>| matches!(event, Event::End(found) if *found == end);
    let length = rest.iter().position(is_end).unwrap_or(rest.len());
    let (inner, after) = rest.split_at(length);
    *rest = after.get(1..).unwrap_or_default();
    inner
}

/// Returns the plain text of the events.
fn plain(events: &[Event<'_>]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(&**text),
        Event::SoftBreak => Some(" "),
        _ => None,
    });
    texts.collect()
}

/// Renders events as HTML, with links rewritten for the server.
fn html(path: &str, events: &[Event<'_>]) -> String {
    let mut out = String::new();
    let events = events.iter().cloned().map(|event| match event {
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Link {
            link_type,
            dest_url: served(path, &dest_url).into(),
            title,
            id,
        }),
        Event::Start(Tag::Image {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Image {
            link_type,
            dest_url: picture(&dest_url),
            title,
            id,
        }),
        other => other,
    });
    pulldown_cmark::html::push_html(&mut out, events);
    out
}

fn rendered_table(path: &str, name: &str, events: &[Event<'_>]) -> Markup {
    let (mut heads, mut rows, mut row) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_head = false;
    let mut rest = events;
    while let [event, after @ ..] = rest {
        rest = after;
        match event {
            Event::Start(Tag::TableHead) => is_head = true,
            Event::End(TagEnd::TableHead) => is_head = false,
            Event::End(TagEnd::TableRow) => rows.push(std::mem::take(&mut row)),
            Event::Start(Tag::TableCell) => {
                let cell = until(&mut rest, TagEnd::TableCell);
                if is_head {
                    heads.push(plain(cell));
                } else {
                    row.push(PreEscaped(html(path, cell)));
                }
            }
            _ => {}
        }
    }
    let heads: Vec<_> = heads.iter().map(String::as_str).collect();
    table(name, "facts", &heads, &rows)
}

/// Derives the fragment of a heading from its text, as GitHub does.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

/// Converts a link between files into a link between pages.
fn served(path: &str, link: &str) -> String {
    if link.starts_with('#') || link.contains("://") {
        return link.to_owned();
    }
    let (file, fragment) = link
        .split_once('#')
        .map_or((link, String::new()), |(file, fragment)| {
            (file, format!("#{fragment}"))
        });
    // The folder of the page's file. The file of the page `senders` is `senders/README.md`.
    let mut folder: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
    if path != "senders" {
        folder.pop();
    }
    for name in file.split('/') {
        match name {
            ".." => drop(folder.pop()),
            "README.md" => {}
            name => folder.push(name.trim_end_matches(".md")),
        }
    }
    let page = folder.join("/");
    let separator = if page.is_empty() { "" } else { "/" };
    format!("{}{separator}{page}{fragment}", routes::MANUAL)
}

/// Returns an image as a data URL, because the content security policy forbids all other images.
fn picture(name: &str) -> CowStr<'static> {
    let found = PICTURES.iter().find(|(known, _)| *known == name);
    let (_, svg) = found.expect("a picture of the manual");
    format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg)).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn links_between_files_lead_to_pages() {
        for (path, link, page) in [
            ("", "senders/README.md", "/docs/senders"),
            ("", "reading.md#sessions", "/docs/reading#sessions"),
            ("senders", "freeswitch.md", "/docs/senders/freeswitch"),
            ("senders/twilio", "../install.md#tls", "/docs/install#tls"),
            ("senders", "../README.md", "/docs"),
            ("identity", "#test-vectors", "#test-vectors"),
        ] {
            assert_eq!(served(path, link), page);
        }
    }

    #[test]
    fn every_page_has_a_title_and_unique_heading_ids() {
        for (path, text) in PAGES {
            let page = render(path, text);
            assert!(!page.title.is_empty(), "{path}");
            let html = page.content.into_string();
            let ids: Vec<_> = html.split(" id=\"").skip(1).collect();
            let ids: Vec<_> = ids.iter().map(|id| id.split('"').next()).collect();
            assert_eq!(
                ids.iter().collect::<HashSet<_>>().len(),
                ids.len(),
                "{path}: {ids:?}"
            );
        }
    }
}
