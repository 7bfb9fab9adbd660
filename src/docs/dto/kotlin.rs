//! Writes Kotlin DTOs for the Java client.

use super::{Dto, comment, line, type_name};
use crate::contract::types::Member;

pub(super) fn source(note: &str, dtos: &[Dto]) -> String {
    let classes: String = dtos.iter().map(class).collect();
    format!(
        "// {}\n\nimport java.util.*\nimport net.servicestack.client.*\n{classes}",
        line(note)
    )
}

fn class(dto: &Dto) -> String {
    let (name, text) = (dto.name, comment(dto.text));
    let interfaces = dto.interfaces(" : ", ["<", ">"]);
    let route = dto.operation.map_or(String::new(), |operation| {
        format!(
            "@Route(Path=\"{}\", Verbs=\"{}\")\n",
            operation.path, operation.method
        )
    });
    let members: String = dto.members.iter().map(|member| property(member)).collect();
    let returns = dto.operation.and_then(|operation| operation.returns());
    let response = returns.map_or(String::new(), |of| {
        format!(
            "\n    companion object {{ private val responseType = {}::class.java }}
    override fun getResponseType(): Any? = {name}.responseType\n",
            of.name
        )
    });
    format!("\n{text}\n{route}open class {name}{interfaces} {{\n{members}{response}}}\n")
}

fn property(member: &Member) -> String {
    let kind = type_name(member.kind, ["String", "Long", "Boolean"], |item| {
        format!("ArrayList<{item}>")
    });
    let text = comment(member.text);
    format!("    {text}\n    open var {}:{kind}? = null\n", member.name)
}

#[cfg(test)]
mod tests {
    use super::super::{Language, included, source};

    #[test]
    fn kotlin_source_has_properties_and_the_response_type() {
        let operations = included("NewBillable,GetBillable").expect("known names");
        let source = source(Language::Kotlin, &operations, "");
        for part in [
            "import net.servicestack.client.*\n",
            "@Route(Path=\"/billables\", Verbs=\"POST\")\nopen class NewBillable : IReturnVoid, IPost {\n",
            "    /** The account to bill */\n    open var accountId:String? = null\n",
            "    open var replayed:Boolean? = null\n",
            "open class GetBillable : IReturn<Billable>, IGet {\n",
            "    companion object { private val responseType = Billable::class.java }\n",
            "    override fun getResponseType(): Any? = GetBillable.responseType\n",
        ] {
            assert!(source.contains(part), "{part} in {source}");
        }
    }
}
