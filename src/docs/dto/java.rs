//! Writes Java DTOs: a file `dtos.java` with classes that have getters and chainable setters.

use super::{Dto, comment, line, pascal, type_name};
use crate::contract::types::Member;

pub(super) fn source(note: &str, dtos: &[Dto]) -> String {
    let classes: Vec<_> = dtos.iter().map(class).collect();
    format!(
        "// {}\n\nimport java.util.*;\nimport net.servicestack.client.*;\n\npublic class dtos {{\n{}}}\n",
        line(note),
        classes.join("\n")
    )
}

fn class(dto: &Dto) -> String {
    let (name, text) = (dto.name, comment(dto.text));
    let interfaces = dto.interfaces(" implements ", ["<", ">"]);
    let route = dto.operation.map_or(String::new(), |operation| {
        format!(
            "    @Route(Path=\"{}\", Verbs=\"{}\")\n",
            operation.path, operation.method
        )
    });
    let fields: String = dto.members.iter().map(|member| field(member)).collect();
    let accessors: String = dto
        .members
        .iter()
        .map(|member| accessors(name, member))
        .collect();
    let returns = dto.operation.and_then(|operation| operation.returns());
    let response = returns.map_or(String::new(), |of| {
        format!(
            "        private static Object responseType = {}.class;
        public Object getResponseType() {{ return responseType; }}\n",
            of.name
        )
    });
    format!(
        "    {text}\n{route}    public static class {name}{interfaces} {{\n{fields}\n{accessors}{response}    }}\n"
    )
}

fn kind(member: &Member) -> String {
    type_name(member.kind, ["String", "Long", "Boolean"], |item| {
        format!("ArrayList<{item}>")
    })
}

fn field(member: &Member) -> String {
    let (text, kind, name) = (comment(member.text), kind(member), member.name);
    format!("        {text}\n        public {kind} {name} = null;\n")
}

fn accessors(class: &str, member: &Member) -> String {
    let (kind, name, pascal) = (kind(member), member.name, pascal(member.name));
    format!(
        "        public {kind} get{pascal}() {{ return {name}; }}
        public {class} set{pascal}({kind} value) {{ this.{name} = value; return this; }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Language, included, source};

    #[test]
    fn java_source_has_accessors_and_the_response_type() {
        let operations = included("NewBillable,ListBillables").expect("known names");
        let source = source(Language::Java, &operations, "");
        for part in [
            "import net.servicestack.client.*;\n\npublic class dtos {\n",
            "    @Route(Path=\"/billables\", Verbs=\"POST\")\n    public static class NewBillable implements IReturnVoid, IPost {\n",
            "    public static class ListBillables implements IReturn<ListOfBillable>, IGet {\n",
            "        public ArrayList<Billable> items = null;\n",
            "        public String getAccountId() { return accountId; }\n",
            "        public ListBillables setLimit(Long value) { this.limit = value; return this; }\n",
            "        private static Object responseType = ListOfBillable.class;\n        public Object getResponseType() { return responseType; }\n",
        ] {
            assert!(source.contains(part), "{part} in {source}");
        }
    }
}
