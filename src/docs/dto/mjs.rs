//! Writes JavaScript DTOs: a module that needs no compiler. Types are comments, which editors read.

use super::typescript::kind;
use super::{Dto, comment, line};
use crate::contract::types::Member;

pub(super) fn source(note: &str, dtos: &[Dto]) -> String {
    let classes: String = dtos.iter().map(class).collect();
    format!("// {}\n{classes}", line(note))
}

fn class(dto: &Dto) -> String {
    let (name, text) = (dto.name, comment(dto.text));
    let members: String = dto.members.iter().map(|member| field(member)).collect();
    let (route, methods) = match dto.operation {
        None => (String::new(), String::new()),
        Some(operation) => {
            let returns = operation.returns();
            let response = returns.map_or("{}".to_owned(), |of| {
                format!("{{ return new {}(); }}", of.name)
            });
            (
                format!(
                    "// @Route(\"{}\", \"{}\")\n",
                    operation.path, operation.method
                ),
                format!(
                    "    getTypeName() {{ return '{name}'; }}
    getMethod() {{ return '{}'; }}
    createResponse() {response}\n",
                    operation.method
                ),
            )
        }
    };
    format!(
        "\n{text}\n{route}export class {name} {{\n{members}
    /** @param {{Partial<{name}>}} [init] */
    constructor(init) {{ Object.assign(this, init); }}\n{methods}}}\n"
    )
}

fn field(member: &Member) -> String {
    let optional = if member.is_required {
        ""
    } else {
        " | undefined"
    };
    let text = comment(member.text);
    // The `@type` tag is on its own line, so that the description cannot be parsed as part of the
    // tag.
    let text = text.trim_end_matches(" */");
    format!(
        "    {text}\n     * @type {{{}{optional}}} */\n    {};\n",
        kind(member.kind),
        member.name
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Language, included, source};

    #[test]
    fn the_module_has_jsdoc_types_and_the_methods_that_the_client_calls() {
        let operations = included("ListBillables").expect("a known name");
        let source = source(Language::Mjs, &operations, "");
        for part in [
            "// @Route(\"/billables\", \"GET\")\nexport class ListBillables {\n",
            "    /** The billables, newest first\n     * @type {Billable[]} */\n    items;\n",
            "@type {'billable' | 'unattributed' | 'voided' | undefined} */\n    state;\n",
            "    /** @param {Partial<ListBillables>} [init] */\n    constructor(init) { Object.assign(this, init); }\n",
            "    getTypeName() { return 'ListBillables'; }\n    getMethod() { return 'GET'; }\n",
            "    createResponse() { return new ListOfBillable(); }\n",
        ] {
            assert!(source.contains(part), "{part} in {source}");
        }
    }
}
