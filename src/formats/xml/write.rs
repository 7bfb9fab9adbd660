//! Writes elements as .NET's data contracts do.

use quick_xml::escape::partial_escape;

use super::{ARRAYS, XSI};
use crate::formats::value::Value;

/// Returns the XML declaration and the start tag of a root element.
pub(in crate::formats) fn open(name: &str, namespace: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><{name} xmlns:i=\"{XSI}\" xmlns=\"{namespace}\">"
    )
}

/// Writes a member: its text, or nil.
pub(in crate::formats) fn member(out: &mut String, name: &str, value: Option<&str>) {
    match value {
        None => out.extend(["<", name, " i:nil=\"true\" />"]),
        Some(value) => out.extend(["<", name, ">", &partial_escape(value), "</", name, ">"]),
    }
}

/// Writes a list of strings, as .NET does.
pub(in crate::formats) fn texts(out: &mut String, name: &str, items: &[Value<'_>]) {
    out.push_str(&format!("<{name} xmlns:a=\"{ARRAYS}\">"));
    for item in items {
        if let Value::Text(text) = item {
            member(out, "a:string", Some(text));
        }
    }
    close(out, name);
}

/// Writes the end tag of an element.
pub(in crate::formats) fn close(out: &mut String, name: &str) {
    out.extend(["</", name, ">"]);
}
