//! Writes Python DTOs for dataclasses_json, which the client uses to read and write.

use super::{Dto, line, type_name};
use crate::contract::types::Member;

/// Keywords, which cannot be names.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

const IMPORTS: &str = "\
from dataclasses import dataclass, field
from typing import List, Optional

from dataclasses_json import LetterCase, Undefined, config, dataclass_json
from servicestack import IDelete, IGet, IPost, IPut, IReturn, IReturnVoid
";

pub(super) fn source(note: &str, dtos: &[Dto]) -> String {
    let classes: String = dtos.iter().map(class).collect();
    format!("# {}\n\n{IMPORTS}{classes}", line(note))
}

/// The base classes tell the client what is returned.
fn class(dto: &Dto) -> String {
    let bases = match dto.interfaces("", ["[", "]"]) {
        bases if bases.is_empty() => bases,
        bases => format!("({bases})"),
    };
    let route = dto.operation.map_or(String::new(), |operation| {
        format!(
            "# @Route(\"{}\", \"{}\")\n",
            operation.path, operation.method
        )
    });
    let members: String = dto.members.iter().map(|member| field(member)).collect();
    let text = line(dto.text).replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "\n\n{route}@dataclass_json(letter_case=LetterCase.CAMEL, undefined=Undefined.EXCLUDE)
@dataclass\nclass {}{bases}:\n    \"\"\"{text}\"\"\"\n\n{members}",
        dto.name
    )
}

fn field(member: &Member) -> String {
    let kind = type_name(member.kind, ["str", "int", "bool"], |item| {
        format!("List[{item}]")
    });
    let (text, name) = (line(member.text), snake(member.name));
    if KEYWORDS.contains(&name.as_str()) {
        return format!(
            "    # {text}\n    {name}_: Optional[{kind}] = field(metadata=config(field_name=\"{name}\"), default=None)\n"
        );
    }
    format!("    # {text}\n    {name}: Optional[{kind}] = None\n")
}

/// Converts `accountId` to `account_id`.
fn snake(name: &str) -> String {
    name.chars().fold(String::new(), |mut snake, c| {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        snake
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Language, included, source};

    #[test]
    fn python_source_has_dataclasses_whose_bases_are_the_interfaces() {
        let operations = included("NewBillable,ListBillables").expect("known names");
        let source = source(Language::Python, &operations, "");
        for part in [
            "@dataclass\nclass Billable:\n",
            "@dataclass\nclass NewBillable(IReturnVoid, IPost):\n    \"\"\"Report/create a new billable\"\"\"\n",
            "class ListBillables(IReturn[ListOfBillable], IGet):\n",
            "    # The account to bill\n    account_id: Optional[str] = None\n",
            "    items: Optional[List[Billable]] = None\n",
            "    limit: Optional[int] = None\n",
            "    from_: Optional[str] = field(metadata=config(field_name=\"from\"), default=None)\n",
        ] {
            assert!(source.contains(part), "{part} in {source}");
        }
        assert!(!source.contains(" from:"));
    }
}
