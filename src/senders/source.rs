//! Sources: the ways in which a sender sends events, checked.

use super::address::Address;
use super::condition::{Condition, RawCondition};
use super::file::{Kind, RawRule, RawSource};
use super::rule::{Parts, Rule};
use super::time::TimeFormat;
use super::tree::Tree;
use crate::billable::Field;

/// The maximum number of addresses of a source.
const MAX_ADDRESSES: usize = 64;

/// A way in which a sender sends events.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) kind: Kind,
    /// The field that holds the document, instead of the body.
    pub(super) within: Option<Address>,
    /// The way to the records in a document.
    pub(super) records: Option<Vec<String>>,
    pub(super) has_header: bool,
    /// Whether the document is not read behind the last value.
    pub(super) ignores_rest: bool,
    pub(super) when: Vec<Condition>,
    pub(super) only: Vec<Condition>,
    pub(super) answered: Vec<Condition>,
    pub(super) rules: [Option<Rule>; Field::ALL.len()],
    pub(super) time: TimeFormat,
    /// The number of seconds that is subtracted from the time.
    pub(super) minus: Option<usize>,
    /// Whether the id of a call that cannot be stored is stored as its hash, instead of refused.
    pub(super) hashes_calls: bool,
    /// Where the values are that conditions and rules name, each once.
    pub(super) addresses: Vec<Address>,
    /// The addresses in JSON.
    pub(super) tree: Tree,
}

impl Source {
    /// Checks a source of a profile's file.
    ///
    /// # Errors
    /// It contradicts itself; the message is a sentence.
    pub(super) fn of(raw: &RawSource, has_appended: bool) -> Result<Self, String> {
        let mut slots = Slots {
            source: raw,
            has_appended,
            addresses: Vec::new(),
        };
        if !matches!(
            &raw.within,
            None | Some(Address::Form(_) | Address::Query(_))
        ) {
            return Err("within must be form:NAME or query:NAME".to_owned());
        }
        if raw.within.is_some() && !matches!(raw.kind, Kind::Json | Kind::Xml) {
            return Err("only a source of json or xml can have within".to_owned());
        }
        if raw.rest.is_some() && raw.kind != Kind::Xml {
            return Err("only a source of xml can have rest".to_owned());
        }
        if raw.header == Some(false) && raw.kind != Kind::Csv {
            return Err("only a source of csv can have header".to_owned());
        }
        let when = slots.conditions(&raw.when)?;
        let only = slots.conditions(&raw.only)?;
        let answered = slots.conditions(&raw.answered)?;
        let mut rules = [const { None }; Field::ALL.len()];
        let (mut time, mut minus) = (TimeFormat::default(), None);
        for field in Field::ALL {
            let Some(rule) = raw.rule(field) else {
                continue;
            };
            if field == Field::OccurredAt {
                let (format, zone) = (rule.format.as_deref(), rule.zone.as_deref());
                time = TimeFormat::new(format, zone, &rule.zones)?;
                minus = rule.minus.as_ref().map(|at| slots.of(at)).transpose()?;
            } else if rule.is_time() {
                let field = field.camel();
                return Err(format!(
                    "{field} must not have format, zone, zones or minus"
                ));
            }
            let of = |error| format!("{} {error}", field.camel());
            rules[field as usize] = Some(slots.rule(rule).map_err(of)?);
        }
        let addresses = slots.addresses;
        Ok(Self {
            kind: raw.kind,
            within: raw.within.clone(),
            records: records(raw)?,
            has_header: raw.header.unwrap_or(true),
            ignores_rest: raw.rest.is_some(),
            when,
            only,
            answered,
            rules,
            time,
            minus,
            hashes_calls: true,
            tree: Tree::of(&addresses),
            addresses,
        })
    }
}

/// Returns the way to the records.
fn records(raw: &RawSource) -> Result<Option<Vec<String>>, String> {
    let Some(text) = &raw.records else {
        return Ok(None);
    };
    match (raw.kind, Address::parse(text)) {
        (Kind::Json, Ok(Address::Json(steps))) | (Kind::Xml, Ok(Address::Xml(steps))) => {
            Ok(Some(steps))
        }
        _ => Err("records must be /POINTER in json and xml:/PATH in xml".to_owned()),
    }
}

/// Collects a source's addresses, and checks each.
struct Slots<'a> {
    source: &'a RawSource,
    has_appended: bool,
    addresses: Vec<Address>,
}

impl Slots<'_> {
    /// Returns the index of an address.
    fn of(&mut self, address: &Address) -> Result<usize, String> {
        let RawSource {
            kind,
            within,
            header,
            ..
        } = self.source;
        let is_readable = match address {
            Address::Json(_) => *kind == Kind::Json,
            Address::Xml(_) => *kind == Kind::Xml,
            Address::Form(_) => *kind == Kind::Form || matches!(within, Some(Address::Form(_))),
            Address::Column(name) if *header == Some(false) => {
                let number = name.parse::<usize>().ok();
                *kind == Kind::Csv && number.is_some_and(|number| (1..=1000).contains(&number))
            }
            Address::Column(_) => *kind == Kind::Csv,
            Address::Query(_) | Address::Header(_) => true,
            Address::Appended => self.has_appended,
        };
        if !is_readable {
            return Err(format!("a source of this kind has nothing at {address}"));
        }
        if let Some(at) = self.addresses.iter().position(|known| known == address) {
            return Ok(at);
        }
        if self.addresses.len() == MAX_ADDRESSES {
            return Err(format!(
                "a source can have at most {MAX_ADDRESSES} addresses"
            ));
        }
        self.addresses.push(address.clone());
        Ok(self.addresses.len() - 1)
    }

    fn all(&mut self, addresses: &[Address]) -> Result<Vec<usize>, String> {
        addresses.iter().map(|address| self.of(address)).collect()
    }

    fn conditions(&mut self, conditions: &[RawCondition]) -> Result<Vec<Condition>, String> {
        let condition = |raw: &RawCondition| {
            Ok(Condition {
                slot: self.of(&raw.at)?,
                test: raw.test()?,
                absent: raw.absent,
            })
        };
        conditions.iter().map(condition).collect()
    }

    fn rule(&mut self, raw: &RawRule) -> Result<Rule, String> {
        let parts = match (&*raw.at, &*raw.all, &raw.join) {
            ([_, ..], [], None) => Parts::First(self.all(&raw.at)?),
            ([], [_, _, ..], Some(join)) if !join.is_empty() && join.is_ascii() => Parts::All {
                slots: self.all(&raw.all)?,
                join: join.clone(),
            },
            _ => return Err("must have either at, or all with two addresses and join".to_owned()),
        };
        Ok(Rule {
            parts,
            decode: raw.decode,
            appended: self
                .addresses
                .iter()
                .position(|at| *at == Address::Appended),
            unset: raw.unset.clone(),
            absent: raw.absent,
        })
    }
}
