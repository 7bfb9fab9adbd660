//! Rows that are bound to a statement as one table, so that one statement takes any number of them.
//!
//! PostgreSQL takes an array for each column. SQLite has no arrays, and takes one JSON text.

use uuid::Uuid;
use uuid::fmt::Simple;

/// The values of a column, or a list.
#[derive(Clone, Debug)]
pub enum Column<'a> {
    Booleans(Vec<bool>),
    Integers(Vec<i32>),
    Bigints(Vec<Option<i64>>),
    Texts(Vec<Option<&'a str>>),
    Ids(Vec<Uuid>),
}

impl<'a> Column<'a> {
    pub(super) fn bigints(values: impl IntoIterator<Item = i64>) -> Self {
        Self::Bigints(values.into_iter().map(Some).collect())
    }

    pub(super) fn texts(values: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Texts(values.into_iter().map(Some).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Booleans(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Bigints(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Ids(values) => values.len(),
        }
    }

    /// Writes a value of the column as JSON; an id as text in hexadecimal digits.
    fn write_json(&self, index: usize, json: &mut Vec<u8>) {
        let written = match self {
            Self::Booleans(values) => serde_json::to_writer(json, &values[index]),
            Self::Integers(values) => serde_json::to_writer(json, &values[index]),
            Self::Bigints(values) => serde_json::to_writer(json, &values[index]),
            Self::Texts(values) => serde_json::to_writer(json, &values[index]),
            Self::Ids(values) => {
                let mut digits = [0; Simple::LENGTH];
                serde_json::to_writer(json, values[index].as_simple().encode_lower(&mut digits))
            }
        };
        written.expect("memory can be written to");
    }

    /// Returns the values as a JSON array.
    pub(super) fn json(&self) -> String {
        array(self.len(), |index, json| self.write_json(index, json))
    }
}

/// Columns of the same length, with their names.
#[derive(Clone, Debug)]
pub struct Table<'a>(pub(super) Vec<(&'static str, Column<'a>)>);

impl Table<'_> {
    /// Checks that every column has a value for each row: PostgreSQL would fill up the others.
    pub(super) fn assert_even(&self) {
        let mut lengths = self.0.iter().map(|(_, column)| column.len());
        let rows = lengths.next().unwrap_or_default();
        assert!(lengths.all(|length| length == rows), "columns of a length");
    }

    /// Returns the rows as a JSON array of arrays.
    pub(super) fn json(&self) -> String {
        self.assert_even();
        let Self(columns) = self;
        let rows = columns.first().map_or(0, |(_, column)| column.len());
        array(rows, |row, json| {
            json.push(b'[');
            for (index, (_, column)) in columns.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                column.write_json(row, json);
            }
            json.push(b']');
        })
    }
}

fn array(length: usize, mut write: impl FnMut(usize, &mut Vec<u8>)) -> String {
    let mut json = vec![b'['];
    for index in 0..length {
        if index > 0 {
            json.push(b',');
        }
        write(index, &mut json);
    }
    json.push(b']');
    String::from_utf8(json).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_an_array_of_rows_in_json() {
        let table = Table(vec![
            ("id", Column::Ids(vec![Uuid::nil(), Uuid::max()])),
            ("number", Column::Bigints(vec![Some(i64::MIN), None])),
            ("text", Column::texts(["a\"\\\n\u{1}\u{7f}é", ""])),
            ("is_set", Column::Booleans(vec![true, false])),
        ]);
        assert_eq!(
            table.json(),
            r#"[["00000000000000000000000000000000",-9223372036854775808,"a\"\\\n\u0001é",true],["ffffffffffffffffffffffffffffffff",null,"",false]]"#
                .replace("\\u0001", "\\u0001\u{7f}")
        );
        assert_eq!(Column::Integers(vec![1, -2]).json(), "[1,-2]");
        assert_eq!(Table(Vec::new()).json(), "[]");
    }
}
