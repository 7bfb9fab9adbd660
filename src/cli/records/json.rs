//! Finds the JSON values of a file one at a time: the items of an array, or values one after the
//! other, over as many lines as they have.

use std::ops::Range;

/// Splits JSON into values. It only finds where each one ends, and does not check it.
#[derive(Debug)]
pub(super) struct Values {
    state: State,
    /// Whether the file is one array, whose items are the values.
    is_array: bool,
    /// The number of objects and arrays around the next byte.
    depth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the bracket that opens the array.
    Start,
    /// Between two values.
    Between,
    /// In a number, a literal or something that is not JSON.
    Scalar,
    Nested,
    Quoted,
    /// After a backslash in a string.
    Escaped,
}

impl Values {
    pub(super) fn new(is_array: bool) -> Self {
        let state = if is_array {
            State::Start
        } else {
            State::Between
        };
        Self {
            state,
            is_array,
            depth: 0,
        }
    }

    /// Whether the array that the file is was opened and not closed.
    pub(super) fn is_open(&self) -> bool {
        self.is_array && self.state != State::Start
    }

    /// Consumes bytes up to the end of the next value, or all of them. Returns which of them belong
    /// to the value, how many it consumed, and whether the value has ended.
    pub(super) fn push(&mut self, input: &[u8]) -> (Range<usize>, usize, bool) {
        let mut start = match self.state {
            State::Start | State::Between => input.len(),
            _ => 0,
        };
        for (at, byte) in input.iter().enumerate() {
            match (self.state, byte) {
                (State::Start, b'[') => self.state = State::Between,
                (State::Between, b']') if self.is_array => self.is_array = false,
                (State::Between, b',') => {}
                (State::Start | State::Between, byte) if byte.is_ascii_whitespace() => {}
                (State::Start | State::Between, byte) => {
                    start = at;
                    self.state = match byte {
                        b'{' | b'[' => State::Nested,
                        b'"' => State::Quoted,
                        _ => State::Scalar,
                    };
                    self.depth = usize::from(self.state == State::Nested);
                }
                (State::Scalar, b',' | b']') if self.is_array => return self.end(start, at),
                (State::Scalar, byte) if byte.is_ascii_whitespace() => return self.end(start, at),
                (State::Scalar, _) => {}
                (State::Nested, b'"') => self.state = State::Quoted,
                (State::Nested, b'{' | b'[') => self.depth += 1,
                (State::Nested, b'}' | b']') => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return self.end(start, at + 1);
                    }
                }
                (State::Nested, _) => {}
                (State::Quoted, b'\\') => self.state = State::Escaped,
                (State::Quoted, b'"') if self.depth == 0 => return self.end(start, at + 1),
                (State::Quoted, b'"') => self.state = State::Nested,
                (State::Quoted, _) => {}
                (State::Escaped, _) => self.state = State::Quoted,
            }
        }
        (start..input.len(), input.len(), false)
    }

    fn end(&mut self, start: usize, end: usize) -> (Range<usize>, usize, bool) {
        self.state = State::Between;
        (start..end, end, true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values(text: &str, is_array: bool, part: usize) -> Vec<String> {
        let (mut values, mut found, mut value) = (Values::new(is_array), Vec::new(), Vec::new());
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let here = &rest[..part.min(rest.len())];
            let (range, taken, has_ended) = values.push(here);
            value.extend_from_slice(&here[range]);
            rest = &rest[taken..];
            if has_ended || (rest.is_empty() && !value.is_empty()) {
                found.push(String::from_utf8(std::mem::take(&mut value)).expect("UTF-8"));
            }
        }
        found
    }

    #[test]
    fn each_value_is_found_wherever_it_ends() {
        let items = r#" [ {"a":"}]\"{"} , [1,[2]],3 ,"x,]\\",true]"#;
        let expected = [r#"{"a":"}]\"{"}"#, "[1,[2]]", "3", r#""x,]\\""#, "true"];
        let several = "{\n  \"a\": 1\n}\n{\"a\":2}3 \n4";
        for part in [1, 2, 100] {
            assert_eq!(values(items, true, part), expected);
            let found = values(several, false, part);
            assert_eq!(found, ["{\n  \"a\": 1\n}", "{\"a\":2}", "3", "4"]);
            assert_eq!(values("[{\"a\":1", true, part), ["{\"a\":1"]);
            assert_eq!(values("[1] x", true, part), ["1", "x"]);
        }
    }

    proptest! {
        #[test]
        fn the_items_of_an_array_come_out_as_they_are(
            texts in prop::collection::vec("[]\\[{},:\"\\\\a ]{0,6}", 0..5),
            is_pretty: bool,
            part in 1..9_usize,
        ) {
            let items: Vec<_> = texts.iter().map(|text| json!({text: [text, 1, null]})).collect();
            let array = json!(items);
            let text = if is_pretty { format!("{array:#}") } else { array.to_string() };
            let found: Vec<serde_json::Value> = values(&text, true, part)
                .iter()
                .map(|value| serde_json::from_str(value).expect("JSON"))
                .collect();
            prop_assert_eq!(found, items);
        }
    }
}
