//! The serde visitors that read objects and arrays.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use serde_json::value::RawValue as RawJson;

use crate::billable::RawValue;
use crate::formats::lossless;

/// A value that is built from the members of an object, one at a time.
pub(in crate::formats) trait FromMembers: Default {
    /// Handles the member with this name. Must read exactly one value from `map`.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: String, map: &mut A) -> Result<(), A::Error>;
}

/// An object, read member by member.
pub(in crate::formats) struct Object<T>(pub(in crate::formats) T);

impl<'de, T: FromMembers> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(T);

        impl<'de, T: FromMembers> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<T, A::Error> {
                while let Some(name) = map.next_key()? {
                    self.0.take(name, &mut map)?;
                }
                Ok(self.0)
            }
        }

        deserializer
            .deserialize_map(Members(T::default()))
            .map(Self)
    }
}

/// Passes each item of an array to a function. If the function returns false, parsing fails.
pub(in crate::formats) struct Each<T, F> {
    take: F,
    item: PhantomData<T>,
}

impl<T, F: FnMut(T) -> bool> Each<T, F> {
    pub(in crate::formats) fn new(take: F) -> Self {
        Self {
            take,
            item: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> bool> DeserializeSeed<'de> for Each<T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> bool> Visitor<'de> for Each<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element()? {
            if !(self.take)(item) {
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// An array of at most `MOST` items. A longer array is cut to `MOST + 1` items, which shows that it
/// is too long without collecting the rest.
#[derive(Debug)]
pub struct UpTo<T, const MOST: usize>(pub Vec<T>);

impl<T, const MOST: usize> Default for UpTo<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for UpTo<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MOST: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Items<T, MOST> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut items = Vec::new();
                while items.len() <= MOST {
                    match seq.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(items),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(items)
            }
        }

        let items = Items::<T, MOST>(PhantomData);
        deserializer.deserialize_seq(items).map(Self)
    }
}

/// Reads the next member's value: a string, a scalar's source text, `Structure` for an object or
/// array, or `None` for null.
pub(in crate::formats) fn next_raw<'de, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<RawValue>, A::Error> {
    raw_value(map.next_value()?).map_err(A::Error::custom)
}

/// Returns a value: a string, a scalar's source text, `Structure` for an object or array, or `None`
/// for null.
///
/// # Errors
/// A string has an invalid escape.
pub(crate) fn raw_value(value: &RawJson) -> serde_json::Result<Option<RawValue>> {
    Ok(match value.get() {
        "null" => None,
        text if text.starts_with('"') => Some(string(text)?),
        text if text.starts_with(['{', '[']) => Some(RawValue::Structure),
        scalar => Some(RawValue::Text(scalar.to_owned())),
    })
}

/// Decodes a string. Its bytes are restored first, because its escapes may be of any character. Half
/// of a surrogate pair is read as bytes that are not UTF-8.
fn string(text: &str) -> serde_json::Result<RawValue> {
    struct Bytes(Vec<u8>);

    impl<'de> Deserialize<'de> for Bytes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collected;

            impl Visitor<'_> for Collected {
                type Value = Bytes;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a string")
                }

                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                    Ok(Bytes(bytes.to_vec()))
                }
            }

            deserializer.deserialize_bytes(Collected)
        }
    }

    let restored = lossless::bytes_of(text);
    if restored.is_none()
        && let Ok(text) = serde_json::from_str(text)
    {
        return Ok(RawValue::Text(text));
    }
    let Bytes(bytes) = serde_json::from_slice(restored.as_deref().unwrap_or(text.as_bytes()))?;
    Ok(lossless::value_of(bytes))
}
