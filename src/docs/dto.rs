//! DTOs.

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
