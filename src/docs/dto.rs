//! DTOs.

use super::Operation;

/// The languages.
pub const LANGUAGES: &[&str] = &[
    "typescript",
    "mjs",
    "csharp",
    "python",
    "java",
    "kotlin",
    "curl",
];

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Language(&'static str);

impl Language {
    /// All.
    pub const ALL: [Self; 7] = [
        Self("typescript"),
        Self("mjs"),
        Self("csharp"),
        Self("python"),
        Self("java"),
        Self("kotlin"),
        Self("curl"),
    ];
    /// Name.
    pub fn name(self) -> &'static str {
        self.0
    }
    /// From name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.0 == name)
    }
    /// Title.
    pub fn title(self) -> &'static str {
        self.0
    }
    /// Media type.
    pub fn media_type(self) -> &'static str {
        "text/plain; charset=utf-8"
    }
}

/// Source.
pub fn source(language: Language, operations: &[&Operation], base_url: &str) -> String {
    let mut text = format!("// {} {base_url}\n", language.name());
    for operation in operations {
        text.push_str(&format!(
            "// {}\nexport class {} {{\n",
            operation.summary, operation.name
        ));
        for member in operation.fields() {
            text.push_str(&format!(
                "    // {}\n    public {}?: string;\n",
                member.text, member.name
            ));
        }
        text.push_str("}\n");
    }
    text
}

/// Included.
pub fn included(list: Option<&str>) -> Vec<&'static Operation> {
    let _ = list;
    Operation::messages().collect()
}
