//! DTOs: the operations and the types that they return, as source code for clients. Each language
//! has its own file; shared code is here.

mod csharp;
mod curl;
mod java;
mod kotlin;
mod mjs;
mod python;
mod typescript;

use crate::contract::Operation;
use crate::contract::operations::LANGUAGES;
use crate::contract::types::{Member, MemberKind, Type};

/// A programming language of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// TypeScript, for the npm package `@servicestack/client`.
    TypeScript,
    /// JavaScript, as a module that needs no compiler.
    Mjs,
    CSharp,
    /// Python, for the PyPI package `servicestack`.
    Python,
    Java,
    Kotlin,
    /// Shell commands, which need no DTO.
    Curl,
}

impl Language {
    pub const ALL: [Self; 7] = [
        Self::TypeScript,
        Self::Mjs,
        Self::CSharp,
        Self::Python,
        Self::Java,
        Self::Kotlin,
        Self::Curl,
    ];

    /// The name in `/types/NAME`.
    pub fn name(self) -> &'static str {
        LANGUAGES[self as usize]
    }

    /// Finds a language by its name, ignoring case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.name().eq_ignore_ascii_case(name))
    }

    /// The display name.
    pub fn title(self) -> &'static str {
        match self {
            Self::TypeScript => "TypeScript",
            Self::Mjs => "JavaScript module",
            Self::CSharp => "C#",
            Self::Python => "Python",
            Self::Java => "Java",
            Self::Kotlin => "Kotlin",
            Self::Curl => "curl",
        }
    }

    /// The media type of the generated source. Browsers import only modules that have a JavaScript
    /// media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Mjs => "text/javascript; charset=utf-8",
            Self::TypeScript
            | Self::CSharp
            | Self::Python
            | Self::Java
            | Self::Kotlin
            | Self::Curl => "text/plain; charset=utf-8",
        }
    }
}

/// Returns the source of these operations and of the types that they refer to. Each type appears
/// once, before everything that refers to it.
///
/// `base_url` is the address of the service in curl commands.
pub fn source(language: Language, operations: &[&Operation], base_url: &str) -> String {
    let (dtos, note) = (
        Dto::of(operations),
        format!("The DTOs of Billables, from /types/{}.", language.name()),
    );
    match language {
        Language::TypeScript => typescript::source(&note, &dtos),
        Language::Mjs => mjs::source(&note, &dtos),
        Language::CSharp => csharp::source(&note, &dtos),
        Language::Python => python::source(&note, &dtos),
        Language::Java => java::source(&note, &dtos),
        Language::Kotlin => kotlin::source(&note, &dtos),
        Language::Curl => curl::source(operations, base_url),
    }
}

/// Returns the operations named in a list such as `NewBillable,GetBilling.*`. An empty list selects
/// all operations.
///
/// They are in the order of the documentation. `.*` asks for the types of an operation, which are
/// always included.
///
/// # Errors
/// A name is unknown; the message contains it.
pub fn included(list: &str) -> Result<Vec<&'static Operation>, String> {
    let names: Vec<_> = list
        .split(',')
        .map(|name| name.trim().trim_end_matches(".*"))
        .filter(|name| !name.is_empty())
        .collect();
    let is = |operation: &Operation, name: &str| operation.name.eq_ignore_ascii_case(name);
    let unknown = names
        .iter()
        .find(|name| !Operation::messages().any(|operation| is(operation, name)));
    if let Some(name) = unknown {
        return Err(format!("no operation named {name} has a DTO"));
    }
    Ok(Operation::messages()
        .filter(|operation| names.is_empty() || names.iter().any(|name| is(operation, name)))
        .collect())
}

/// A class of the source.
struct Dto<'a> {
    name: &'static str,
    text: &'static str,
    members: Vec<&'static Member>,
    /// The operation, unless this is a plain type.
    operation: Option<&'a Operation>,
}

impl<'a> Dto<'a> {
    fn of(operations: &[&'a Operation]) -> Vec<Self> {
        let mut types = Vec::new();
        for operation in operations {
            operation
                .returns()
                .into_iter()
                .for_each(|of| collect(of, &mut types));
            collect_from(operation.fields(), &mut types);
        }
        let types = types.into_iter().map(|of| Self {
            name: of.name,
            text: of.text,
            members: of.members.iter().collect(),
            operation: None,
        });
        let operations = operations.iter().map(|operation| Self {
            name: operation.name,
            text: operation.summary,
            members: operation.fields().collect(),
            operation: Some(operation),
        });
        types.chain(operations).collect()
    }

    /// Returns `prefix` followed by the class's interfaces: one for the response type and one for
    /// the HTTP method.
    fn interfaces(&self, prefix: &str, [open, close]: [&str; 2]) -> String {
        let Some(operation) = self.operation else {
            return String::new();
        };
        let verb = pascal(&operation.method.as_str().to_ascii_lowercase());
        match operation.returns() {
            Some(of) => format!("{prefix}IReturn{open}{}{close}, I{verb}", of.name),
            None => format!("{prefix}IReturnVoid, I{verb}"),
        }
    }
}

/// Appends a type after the types of its members.
fn collect(of: &'static Type, types: &mut Vec<&'static Type>) {
    if types.iter().all(|known| known.name != of.name) {
        collect_from(of.members.iter(), types);
        types.push(of);
    }
}

fn collect_from(members: impl Iterator<Item = &'static Member>, types: &mut Vec<&'static Type>) {
    for member in members {
        if let MemberKind::List(item) = member.kind {
            collect(item, types);
        }
    }
}

/// Returns the name of a member's type. Timestamps and dates are strings in every language: the
/// clients' own types would lose microseconds and write other formats.
fn type_name(
    kind: MemberKind,
    [text, number, bool]: [&str; 3],
    list: fn(&str) -> String,
) -> String {
    match kind {
        MemberKind::Number(..) => number.to_owned(),
        MemberKind::Bool => bool.to_owned(),
        MemberKind::Texts(_) | MemberKind::Ids(_) => list(text),
        MemberKind::List(of) => list(of.name),
        MemberKind::Text
        | MemberKind::String
        | MemberKind::Id
        | MemberKind::Timestamp
        | MemberKind::Date
        | MemberKind::Choice(_) => text.to_owned(),
    }
}

/// Converts `accountId` to `AccountId`.
fn pascal(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Puts a text on one line, replacing every character that any language treats as a line end.
fn line(text: &str) -> String {
    text.replace(
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'),
        " ",
    )
}

/// Writes a text as a comment and escapes everything that could end the comment early. Comments
/// nest in Kotlin. Java decodes `\u` in comments.
fn comment(text: &str) -> String {
    let text = line(text)
        .replace("*/", "* /")
        .replace("/*", "/ *")
        .replace("\\u", "\\ u");
    format!("/** {text} */")
}

/// Writes a text in double quotes, as C#, Java and Kotlin read it.
fn literal(text: &str) -> String {
    serde_json::Value::from(line(text)).to_string()
}

/// Writes a text in single quotes, as JavaScript reads it.
fn quoted(text: &str) -> String {
    let text = line(text).replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::types::{always, maybe};

    /// A text that tries to break out of its comment or string in every language.
    const HOSTILE: &str =
        "*/ /**//*/ */* \"\"\" ''' `$x ${x} \\u002a\\ \\\" </summary>&\r\n\u{85}\u{2028}x = 1;\\";
    static ODD: Type = Type {
        name: "Odd",
        text: HOSTILE,
        members: &[
            always("state", MemberKind::Choice(&["it's\\"]), "", HOSTILE),
            maybe("count", MemberKind::Number(0, 1), "", HOSTILE),
        ],
    };

    fn odd() -> Vec<Dto<'static>> {
        vec![Dto {
            name: ODD.name,
            text: ODD.text,
            members: ODD.members.iter().collect(),
            operation: None,
        }]
    }

    #[test]
    fn languages_are_found_by_their_names() {
        assert_eq!(Language::ALL.map(Language::name), LANGUAGES);
        for language in Language::ALL {
            let name = language.name().to_uppercase();
            assert_eq!(Language::from_name(&name), Some(language));
        }
        assert_eq!(Language::CSharp.name(), "csharp");
        assert_eq!(Language::Curl.name(), "curl");
        assert_eq!(Language::from_name("cobol"), None);
    }

    #[test]
    fn operation_names_match_in_any_case_with_or_without_the_suffix() {
        let names = |list| -> Vec<_> {
            let operations = included(list).expect("known names");
            operations.iter().map(|operation| operation.name).collect()
        };
        assert_eq!(
            names(" getbilling.* ,, NEWBILLABLE"),
            ["NewBillable", "GetBilling"]
        );
        assert_eq!(names(" , ").len(), Operation::messages().count());
        for unknown in ["GetBillings", "GetLivez", "GetBilling.*x"] {
            let error = included(&format!("NewBillable,{unknown}")).expect_err("an error");
            assert!(error.contains(unknown), "{error}");
        }
    }

    #[test]
    fn every_type_appears_once_before_anything_that_refers_to_it() {
        let operations: Vec<_> = Operation::messages().collect();
        let names: Vec<_> = Dto::of(&operations).iter().map(|dto| dto.name).collect();
        let at = |name| {
            let mut found = names
                .iter()
                .enumerate()
                .filter(|(_, known)| **known == name);
            let (at, _) = found.next().expect(name);
            assert!(found.next().is_none(), "{name}");
            at
        };
        assert!(at("Billable") < at("ListOfBillable"));
        assert!(at("ListOfBillable") < at("ListBillables"));
        assert!(at("BillingCustomerInfo") < at("BillingInfo"));
        assert_eq!(names.len(), 22 + operations.len());
        let session = included("GetSession").expect("a known name");
        let names: Vec<_> = Dto::of(&session).iter().map(|dto| dto.name).collect();
        assert_eq!(names, ["Session", "GetSession"]);
    }

    #[test]
    fn every_language_has_every_class_with_every_member() {
        let operations: Vec<_> = Operation::messages().collect();
        for language in Language::ALL.into_iter().filter(|l| *l != Language::Curl) {
            let source = source(language, &operations, "");
            assert!(source.contains(&format!("/types/{}", language.name())));
            let has_header_member = source.to_lowercase().contains("prefer");
            assert!(!has_header_member, "headers are not members");
            for dto in Dto::of(&operations) {
                assert!(
                    source.contains(&format!("class {}", dto.name)),
                    "{}",
                    dto.name
                );
            }
        }
    }

    #[test]
    fn no_member_name_is_reserved_in_java_or_kotlin_or_equals_its_class_name() {
        let reserved = "abstract as assert boolean break byte case catch char class const \
            continue default do double else enum extends false final finally float for fun goto \
            if implements import in instanceof int interface is long native new null object \
            package private protected public responseType return short static super switch \
            synchronized this throw throws transient true try typealias typeof val var void \
            volatile when while";
        let operations: Vec<_> = Operation::messages().collect();
        for dto in Dto::of(&operations) {
            for member in &dto.members {
                assert!(!reserved.split(' ').any(|word| word == member.name));
                assert_ne!(pascal(member.name), dto.name);
            }
        }
    }

    #[test]
    fn no_text_ends_its_comment_or_string_early() {
        let one_line = |text: &str| {
            text.lines()
                .all(|line| !line.contains(['\u{85}', '\u{2028}']))
        };
        for text in [
            typescript::source("", &odd()),
            mjs::source("", &odd()).replace("/** @param {Partial<Odd>} [init] */", ""),
            java::source("", &odd()),
            kotlin::source("", &odd()),
        ] {
            // One comment of the class and two of its members.
            assert_eq!(text.matches("*/").count(), 3, "{text}");
            assert_eq!(text.matches("/*").count(), 3, "{text}");
            assert!(!text.contains("\\u"), "{text}");
            assert!(one_line(&text) && !text.contains("\nx = 1"), "{text}");
        }
        assert_eq!(quoted("it's\\"), "'it\\'s\\\\'");

        let csharp = csharp::source("", &odd());
        assert!(one_line(&csharp) && csharp.contains("&lt;/summary&gt;&amp;"));
        let literals: Vec<String> = csharp
            .lines()
            .filter_map(|line| {
                let (_, rest) = line.split_once("Description=")?;
                Some(rest.split(", IsRequired").next()?.trim_end_matches(")]"))
            })
            .map(|literal| serde_json::from_str(literal).expect("a literal"))
            .collect();
        assert_eq!(literals, [line(HOSTILE), line(HOSTILE)]);

        let python = python::source("", &odd());
        assert!(one_line(&python) && !python.contains("\nx = 1"), "{python}");
        assert_eq!(python.matches("\"\"\"").count(), 2 + 2, "{python}");
    }
}
