//! Writes TypeScript DTOs.

use super::{Dto, comment, line, quoted, type_name};
use crate::contract::types::{Member, MemberKind};

/// The interfaces and their bodies.
const INTERFACES: [(&str, &str); 6] = [
    ("IReturn<T>", "{ createResponse(): T; }"),
    ("IReturnVoid", "{ createResponse(): void; }"),
    ("IGet", "{}"),
    ("IPost", "{}"),
    ("IPut", "{}"),
    ("IDelete", "{}"),
];

pub(super) fn source(note: &str, dtos: &[Dto]) -> String {
    let classes: String = dtos.iter().map(class).collect();
    let interfaces: String = INTERFACES
        .iter()
        .filter(|(name, _)| classes.contains(&name.replace("<T>", "<")))
        .map(|(name, has)| format!("export interface {name} {has}\n"))
        .collect();
    format!("// {}\n\n{interfaces}{classes}", line(note))
}

fn class(dto: &Dto) -> String {
    let (name, text) = (dto.name, comment(dto.text));
    let interfaces = dto.interfaces(" implements ", ["<", ">"]);
    let members: String = dto.members.iter().map(|member| field(member)).collect();
    let (route, methods) = match dto.operation {
        None => (String::new(), String::new()),
        Some(operation) => (
            format!(
                "// @Route(\"{}\", \"{}\")\n",
                operation.path, operation.method
            ),
            methods(
                name,
                operation.method.as_str(),
                operation.returns().map(|of| of.name),
            ),
        ),
    };
    format!(
        "\n{text}\n{route}export class {name}{interfaces} {{\n{members}
    public constructor(init?: Partial<{name}>) {{ (Object as any).assign(this, init); }}\n{methods}}}\n"
    )
}

fn field(member: &Member) -> String {
    let mark = if member.is_required { '!' } else { '?' };
    let kind = kind(member.kind);
    format!(
        "    {}\n    public {}{mark}: {kind};\n",
        comment(member.text),
        member.name
    )
}

fn methods(name: &str, method: &str, returns: Option<&str>) -> String {
    let response = returns.map_or("{}".to_owned(), |of| format!("{{ return new {of}(); }}"));
    format!(
        "    public getTypeName() {{ return '{name}'; }}
    public getMethod() {{ return '{method}'; }}
    public createResponse() {response}\n"
    )
}

/// The type of a value, also used in the comments of the JavaScript module.
pub(super) fn kind(kind: MemberKind) -> String {
    match kind {
        MemberKind::Choice(words) => {
            let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            words.join(" | ")
        }
        other => type_name(other, ["string", "number", "boolean"], |item| {
            format!("{item}[]")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Language, included, source};
    use crate::contract::Operation;

    fn typescript(name: &str) -> String {
        let operations: Vec<&Operation> = included(name).expect("a known name");
        source(Language::TypeScript, &operations, "")
    }

    #[test]
    fn an_operation_without_a_response_implements_i_return_void() {
        let source = typescript("NewBillable");
        for part in [
            "// The DTOs of Billables, from /types/typescript.\n",
            "export interface IReturnVoid { createResponse(): void; }\nexport interface IPost {}\n",
            "// @Route(\"/billables\", \"POST\")\nexport class NewBillable implements IReturnVoid, IPost {\n",
            "    /** The account to bill */\n    public accountId?: string;\n",
            "    public constructor(init?: Partial<NewBillable>) { (Object as any).assign(this, init); }\n",
            "    public getTypeName() { return 'NewBillable'; }\n",
            "    public getMethod() { return 'POST'; }\n",
            "    public createResponse() {}\n}\n",
        ] {
            assert!(source.contains(part), "{part} in {source}");
        }
        assert!(!source.contains("IGet") && !source.contains("class Billable"));
    }

    #[test]
    fn create_response_returns_the_response_type() {
        let source = typescript("ListBillables");
        for part in [
            "export class ListBillables implements IReturn<ListOfBillable>, IGet {\n",
            "    public createResponse() { return new ListOfBillable(); }\n",
            "    public items!: Billable[];\n",
            "    public state!: 'billable' | 'unattributed' | 'voided';\n",
            "    public limit?: number;\n",
        ] {
            assert!(source.contains(part), "{part} in {source}");
        }
    }
}
