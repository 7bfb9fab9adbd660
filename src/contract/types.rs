//! The types that describe requests and objects, member by member.

#[derive(Debug)]
pub struct Type {
    /// The name of its DTO and of its XML element.
    pub name: &'static str,
    pub text: &'static str,
    pub members: &'static [Member],
}

/// A member of an object, or a parameter or header of a request or response.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The name in JSON.
    pub name: &'static str,
    pub location: Location,
    /// The values that it may have.
    pub kind: MemberKind,
    /// Whether it is always present.
    pub is_required: bool,
    pub text: &'static str,
    /// An example value, or the only item of an example array.
    pub example: &'static str,
}

/// Where a member is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the path. On ServiceStack routes: in the query, or in the body if there is one.
    Path,
    Query,
    Header,
    Body,
}

impl Location {
    /// The name used in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Body => "body",
        }
    }
}

/// The kind of a value.
#[derive(Clone, Copy, Debug)]
pub enum MemberKind {
    /// A string of a report with 1 to 256 characters and no control characters; an empty string
    /// counts as absent.
    Text,
    /// Any other string.
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
    /// An array of strings with at most this many items.
    Texts(usize),
    /// An array of UUIDs with at most this many items.
    Ids(usize),
    List(&'static Type),
}

impl MemberKind {
    /// The name used in the documentation.
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

/// A required member of a body.
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

/// An optional member of a body.
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

    /// The member with another name.
    pub const fn renamed(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// The member as a required one.
    pub const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    /// The member as one that may be absent.
    pub const fn optional(self) -> Self {
        Self {
            is_required: false,
            ..self
        }
    }

    /// The member with another description.
    pub const fn meaning(self, text: &'static str) -> Self {
        Self { text, ..self }
    }
}
