//! How requests and objects are described, member by member.

#[derive(Debug)]
pub struct Type {
    /// The name of its DTO, and of its element in XML.
    pub name: &'static str,
    pub text: &'static str,
    pub members: &'static [Member],
}

/// Something that a request or an object has.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The name, as JSON has it.
    pub name: &'static str,
    pub location: Location,
    /// What it may be.
    pub kind: MemberKind,
    /// Whether it is always there.
    pub is_required: bool,
    pub text: &'static str,
    /// A value, or the only item of an array.
    pub example: &'static str,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the path; by the operation's name in the query, or in the body when there is one.
    Path,
    Query,
    Header,
    Body,
}

impl Location {
    /// As the documentation says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Body => "body",
        }
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum MemberKind {
    /// A text of a report: 1 to 256 characters, no control characters. Empty means 'not given'.
    Text,
    /// Any other text.
    String,
    Id,
    /// An RFC 3339 timestamp.
    Timestamp,
    /// A day, `YYYY-MM-DD`.
    Date,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number within these bounds.
    Number(i64, i64),
    Bool,
    /// Texts, at most so many.
    Texts(usize),
    /// UUIDs, at most so many.
    Ids(usize),
    List(&'static Type),
}

impl MemberKind {
    /// As the documentation says it.
    pub fn name(self) -> String {
        match self {
            Self::Text | Self::String | Self::Choice(_) => "string".to_owned(),
            Self::Id => "string (UUID)".to_owned(),
            Self::Timestamp => "string (RFC 3339)".to_owned(),
            Self::Date => "string (date)".to_owned(),
            Self::Number(..) => "long".to_owned(),
            Self::Bool => "boolean".to_owned(),
            Self::Texts(_) | Self::Ids(_) => "array of string".to_owned(),
            Self::List(of) => format!("array of {}", of.name),
        }
    }
}

/// Something that is always there, in a body.
pub(crate) const fn always(
    name: &'static str,
    kind: MemberKind,
    example: &'static str,
    text: &'static str,
) -> Member {
    Member {
        name,
        location: Location::Body,
        kind,
        is_required: true,
        text,
        example,
    }
}

/// Something that may be there, in a body.
pub(crate) const fn maybe(
    name: &'static str,
    kind: MemberKind,
    example: &'static str,
    text: &'static str,
) -> Member {
    Member {
        is_required: false,
        ..always(name, kind, example, text)
    }
}

impl Member {
    /// The member at another location.
    pub const fn within(self, location: Location) -> Self {
        Self { location, ..self }
    }

    /// The member by another name.
    pub const fn renamed(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// The member where it has to be given.
    pub const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    /// The member with another meaning.
    pub const fn meaning(self, text: &'static str) -> Self {
        Self { text, ..self }
    }
}
