//! Writes C# DTOs. The namespace is that of the XML elements.

use super::{Dto, line, literal, pascal, type_name};
use crate::contract::types::Member;
use crate::contract::{Operation, types::Location};

pub(super) fn source(note: &str, dtos: &[Dto]) -> String {
    let classes: Vec<_> = dtos.iter().map(class).collect();
    format!(
        "// {}\n\nusing System.Collections.Generic;\nusing ServiceStack;\n
namespace Voice.Api.Billing\n{{\n{}}}\n",
        line(note),
        classes.join("\n")
    )
}

fn class(dto: &Dto) -> String {
    let (name, text) = (dto.name, summary(dto.text));
    let interfaces = dto.interfaces(" : ", ["<", ">"]);
    let route = dto.operation.map_or(String::new(), route);
    let members: Vec<_> = dto.members.iter().map(|member| property(member)).collect();
    format!(
        "    /// <summary>{text}</summary>\n{route}    public partial class {name}{interfaces}\n    {{\n{}    }}\n",
        members.join("\n")
    )
}

/// The route, with its parameters named like the properties.
fn route(operation: &Operation) -> String {
    let in_path = operation
        .fields()
        .filter(|field| field.location == Location::Path);
    let path = in_path.fold(operation.path.to_owned(), |path, field| {
        path.replace(
            &format!("{{{}}}", field.name),
            &format!("{{{}}}", pascal(field.name)),
        )
    });
    format!("    [Route(\"{path}\", \"{}\")]\n", operation.method)
}

fn property(member: &Member) -> String {
    let scalars = if member.is_required {
        ["string", "long", "bool"]
    } else {
        ["string", "long?", "bool?"]
    };
    let kind = type_name(member.kind, scalars, |item| format!("List<{item}>"));
    let required = if member.is_required {
        ", IsRequired=true"
    } else {
        ""
    };
    format!(
        "        [ApiMember(Description={}{required})]\n        public virtual {kind} {} {{ get; set; }}\n",
        literal(member.text),
        pascal(member.name)
    )
}

/// Escapes a text for a comment, which is XML.
fn summary(text: &str) -> String {
    line(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::{Language, included, source};

    #[test]
    fn csharp_source_has_attributes_properties_and_the_xml_namespace() {
        let operations = included("VoidBillable,ReadLog").expect("known names");
        let source = source(Language::CSharp, &operations, "");
        for part in [
            "namespace Voice.Api.Billing\n{\n",
            "    [Route(\"/billables/{Id}/void\", \"POST\")]\n    public partial class VoidBillable : IReturn<Billable>, IPost\n",
            "        [ApiMember(Description=\"Why the billable is voided\")]\n        public virtual string Reason { get; set; }\n",
            "        public virtual List<LogEntry> Items { get; set; }\n",
            "        public virtual long? Position { get; set; }\n",
            "        [ApiMember(Description=\"The billable's id\", IsRequired=true)]\n        public virtual string Id { get; set; }\n",
        ] {
            assert!(source.contains(part), "{part} in {source}");
        }
    }
}
