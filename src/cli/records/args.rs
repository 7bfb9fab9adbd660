//! What the command line says about the files that a command reads.

use std::path::Path;

use clap::ValueEnum;
use encoding_rs::Encoding;

use super::layout::is_separator;
use crate::cli::Failure;
use crate::senders::{Kind, Profile};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum FileFormat {
    /// Values with separators, in rows.
    Csv,
    /// JSON: one object per line, several objects, or an array of them.
    #[value(alias = "ndjson", alias = "jsonl")]
    Json,
    /// One XML document, of a sender.
    Xml,
    /// The body of one HTML form, of a sender.
    Form,
}

impl FileFormat {
    /// Returns the format of files with this extension.
    fn of_extension(extension: &str) -> Option<Self> {
        match &*extension.to_ascii_lowercase() {
            "csv" | "tsv" | "tab" | "psv" => Some(Self::Csv),
            "json" | "ndjson" | "jsonl" => Some(Self::Json),
            "xml" => Some(Self::Xml),
            "form" => Some(Self::Form),
            _ => None,
        }
    }

    pub(in crate::cli) fn kind(self) -> Kind {
        match self {
            Self::Csv => Kind::Csv,
            Self::Json => Kind::Json,
            Self::Xml => Kind::Xml,
            Self::Form => Kind::Form,
        }
    }

    pub(in crate::cli) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

/// How files are read.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Files")]
pub(in crate::cli) struct FileArgs {
    /// Format of the files; derived from their names, or the sender, if omitted.
    #[arg(long, value_enum)]
    pub(in crate::cli) format: Option<FileFormat>,
    /// Encoding of the files, such as windows-1252 or utf-16le; found out if omitted.
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    pub(in crate::cli) encoding: Option<&'static Encoding>,
    /// Character between the cells of CSV, or `tab`; found out if omitted.
    #[arg(long, value_name = "CHARACTER", value_parser = separator)]
    pub(in crate::cli) separator: Option<u8>,
    /// CSV has no header row: its columns are named by their numbers, from 1 on.
    #[arg(long)]
    pub(in crate::cli) no_header: bool,
    /// Sender whose profile reads the files, such as cucm; see `billables senders list`.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) sender: Option<String>,
    /// Leave out calls that were not answered, if the sender's profile says which ones were.
    #[arg(long, requires = "sender")]
    pub(in crate::cli) answered: bool,
    /// Read only rows with one of these values in a column; the others are left out; repeatable.
    #[arg(long = "where", value_name = "COLUMN=VALUE[,VALUE]")]
    pub(in crate::cli) conditions: Vec<String>,
    /// Keep blanks at the start and end of values.
    #[arg(long)]
    pub(in crate::cli) no_trim: bool,
}

impl FileArgs {
    /// Returns the format of a file.
    pub(in crate::cli) fn format_of(
        &self,
        path: &Path,
        sender: Option<&Profile>,
    ) -> Result<FileFormat, Failure> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let by_name = extension.and_then(FileFormat::of_extension);
        let formats = FileFormat::value_variants().iter().copied();
        let mut of_sender =
            formats.filter(|format| sender.is_some_and(|sender| sender.reads(format.kind())));
        let of_sender = of_sender.next().filter(|_| of_sender.next().is_none());
        self.format.or(by_name).or(of_sender).ok_or_else(|| {
            Failure::Usage(format!(
                "cannot tell the format of {} from its name: set --format to csv, json, xml or form",
                path.display()
            ))
        })
    }
}

fn encoding(label: &str) -> Result<&'static Encoding, String> {
    Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| "must be an encoding such as windows-1252, utf-16le or shift_jis".to_owned())
}

fn separator(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if is_separator(*byte) => Ok(*byte),
        _ if text.eq_ignore_ascii_case("tab") || text == "\\t" => Ok(b'\t'),
        _ => Err("must be one character such as ; or | or the word tab".to_owned()),
    }
}
