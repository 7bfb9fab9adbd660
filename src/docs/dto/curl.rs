//! Shell commands that call each operation on its own path, with the examples of the contract.

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::line;
use crate::contract::types::{Location, Member};
use crate::contract::{Access, Operation};
use crate::docs::samples;

/// The characters to escape in path segments and query values.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// The number of query parameters that a command shows, unless more are required.
const PARAMETERS: usize = 3;

pub(super) fn source(operations: &[&Operation], base_url: &str) -> String {
    let commands = operations
        .iter()
        .map(|operation| command(operation, base_url));
    let head = "# The operations of Billables, from /types/curl. TOKEN holds a token.\n".to_owned();
    std::iter::once(head).chain(commands).collect()
}

fn command(operation: &Operation, base_url: &str) -> String {
    let given = |location| {
        operation
            .fields()
            .filter(move |field| field.location == location && samples::is_shown(field))
    };
    let path = given(Location::Path).fold(operation.path.to_owned(), |path, field| {
        path.replace(&format!("{{{}}}", field.name), &escaped(field.example))
    });
    let required = given(Location::Query)
        .filter(|field| field.is_required)
        .count();
    let mut optional = PARAMETERS.saturating_sub(required);
    let shown = given(Location::Query).filter(|field| {
        let is_shown = field.is_required || optional > 0;
        optional = optional.saturating_sub(usize::from(!field.is_required));
        is_shown
    });
    let query: Vec<_> = shown
        .map(|field| format!("{}={}", escaped(field.name), escaped(field.example)))
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let url = format!("{base_url}{path}{mark}{}", query.join("&"));
    let body: Vec<_> = given(Location::Body).map(json_member).collect();

    let mut parts = vec![format!("curl -s {}", quoted(&url))];
    if operation.access != Access::Open {
        parts.push("-H \"Authorization: Bearer $TOKEN\"".to_owned());
    }
    if !body.is_empty() {
        parts.push("-H 'Content-Type: application/json'".to_owned());
        parts.push(format!("-d {}", quoted(&format!("{{{}}}", body.join(",")))));
    }
    // The method that curl uses by default.
    let usual = if body.is_empty() {
        Method::GET
    } else {
        Method::POST
    };
    if operation.method != usual {
        parts.push(format!("-X {}", operation.method));
    }
    format!(
        "\n# {}: {}\n{}\n",
        operation.name,
        line(operation.summary),
        parts.join(" \\\n  ")
    )
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Writes a text in single quotes, as a shell reads it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Writes the example of a member as part of a JSON object.
fn json_member(member: &Member) -> String {
    format!("\"{}\":{}", member.name, samples::value(member).to_json())
}

#[cfg(test)]
mod tests {
    use super::super::{Language, source};
    use super::*;
    use crate::contract::types::MemberKind;
    use crate::contract::{OPERATIONS, objects};

    fn curl(name: &str, base_url: &str) -> String {
        let operation = Operation::find(name).expect("an operation");
        source(Language::Curl, &[operation], base_url)
    }

    #[test]
    fn commands_have_the_path_the_method_and_the_examples() {
        let id = objects::BILLABLE_ID.example;
        for (name, command) in [
            (
                "NewBillable",
                r#"# NewBillable: Report/create a new billable
curl -s 'http://here/billables' \
  -H "Authorization: Bearer $TOKEN" \
  -H 'Content-Type: application/json' \
  -d '{"accountId":"acc","customerId":"cus","sessionId":"S1","callSid":"CA1","occurredAt":"2026-03-01T08:30:00.000000Z"}'
"#,
            ),
            (
                "ListBillables",
                r#"
curl -s 'http://here/billables?accountId=acc&customerId=cus&sessionId=S1' \
  -H "Authorization: Bearer $TOKEN"
"#,
            ),
            (
                "GetBilling",
                "'http://here/billing?accountId=acc&startDate=2026-03-01&endDate=2026-03-31' ",
            ),
            ("ReadLog", "'http://here/log?limit=100&wait=0' "),
            (
                "CheckBillables",
                r#"-d '{"callSids":["CA1"],"ids":["ID"]}'"#,
            ),
            (
                "AttributeSession",
                r#"-d '{"accountId":"acc","customerId":"cus"}' \
  -X PUT
"#,
            ),
            ("GetBillable", "'http://here/billables/ID' "),
            ("GetSession", "'http://here/sessions/S1' "),
            ("GetLivez", "\ncurl -s 'http://here/livez'\n"),
        ] {
            let source = curl(name, "http://here").replace(id, "ID");
            assert!(source.contains(command), "{command} in {source}");
        }
    }

    #[test]
    fn no_url_contains_a_placeholder() {
        for operation in OPERATIONS {
            let command = command(operation, "");
            let (url, _) = command.split_once(" \\").unwrap_or((&command, ""));
            assert!(!url.contains(['{', '}']), "{command}");
        }
    }

    #[test]
    fn characters_with_a_meaning_to_a_shell_or_a_url_are_quoted() {
        assert_eq!(quoted("it's $x"), r"'it'\''s $x'");
        assert_eq!(escaped("a/b c&é:"), "a%2Fb%20c%26%C3%A9:");
        let source = curl("GetLivez", "http://x'; rm -r .; '");
        assert!(source.contains(r"curl -s 'http://x'\''; rm -r .; '\''/livez'"));
        let member = Member {
            name: "a",
            location: Location::Body,
            kind: MemberKind::Text,
            is_required: true,
            text: "",
            example: "\"\\",
        };
        assert_eq!(json_member(&member), r#""a":"\"\\""#);
    }
}
