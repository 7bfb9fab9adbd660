//! `billables senders`: lists and shows the profiles of senders, and tries one on a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;
use serde_json::{Map, Value, json};

use super::Failure;
use super::arguments::base_url;
use super::table::table;
use crate::billable::{Code, Field, RawReport, RawValue, Report, Timestamp};
use crate::contract::routes;
use crate::formats::charset::{self, Charset};
use crate::formats::{Format, ReadError};
use crate::senders::{self, Event, Mapped, Named, Profile, Request, UrlError, Values};
use crate::token::SenderSettings;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the senders.
    List {
        /// Print a JSON array instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show how a sender is set up, what is read of it, and examples, as Markdown.
    Show(ShowArgs),
    /// Show what would become of a request, and store nothing.
    ///
    /// Prints a JSON object for each event. The exit code is 1 if one would be refused.
    Try(TryArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Name of the sender, as listed.
    name: String,
    /// Address of the service.
    #[arg(long, value_name = "BASE", default_value = "http://127.0.0.1:8080", value_parser = base_url)]
    url: String,
    /// Token of the sender.
    #[arg(long, default_value = "TOKEN", hide_default_value = true, value_parser = plain)]
    token: String,
    /// Account that is billed.
    #[arg(long, value_name = "ID", default_value = "acc", value_parser = plain)]
    account: String,
    /// Customer that is billed.
    #[arg(long, value_name = "ID", default_value = "cus", value_parser = plain)]
    customer: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct TryArgs {
    /// Name of the sender, as listed, unless --map alone says how the file is read.
    #[arg(value_name = "[NAME] FILE", num_args = 1..=2, required = true)]
    name_and_file: Vec<String>,
    /// Content-Type of the file, if it is a body.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    #[command(flatten)]
    mapping: MappingArgs,
}

/// How reports are read, in addition to the sender's profile.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct MappingArgs {
    /// Where a field is, such as callSid=/data/id, instead of where the profile says; repeatable.
    ///
    /// An address is /json/pointer, form:NAME, query:NAME, header:NAME, column:NAME or xml:/PATH. The
    /// first of several for one field that is given counts. A mapped field must be there.
    #[arg(long = "map", value_name = "FIELD=AT")]
    pub(super) maps: Vec<String>,
    /// Store only events whose value there is one of these; the others are ignored; repeatable.
    #[arg(long, value_name = "AT=VALUE[,VALUE]")]
    pub(super) only: Vec<String>,
    /// Ignore calls that were not answered, if the profile says which ones were.
    #[arg(long)]
    pub(super) answered: bool,
    /// Pattern of the mapped occurredAt, such as '%d.%m.%Y %H:%M:%S'; without it, every form that
    /// cannot be misread.
    #[arg(long, value_name = "PATTERN")]
    pub(super) time_format: Option<String>,
    /// Time zone of an occurredAt without an offset, such as Europe/Rome.
    #[arg(long, value_name = "ZONE")]
    pub(super) time_zone: Option<String>,
}

impl MappingArgs {
    /// Returns the settings, and the profile that they make.
    pub(super) fn settings(
        self,
        sender: Option<String>,
    ) -> Result<(SenderSettings, Option<Arc<Profile>>), Failure> {
        let settings = SenderSettings {
            sender,
            maps: self.maps,
            only: self.only,
            time_format: self.time_format,
            time_zone: self.time_zone,
            answered: self.answered,
            ..SenderSettings::default()
        };
        let profile = senders::profile_of(&settings);
        let profile = profile.map_err(|error| Failure::Usage(error.to_string()))?;
        Ok((settings, profile))
    }
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    let (text, is_refused) = match command {
        Command::List { json } => (list(json), false),
        Command::Show(args) => (show(args)?, false),
        Command::Try(args) => try_file(args)?,
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::Failed(format!("cannot print: {error}")))?;
    if is_refused {
        return Err(Failure::Failed("an event would be refused".to_owned()));
    }
    Ok(())
}

fn list(as_json: bool) -> String {
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" };
    if as_json {
        let row = |profile: &Arc<Profile>| {
            json!({
                "name": profile.name,
                "title": profile.title,
                "knowsAnswered": profile.knows_answered(),
                "isRecognised": profile.is_automatic,
                "docs": profile.docs,
            })
        };
        let rows: Vec<_> = senders::all().iter().map(row).collect();
        return format!("{:#}\n", json!(rows));
    }
    let row = |profile: &Arc<Profile>| {
        [
            profile.name.clone(),
            profile.title.clone(),
            yes_or_no(profile.knows_answered()).to_owned(),
            yes_or_no(profile.is_automatic).to_owned(),
        ]
    };
    let heads = ["NAME", "SENDER", "KNOWS ANSWERED", "RECOGNISED"];
    table(heads, senders::all().iter().map(row))
}

fn show(args: ShowArgs) -> Result<String, Failure> {
    let ShowArgs {
        name,
        url,
        token,
        account,
        customer,
    } = args;
    let profile = find(&name)?;
    Ok(profile.page(&Values {
        address: url,
        token,
        account,
        customer,
    }))
}

/// Parses a value that the setup of a sender shows in URLs, XML, shells and scripts alike.
fn plain(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:@-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("has characters that each configuration escapes in its own way: show the setup without it, and write it in".to_owned())
}

fn find(name: &str) -> Result<Arc<Profile>, Failure> {
    senders::find(name).ok_or_else(|| {
        Failure::Usage(format!(
            "there is no sender {name}; there are {}",
            senders::names()
        ))
    })
}

/// Returns what would become of a file, and whether an event would be refused.
fn try_file(args: TryArgs) -> Result<(String, bool), Failure> {
    let (name, file) = match &*args.name_and_file {
        [name, file] => (Some(name.clone()), file),
        [file] if senders::find(file).is_some() && !Path::new(file).exists() => {
            let message = format!("name a file, too: billables senders try {file} FILE");
            return Err(Failure::Usage(message));
        }
        [file] => (None, file),
        _ => return Err(Failure::Usage("name a sender and a file".to_owned())),
    };
    let file = PathBuf::from(file);
    let input = std::fs::read(&file)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", file.display())))?;
    let (settings, profile) = args.mapping.settings(name)?;
    let profile = profile.ok_or_else(|| {
        Failure::Usage("name a sender, or say where the fields are with --map".to_owned())
    })?;
    let parts = RecordedRequest::of(&input, args.content_type.as_deref(), &file)?;
    let failed = |error: ReadError| Failure::Failed(error.to_string());
    let content_type = parts.headers.get(http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let charset = Charset::of(content_type).map_err(failed)?;
    let body = charset.decode(parts.body).map_err(failed)?;
    let request = Request {
        content_type,
        headers: &parts.headers,
        query: parts.query,
        body: &body,
    };
    let of_url = |error: UrlError| Failure::Failed(error.to_string());
    let own = senders::own_query(parts.query, Some(&profile));
    let named = if parts.is_get {
        Named::default()
    } else {
        Named::of(own).map_err(of_url)?
    };
    let is_other = |name: &String| !name.eq_ignore_ascii_case(&profile.name);
    if let Some(other) = named.sender.filter(is_other) {
        return Err(Failure::Usage(format!(
            "the request's URL names the sender {other}"
        )));
    }
    let is_answered = settings.answered || named.answered.unwrap_or_default();
    if is_answered && !profile.knows_answered() {
        return Err(Failure::Usage(
            "the sender does not say which calls were answered, as the URL asks".to_owned(),
        ));
    }
    let opened = profile.open(request).map_err(failed)?;
    let given = if parts.is_hook {
        senders::check_hook(&profile, parts.query).map_err(of_url)?;
        RawReport::default()
    } else {
        let given = profile.fields_of_url(parts.query, opened.kind());
        given.map_err(of_url)?
    };
    let decode = match charset {
        Charset::Windows1252 => Some(charset::windows_1252 as fn(&[u8]) -> String),
        _ => None,
    };
    let reading = opened.events(is_answered, decode).map_err(failed)?;
    let (mut text, mut is_refused) = (String::new(), false);
    for event in reading.events {
        let shown = match event {
            Event::Ignored { reason, .. } => json!({"ignored": reason.as_str()}),
            Event::Report(mut mapped) => {
                mapped.report.overlay(given.clone());
                let shown = event_json(mapped, parts.is_request && !parts.is_hook);
                is_refused |= shown.get("errors").is_some();
                shown
            }
        };
        text.push_str(&format!("{shown}\n"));
    }
    if text.is_empty() {
        return Err(Failure::Failed("there is no event in the file".to_owned()));
    }
    Ok((text, is_refused))
}

/// A file as the request that it records, or whose body it is.
struct RecordedRequest<'a> {
    headers: HeaderMap,
    query: &'a str,
    body: &'a [u8],
    /// Whether the file has a whole request.
    is_request: bool,
    is_get: bool,
    /// Whether it is a request to a hook, whose token says whom it bills.
    is_hook: bool,
}

impl<'a> RecordedRequest<'a> {
    /// A file that does not begin like a request is a body, of the type that its name says.
    fn of(input: &'a [u8], content_type: Option<&str>, file: &Path) -> Result<Self, Failure> {
        let malformed = || Failure::Failed(format!("{} is not a valid request", file.display()));
        let mut recorded = Self {
            headers: HeaderMap::new(),
            query: "",
            body: input,
            is_request: input.starts_with(b"POST /") || input.starts_with(b"GET /"),
            is_get: input.starts_with(b"GET /"),
            is_hook: false,
        };
        let mut insert = |name: &str, value: &str| {
            let name: HeaderName = name.trim().parse().map_err(|_| malformed())?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| malformed())?;
            recorded.headers.insert(name, value);
            Ok::<_, Failure>(())
        };
        if recorded.is_request {
            let ends = [&b"\r\n\r\n"[..], b"\n\n"].into_iter();
            let ends = ends.filter_map(|end| Some((memmem::find(input, end)?, end.len())));
            let (at, length) = ends.min().unwrap_or((input.len(), 0));
            let head = std::str::from_utf8(&input[..at]).map_err(|_| malformed())?;
            recorded.body = &input[at + length..];
            let mut lines = head.lines();
            let target = lines.next().and_then(|line| line.split(' ').nth(1));
            let query = target.and_then(|target| target.split_once('?'));
            recorded.query = query.map_or("", |(_, query)| query);
            recorded.is_hook = target.is_some_and(|target| target.starts_with(routes::HOOKS));
            for line in lines {
                let (name, value) = line.split_once(':').ok_or_else(malformed)?;
                insert(name, value)?;
            }
        } else {
            let extension = file.extension().and_then(|extension| extension.to_str());
            let of_name = extension.and_then(|extension| match extension {
                "form" => Some("application/x-www-form-urlencoded"),
                "jsonl" => Some("application/jsonl"),
                name => Some(Format::from_name(name)?.content_type()),
            });
            if let Some(of_name) = of_name {
                insert("content-type", of_name)?;
            }
        }
        if let Some(content_type) = content_type {
            insert("content-type", content_type)?;
        }
        Ok(recorded)
    }
}

/// Shows a report, and what is wrong with it. Whom it bills is only known of a whole request.
fn event_json(mapped: Mapped, is_request: bool) -> Value {
    let Mapped { report, errors, .. } = mapped;
    let mut event = Map::new();
    for field in Field::ALL {
        let value = match report.get(field) {
            None => continue,
            Some(RawValue::Text(text)) => json!(text),
            Some(RawValue::Bytes(bytes)) => json!(String::from_utf8_lossy(bytes)),
            Some(RawValue::Structure) => json!({}),
        };
        event.insert(field.camel().to_owned(), value);
    }
    let mut refused = Report::parse(report.clone(), Timestamp::now())
        .err()
        .unwrap_or_default();
    let names_subject = |field| !matches!(field, Field::CallSid | Field::OccurredAt);
    refused
        .retain(|error| is_request || error.code != Code::NotEmpty || !names_subject(error.field));
    refused.extend(
        errors
            .into_iter()
            .filter(|error| !report.is_given(error.field)),
    );
    if !refused.is_empty() {
        let errors: Vec<_> = refused.iter().map(|error| &*error.message).collect();
        event.insert("errors".to_owned(), json!(errors));
    }
    Value::Object(event)
}
