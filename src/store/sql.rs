//! The text of a statement.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Add;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// The text of a statement. It is made of literals and numbers, so no value can become SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sql(Cow<'static, str>);

impl Sql {
    /// Joins texts with commas.
    pub(super) fn list(texts: impl Iterator<Item = Self>) -> Self {
        let joined = texts.reduce(|list, text| list + ", " + text);
        joined.unwrap_or_else(|| Self::from(""))
    }

    /// Makes a text that is cheap to clone.
    pub(super) fn shared(self) -> SqlStr {
        AssertSqlSafe(Arc::<str>::from(self.0)).into_sql_str()
    }

    #[cfg(test)]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<i64> for Sql {
    fn from(number: i64) -> Self {
        Self(Cow::Owned(number.to_string()))
    }
}

impl Add<&'static str> for Sql {
    type Output = Self;

    fn add(self, next: &'static str) -> Self {
        Self(self.0 + next)
    }
}

impl Add<i64> for Sql {
    type Output = Self;

    fn add(self, next: i64) -> Self {
        let mut text = self.0.into_owned();
        write!(text, "{next}").expect("a text can be written to");
        Self(Cow::Owned(text))
    }
}

impl Add for Sql {
    type Output = Self;

    fn add(self, next: Self) -> Self {
        let mut text = self.0.into_owned();
        text.push_str(&next.0);
        Self(Cow::Owned(text))
    }
}

impl SqlSafeStr for Sql {
    fn into_sql_str(self) -> SqlStr {
        match self.0 {
            Cow::Borrowed(text) => text.into_sql_str(),
            Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
        }
    }
}
