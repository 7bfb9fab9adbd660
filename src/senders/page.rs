//! The page of a sender in the manual: its setup, what is read of it, and its examples.

use super::condition::{Absent, Condition, Test};
use super::file::Expected;
use super::profile::Profile;
use super::rule::{Encoding, Parts, Rule};
use super::source::Source;
use crate::billable::Field;

/// What a page fills in.
#[derive(Clone, Debug)]
pub struct Values {
    /// The address of the service, such as `https://billables.example.com`.
    pub address: String,
    pub token: String,
    pub account: String,
    pub customer: String,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            address: "http://127.0.0.1:8080".to_owned(),
            token: "TOKEN".to_owned(),
            account: "acc".to_owned(),
            customer: "cus".to_owned(),
        }
    }
}

impl Profile {
    /// Returns the page, as Markdown.
    pub fn page(&self, values: &Values) -> String {
        let address = values.address.trim_end_matches('/');
        let host = address.split_once("://").map_or(address, |(_, host)| host);
        let setup = self
            .setup
            .replace("{address}", address)
            .replace("{host}", host)
            .replace("{token}", &values.token)
            .replace("{account}", &values.account)
            .replace("{customer}", &values.customer);
        let mut page = format!(
            "# {}\n\n{}\n\n## What is read\n\n",
            self.title,
            setup.trim()
        );
        page.push_str(&format!(
            "With `sender={}` in the URL, or a token that was created with `--sender {}`, this is read and nothing else. \
             [`billables import`](../import-export.md#import) and `check` read files of it with `--sender {}`. The sender's \
             own documentation is at `{}`.\n",
            self.name, self.name, self.name, self.docs
        ));
        for source in &self.sources {
            page.push('\n');
            page.push_str(&source.section());
        }
        page.push_str("\n## Examples\n");
        for example in &self.examples {
            let result = shown(&example.result);
            page.push_str(&format!(
                "\n{}:\n\n```http\n{}\n```\n\nIt {result}\n",
                capitalised(&example.page),
                example.request.trim()
            ));
        }
        wrapped(&page)
    }
}

impl Source {
    fn section(&self) -> String {
        let place = match (&self.within, &self.records) {
            (Some(within), _) => format!("{} in `{within}`", self.kind),
            (None, Some(steps)) => format!("{}, a call each at `/{}`", self.kind, steps.join("/")),
            (None, None) => self.kind.to_string(),
        };
        let mut text = format!("From {place}");
        if !self.when.is_empty() {
            let when: Vec<_> = self.when.iter().map(|when| self.condition(when)).collect();
            text.push_str(&format!(", if {}", when.join(" and ")));
        }
        text.push_str(":\n\n");
        for field in Field::ALL {
            if let Some(rule) = &self.rules[field as usize] {
                text.push_str(&format!(
                    "- `{}`: {}\n",
                    field.camel(),
                    self.rule(field, rule)
                ));
            }
        }
        for (name, conditions) in [
            ("ignored unless", &self.only),
            ("with `answered=true`, ignored unless", &self.answered),
        ] {
            if !conditions.is_empty() {
                let all: Vec<_> = conditions.iter().map(|one| self.condition(one)).collect();
                text.push_str(&format!("- {name} {}\n", all.join(" and ")));
            }
        }
        text
    }

    fn rule(&self, field: Field, rule: &Rule) -> String {
        let at = |slot: &usize| format!("`{}`", self.addresses[*slot]);
        let list = |slots: &[usize]| slots.iter().map(at).collect::<Vec<_>>();
        let mut text = match &rule.parts {
            Parts::First(slots) => list(slots).join(", else "),
            Parts::All { slots, join } => format!("{}, joined by `{join}`", list(slots).join(", ")),
        };
        if rule.decode == Some(Encoding::Percent) {
            text.push_str(", percent-decoded");
        }
        if let (Field::OccurredAt, Some(slot)) = (field, &self.minus) {
            text.push_str(&format!(", less the seconds at {}", at(slot)));
        }
        if !rule.unset.is_empty() {
            text.push_str(&format!("; `{}` counts as absent", rule.unset.join("`, `")));
        }
        text.push_str(match rule.absent {
            Absent::Error => "; required",
            Absent::No => "; may be absent",
        });
        text
    }

    fn condition(&self, condition: &Condition) -> String {
        let at = &self.addresses[condition.slot];
        match &condition.test {
            Test::Present => format!("there is `{at}`"),
            Test::OneOf(texts) => format!("`{at}` is `{}`", texts.join("`, `")),
            Test::NoneOf(texts) => format!("`{at}` is not `{}`", texts.join("`, `")),
            Test::Begins(texts) => format!("`{at}` begins with `{}`", texts.join("`, `")),
            Test::Above(number) => format!("`{at}` is above {number}"),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

/// Says what becomes of an example.
fn shown(expected: &Expected) -> String {
    let Expected {
        account_id,
        customer_id,
        session_id,
        call_sid,
        occurred_at,
        ignored,
        error,
    } = expected;
    if let Some(reason) = ignored {
        return format!("is ignored: `Billable-Ignored: {reason}`.");
    }
    if let Some(code) = error {
        return format!("is refused: `{code}`.");
    }
    let fields = [account_id, customer_id, session_id, call_sid, occurred_at];
    let fields = Field::ALL.into_iter().zip(fields);
    let fields: Vec<_> = fields
        .filter_map(|(field, text)| Some(format!("`{}` `{}`", field.camel(), text.as_ref()?)))
        .collect();
    format!("is stored with {}.", fields.join(", "))
}

/// Wraps the lines of paragraphs at 120 characters, outside of code.
fn wrapped(page: &str) -> String {
    const WIDTH: usize = 120;
    let mut is_code = false;
    let mut wrapped = String::new();
    for line in page.lines() {
        is_code ^= line.starts_with("```");
        if is_code || line.chars().count() <= WIDTH {
            wrapped.push_str(line);
            wrapped.push('\n');
            continue;
        }
        let indent = if line.starts_with("- ") { "  " } else { "" };
        let mut width = 0;
        for word in line.split(' ') {
            let length = word.chars().count();
            if width > 0 && width + 1 + length > WIDTH {
                wrapped.push('\n');
                wrapped.push_str(indent);
                width = indent.len();
            } else if width > 0 {
                wrapped.push(' ');
                width += 1;
            }
            wrapped.push_str(word);
            width += length;
        }
        wrapped.push('\n');
    }
    wrapped
}
