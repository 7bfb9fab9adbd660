//! Adds line breaks to bodies, for readability. White space between the tokens of JSON and XML is
//! insignificant, so the content stays the same.

use crate::formats::Format;

const INDENT: &str = "  ";

/// Puts each member on its own line. Formats in which white space is significant are unchanged.
pub fn laid_out(body: &str, format: Format) -> String {
    match format {
        Format::Json => json(body),
        Format::Xml => xml(body),
        Format::Jsv | Format::Csv | Format::Ndjson => body.to_owned(),
    }
}

fn break_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&INDENT.repeat(depth));
}

/// Expects JSON without white space between its tokens.
fn json(body: &str) -> String {
    let mut out = String::with_capacity(body.len() * 2);
    let mut depth: usize = 0;
    let (mut is_text, mut is_escaped, mut has_begun) = (false, false, false);
    for c in body.chars() {
        if is_text {
            out.push(c);
            is_text = c != '"' || is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            continue;
        }
        let is_end = matches!(c, '}' | ']');
        depth = depth.saturating_sub(is_end.into());
        // A line break precedes the first member and follows the last one. Empty objects and
        // arrays are not split.
        if has_begun != is_end {
            break_line(&mut out, depth);
        }
        out.push(c);
        has_begun = matches!(c, '{' | '[');
        match c {
            '"' => is_text = true,
            '{' | '[' => depth += 1,
            ',' => break_line(&mut out, depth),
            ':' => out.push(' '),
            _ => {}
        }
    }
    out
}

/// Expects XML as this service writes it: no comments, and `>` only at the end of a tag.
fn xml(body: &str) -> String {
    let mut out = String::with_capacity(body.len() * 2);
    let mut depth: usize = 0;
    let mut rest = body;
    let mut is_leaf = false;
    while let Some((text, tagged)) = rest.split_once('<') {
        let (tag, behind) = tagged.split_once('>').unwrap_or((tagged, ""));
        let is_end = tag.starts_with('/');
        depth = depth.saturating_sub(is_end.into());
        out.push_str(text);
        let stays = out.is_empty() || is_end && is_leaf;
        if !stays {
            break_line(&mut out, depth);
        }
        out.extend(["<", tag, ">"]);
        is_leaf = !is_end && !tag.starts_with('?') && !tag.ends_with('/');
        depth += usize::from(is_leaf);
        rest = behind;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_of_json_has_a_line() {
        let body = r#"{"a":"x\"{,:\\","b":[],"c":[{"d":1}],"e":{}}"#;
        let expected = "{\n  \"a\": \"x\\\"{,:\\\\\",\n  \"b\": [],\n  \"c\": [\n    {\n      \"d\": 1\n    }\n  ],\n  \"e\": {}\n}";
        assert_eq!(laid_out(body, Format::Json), expected);
    }

    #[test]
    fn each_element_of_xml_has_a_line() {
        let body = r#"<?xml version="1.0"?><A xmlns="u"><B>x &gt; y</B><C i:nil="true" /><D></D><E><F>1</F></E></A>"#;
        let expected = "<?xml version=\"1.0\"?>\n<A xmlns=\"u\">\n  <B>x &gt; y</B>\n  <C i:nil=\"true\" />\n  <D></D>\n  <E>\n    <F>1</F>\n  </E>\n</A>";
        assert_eq!(laid_out(body, Format::Xml), expected);
    }

    #[test]
    fn formats_with_significant_white_space_are_unchanged() {
        for format in [Format::Jsv, Format::Csv, Format::Ndjson] {
            assert_eq!(laid_out("{a:[1]}", format), "{a:[1]}");
        }
    }
}
