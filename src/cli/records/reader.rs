//! Reads a file's rows with the profile of a sender, or as the command line maps them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use encoding_rs::UTF_8;
use http::HeaderMap;

use super::{FileArgs, FileFormat, FileRows, Row, Wanted};
use crate::billable::{Field, RawValue};
use crate::cli::Failure;
use crate::senders::{self, Event, Profile, Request, Table, TimeFormat};
use crate::telemetry::printable;
use crate::token::SenderSettings;

/// The maximum length of a list of columns in a message, in characters.
const MAX_NAMES: usize = 600;

/// Where fields are in the rows of a file, as the command line says.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Mapping {
    /// A field, and the name of its column or its address.
    pub(in crate::cli) fields: Vec<(Field, String)>,
    /// The column of the idempotency key.
    pub(in crate::cli) key: Option<String>,
    /// Whether the rows are stored, and not only compared.
    pub(in crate::cli) is_import: bool,
    /// The fields that have the same value in every row.
    pub(in crate::cli) set: Vec<Field>,
    pub(in crate::cli) time_format: Option<String>,
    pub(in crate::cli) time_zone: Option<String>,
}

/// A file whose rows are read.
pub(in crate::cli) struct FileReader {
    pub(in crate::cli) rows: FileRows,
    pub(in crate::cli) format: FileFormat,
    reads: Reads,
    is_answered: bool,
    /// How a time is read that no mapping names.
    pub(in crate::cli) time: TimeFormat,
    /// What the mapping says, for messages.
    mapping: Vec<String>,
}

/// How rows are read.
enum Reads {
    /// By our own names.
    Own,
    Table(Table),
    Documents(Arc<Profile>),
}

impl FileReader {
    /// Opens a file. A mapped column must be there.
    ///
    /// # Errors
    /// The file cannot be read, or not in this way.
    pub(in crate::cli) fn open(
        path: &Path,
        args: &FileArgs,
        mapping: &Mapping,
    ) -> Result<Self, Failure> {
        let named = path.display();
        let usage = |reason: String| Failure::Usage(format!("{named}: {reason}"));
        let failed = |error: io::Error| Failure::Failed(format!("cannot read {named}: {error}"));
        let sender = args.sender.as_ref().map(|name| {
            let unknown = || {
                usage(format!(
                    "there is no sender {name}; there are {}",
                    senders::names()
                ))
            };
            senders::find(name).ok_or_else(unknown)
        });
        let sender = sender.transpose()?;
        let format = args.format_of(path, sender.as_deref())?;
        let settings = settings(format, args, mapping);
        let profile = senders::profile_of_file(&settings, format.kind(), !args.no_header);
        let profile = profile.map_err(|error| usage(error.to_string()))?;
        let wanted = wanted(args, mapping, profile.as_deref());
        let is_csv = format == FileFormat::Csv;
        if let Some(name) = args.sender.as_deref().filter(|_| is_csv && args.no_header)
            && !wanted.is_headerless
        {
            return Err(usage(format!("the CSV of the sender {name} has a header")));
        }
        if mapping.key.is_some() && !matches!(format, FileFormat::Csv | FileFormat::Json) {
            return Err(usage("only CSV and JSON have a key".to_owned()));
        }
        let rows = FileRows::open(path, format, args, &wanted).map_err(failed)?;
        if let Some(missing) = wanted.named.iter().find(|name| !rows.may_have(name)) {
            return Err(usage(no_column(missing, &rows)));
        }
        let reads = match profile {
            None => Reads::Own,
            Some(profile) if is_csv => {
                Reads::Table(Table::of(profile, rows.header()).map_err(usage)?)
            }
            Some(profile) => Reads::Documents(profile),
        };
        let none = BTreeMap::new();
        let (pattern, zone) = (mapping.time_format.as_deref(), mapping.time_zone.as_deref());
        let time = TimeFormat::new(pattern, zone, &none).map_err(usage)?;
        Ok(Self {
            format,
            reads,
            is_answered: args.answered,
            time,
            mapping: described(args, mapping, &rows),
            rows,
        })
    }

    /// Reads the events of a row with the profile; `None` if rows are read by our own names.
    ///
    /// # Errors
    /// The profile does not read the row. The message is a sentence.
    pub(in crate::cli) fn events(&self, row: &Row) -> Result<Option<Vec<Event>>, String> {
        match (&self.reads, &row.cells) {
            (Reads::Table(table), Some(cells)) => {
                let event = table.event(cells, self.is_answered)?;
                Ok(Some(vec![event]))
            }
            (Reads::Documents(profile), _) => {
                if self.format == FileFormat::Xml && senders::has_rest(&row.text) {
                    return Err(
                        "the XML has more than one document: put each into a file".to_owned()
                    );
                }
                let bytes = row.bytes();
                let request = Request {
                    content_type: Some(self.format.content_type()),
                    headers: &HeaderMap::new(),
                    query: "",
                    body: &bytes,
                };
                let read = profile.read(request, self.is_answered, None);
                Ok(Some(read.map_err(|error| error.to_string())?.events))
            }
            _ => Ok(None),
        }
    }

    /// Returns how the file is read, and the number of its rows if it can be read twice.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(in crate::cli) fn announced(&self, path: &Path) -> io::Result<String> {
        let mut parts = vec![self.understood()];
        if path.metadata()?.is_file() {
            parts.push(rows_of(self.rows.count(path, self.format)?));
        }
        parts.retain(|part| !part.is_empty());
        Ok(format!("{}: {}", path.display(), parts.join(", ")))
    }

    /// Says how the file is read.
    pub(in crate::cli) fn understood(&self) -> String {
        let layout = self.rows.layout();
        let mut parts = Vec::new();
        if self.format == FileFormat::Csv {
            parts.push(match layout.separator {
                b'\t' => "separator tab".to_owned(),
                separator => format!("separator {}", char::from(separator)),
            });
            parts.push(match (self.rows.header(), self.rows.header_line()) {
                (None, _) => "no header".to_owned(),
                (Some(_), 1) => String::new(),
                (Some(_), line) if layout.rows_above == 0 => format!("header in line {line}"),
                (Some(_), line) => {
                    let above = rows_of(layout.rows_above as u64);
                    format!("header in line {line} below {above} that are not read")
                }
            });
        }
        if layout.encoding != UTF_8 {
            parts.push(layout.encoding.name().to_owned());
        }
        parts.extend(self.mapping.iter().cloned());
        parts.retain(|part| !part.is_empty());
        parts.join(", ")
    }
}

/// Returns the settings by which a file of this format is read.
fn settings(format: FileFormat, args: &FileArgs, mapping: &Mapping) -> SenderSettings {
    let map = |(field, at): &(Field, String)| format!("{}={}", field.camel(), address(format, at));
    let only = |condition: &String| match condition.split_once('=') {
        Some((at, values)) => format!("{}={values}", address(format, at)),
        None => condition.clone(),
    };
    let is_timed = mapping
        .fields
        .iter()
        .any(|(field, _)| *field == Field::OccurredAt);
    let has_time = args.sender.is_some() || is_timed;
    SenderSettings {
        sender: args.sender.clone(),
        maps: mapping.fields.iter().map(map).collect(),
        only: args.conditions.iter().map(only).collect(),
        time_format: mapping.time_format.clone().filter(|_| has_time),
        time_zone: mapping.time_zone.clone().filter(|_| has_time),
        answered: args.answered,
        ..SenderSettings::default()
    }
}

/// Returns the address of a value: a name alone is that of a column, a member or a field.
fn address(format: FileFormat, at: &str) -> String {
    const KINDS: [&str; 5] = ["column:", "form:", "header:", "query:", "xml:"];
    if at.starts_with('/') || KINDS.iter().any(|kind| at.starts_with(kind)) {
        return at.to_owned();
    }
    match format {
        FileFormat::Csv => format!("column:{at}"),
        FileFormat::Json => format!("/{}", at.replace('~', "~0").replace('/', "~1")),
        FileFormat::Form => format!("form:{at}"),
        FileFormat::Xml => format!("xml:/{at}"),
    }
}

/// Returns the columns by which a header is known.
fn wanted(args: &FileArgs, mapping: &Mapping, profile: Option<&Profile>) -> Wanted {
    let bare = |at: &str| match at.strip_prefix("column:") {
        Some(name) => name.to_owned(),
        None => at.to_owned(),
    };
    let maps = mapping.fields.iter().map(|(_, at)| &**at);
    let conditions = args
        .conditions
        .iter()
        .filter_map(|condition| condition.split_once('='));
    let named = maps
        .chain(mapping.key.as_deref())
        .chain(conditions.map(|(at, _)| at));
    let own = || {
        let fields = Field::ALL.map(Field::camel);
        fields
            .into_iter()
            .chain(["id", "state"])
            .map(str::to_owned)
            .collect()
    };
    Wanted {
        named: named.filter(|at| !at.starts_with('/')).map(bare).collect(),
        known: match (profile, &args.sender) {
            (Some(profile), Some(_)) => profile.columns(),
            _ => own(),
        },
        is_headerless: profile.is_some_and(Profile::is_headerless),
    }
}

fn no_column(missing: &str, rows: &FileRows) -> String {
    let header = rows.header().unwrap_or_default();
    let names: Vec<_> = header.iter().map(|name| format!("{name:?}")).collect();
    let names = printable(&names.join(", "), MAX_NAMES);
    format!("there is no column {missing:?}; the columns are {names}")
}

/// Says where fields are.
fn described(args: &FileArgs, mapping: &Mapping, rows: &FileRows) -> Vec<String> {
    let mut said: Vec<_> = args
        .sender
        .iter()
        .map(|name| format!("sender {name}"))
        .collect();
    let mut is_timed = !said.is_empty() || mapping.set.contains(&Field::OccurredAt);
    for field in Field::ALL {
        let mut mapped = mapping
            .fields
            .iter()
            .filter(|(one, _)| *one == field)
            .peekable();
        let has_own =
            args.sender.is_none() && !mapping.set.contains(&field) && rows.has(field.camel());
        let own = (mapped.peek().is_none() && has_own).then(|| field.camel());
        for at in mapped.map(|(_, at)| &**at).chain(own) {
            let zone = mapping
                .time_zone
                .as_ref()
                .filter(|_| field == Field::OccurredAt);
            let zone = zone.map(|zone| format!(" in {zone}")).unwrap_or_default();
            is_timed |= field == Field::OccurredAt;
            said.push(format!("{} from {at:?}{zone}", field.camel()));
        }
    }
    if let Some(key) = &mapping.key {
        said.push(format!("key from {key:?}"));
    }
    said.extend(
        args.conditions
            .iter()
            .map(|condition| format!("where {condition:?}")),
    );
    if mapping.is_import && rows.header().is_some() && !is_timed {
        said.push("no occurredAt, so the time of the import".to_owned());
    }
    said
}

/// Writes a number of rows with a comma between groups of three digits.
fn rows_of(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + if count == 1 { " row" } else { " rows" }
}

/// Returns a value without the blanks around it, and whether it had some.
pub(in crate::cli) fn trimmed(value: RawValue) -> (RawValue, bool) {
    match value {
        RawValue::Text(text) if text.trim().len() < text.len() => {
            (RawValue::Text(text.trim().to_owned()), true)
        }
        value => (value, false),
    }
}
