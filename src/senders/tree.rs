//! Finds the members of a JSON record that a source names, in one pass over each object.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue as RawJson;

use super::address::Address;

/// The addresses of a source in JSON, by their steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// The index of the value here, if a source names it.
    slot: Option<usize>,
    children: Vec<(String, Self)>,
}

impl Tree {
    /// The values get the indices of their addresses.
    pub(super) fn of(addresses: &[Address]) -> Self {
        let mut tree = Self::default();
        for (slot, address) in addresses.iter().enumerate() {
            if let Address::Json(steps) = address {
                tree.add(steps, slot);
            }
        }
        tree
    }

    /// The tree of one address, with the index 0.
    pub(super) fn of_steps(steps: &[String]) -> Self {
        let mut tree = Self::default();
        tree.add(steps, 0);
        tree
    }

    fn add(&mut self, steps: &[String], slot: usize) {
        let [step, rest @ ..] = steps else {
            self.slot = Some(slot);
            return;
        };
        let at = match self.children.iter().position(|(name, _)| name == step) {
            Some(at) => at,
            None => {
                self.children.push((step.clone(), Self::default()));
                self.children.len() - 1
            }
        };
        self.children[at].1.add(rest, slot);
    }

    /// Finds the values in an object or an array. If a member is repeated, the last one counts.
    ///
    /// # Errors
    /// The text is not JSON, or neither an object nor an array.
    pub(super) fn find<'de>(
        &self,
        text: &'de str,
        found: &mut [Option<&'de RawJson>],
    ) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.deserialize_any(Members { tree: self, found })?;
        deserializer.end()
    }

    /// Notes a value that is here, and finds those in it.
    fn note<'de>(
        &self,
        value: &'de RawJson,
        found: &mut [Option<&'de RawJson>],
    ) -> serde_json::Result<()> {
        if let Some(slot) = self.slot {
            found[slot] = Some(value);
        }
        if self.children.is_empty() || !value.get().starts_with(['{', '[']) {
            return Ok(());
        }
        self.find(value.get(), found)
    }

    fn child(&self, name: &str) -> Option<&Self> {
        let mut children = self.children.iter();
        children
            .find(|(known, _)| known == name)
            .map(|(_, child)| child)
    }

    /// Forgets the values below here.
    fn clear(&self, found: &mut [Option<&RawJson>]) {
        if let Some(slot) = self.slot {
            found[slot] = None;
        }
        for (_, child) in &self.children {
            child.clear(found);
        }
    }
}

/// Visits the members of an object, or the items of an array, that a tree names.
struct Members<'t, 'f, 'de> {
    tree: &'t Tree,
    found: &'f mut [Option<&'de RawJson>],
}

impl<'de> Members<'_, '_, 'de> {
    fn descend<E: serde::de::Error>(&mut self, child: &Tree, value: &'de RawJson) -> Result<(), E> {
        child.clear(self.found);
        child.note(value, self.found).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for Members<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let tree = self.tree;
        while let Some(child) = map.next_key_seed(Name(tree))? {
            match child {
                Some(child) => {
                    let value = map.next_value()?;
                    self.descend(child, value)?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let tree = self.tree;
        for index in 0_usize.. {
            let Some(value) = items.next_element::<&RawJson>()? else {
                break;
            };
            if let Some(child) = tree.child(&index.to_string()) {
                self.descend(child, value)?;
            }
        }
        Ok(())
    }
}

/// Reads a member's name as the child that it leads to.
struct Name<'t>(&'t Tree);

impl<'de, 't> DeserializeSeed<'de> for Name<'t> {
    type Value = Option<&'t Tree>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // As bytes, a name may hold half of a surrogate pair, which nobody reads.
        deserializer.deserialize_bytes(self)
    }
}

impl<'t> Visitor<'_> for Name<'t> {
    type Value = Option<&'t Tree>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(std::str::from_utf8(name)
            .ok()
            .and_then(|name| self.0.child(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pointers: &[&str], document: &str) -> Vec<Option<String>> {
        let addresses: Vec<_> = pointers
            .iter()
            .map(|pointer| Address::parse(pointer).expect("an address"))
            .collect();
        let mut found = vec![None; addresses.len()];
        Tree::of(&addresses)
            .find(document, &mut found)
            .expect("JSON");
        let texts = found.into_iter();
        texts
            .map(|value| value.map(|value| value.get().to_owned()))
            .collect()
    }

    #[test]
    fn members_are_found_by_their_pointers() {
        let some = |text: &str| Some(text.to_owned());
        let document =
            r#"{"a":{"b":[1,{"c":"x"}],"~":2},"a/b":{"":3},"d":null,"s":"\ud83d","\ud83d":4}"#;
        let pointers = [
            "/a/b/1/c", "/a", "/a/~0", "/a~1b", "/d", "/s/x", "/a/b/2", "/x",
        ];
        assert_eq!(
            find(&pointers, document),
            [
                some(r#""x""#),
                some(r#"{"b":[1,{"c":"x"}],"~":2}"#),
                some("2"),
                some(r#"{"":3}"#),
                some("null"),
                None,
                None,
                None
            ]
        );
    }

    #[test]
    fn the_last_of_repeated_members_counts_with_all_that_is_in_it() {
        let document = r#"{"a":{"b":1,"c":2},"a":{"c":3}}"#;
        assert_eq!(
            find(&["/a/b", "/a/c"], document),
            [None, Some("3".to_owned())]
        );
    }
}
