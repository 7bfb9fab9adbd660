//! What commands that decide about many billables or sessions share: their files, the database
//! or the requests to a server, and the outcomes.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use super::progress::Progress;
use super::server::{Api, not_the_service};
use super::{Failure, open_log};
use crate::api::check_clock;
use crate::billable::{ClientName, Timestamp};
use crate::formats::decisions::ItemError;
use crate::formats::record::Record;
use crate::formats::{BodyFormat, Format, MAX_ITEMS};
use crate::store::{LogInfo, Origin, Store};
use crate::telemetry::print_line;
use crate::writer::{Writer, WriterTasks};

/// The size from which a piece is sent, in bytes; the server takes bodies of twice that.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// The largest number of wrong items that are shown.
const MAX_SHOWN: usize = 20;

/// The number of items that are stored together.
pub(super) const TOGETHER: usize = 500;

/// A database in which a command decides, for the client `admin`.
pub(super) struct Deciding {
    pub(super) store: Store,
    pub(super) log: LogInfo,
    pub(super) writer: Writer,
    pub(super) client: ClientName,
    pub(super) now: Timestamp,
    tasks: WriterTasks,
}

impl Deciding {
    pub(super) async fn open(url: &str) -> Result<Self, Failure> {
        let (store, log) = open_log(url).await?;
        let now = Timestamp::now();
        if let (_, Some(fault)) = check_clock(&store, now).await? {
            return Err(Failure::Failed(format!(
                "the clock is implausible: {fault}"
            )));
        }
        let (writer, tasks) = Writer::start(&store, log, 1, Origin::Import);
        Ok(Self {
            store,
            log,
            writer,
            client: ClientName::parse("admin").expect("a client name"),
            now,
            tasks,
        })
    }

    /// Waits for everything that the writer has accepted.
    pub(super) async fn close(self) {
        let Self {
            store,
            writer,
            mut tasks,
            ..
        } = self;
        drop(writer);
        while tasks.join_next().await.is_some() {}
        store.close().await;
    }
}

/// The failure of a command that has done a part: the same command again does the rest.
pub(super) fn interrupted(error: impl Display) -> Failure {
    Failure::Failed(format!(
        "{error}; some may be done, and the same command again does the others"
    ))
}

/// Reads a file, which is JSON if it begins like it, and else CSV.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Format), Failure> {
    let bytes = fs::read(path)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
    let is_json = BodyFormat::of(None, &bytes) == Ok(BodyFormat::Plain(Format::Json));
    let format = if is_json { Format::Json } else { Format::Csv };
    Ok((bytes, format))
}

/// Shows the items that are wrong, for which nothing is done.
pub(super) fn refused(errors: &[ItemError]) -> Failure {
    for ItemError { index, message, .. } in errors.iter().take(MAX_SHOWN) {
        let which = index.map_or_else(String::new, |index| format!("item {}: ", index + 1));
        print_line(&format!("{which}{message}"));
    }
    let count = errors.len();
    Failure::Failed(format!("{count} item(s) are wrong, so nothing was done"))
}

/// Refuses a list without items: a file in another shape may look empty.
pub(super) fn some<T>(items: Vec<T>) -> Result<Vec<T>, Failure> {
    if items.is_empty() {
        return Err(Failure::Failed(
            "there is nothing to decide: the file has no items".to_owned(),
        ));
    }
    Ok(items)
}

/// Sends items, each with its id, to a route that decides about many, in pieces that it accepts.
/// Returns what became of each, which must be one of `names`.
pub(super) async fn send<'a>(
    api: &Api,
    method: Method,
    path: &str,
    items: impl ExactSizeIterator<Item = (&'a str, Record<'a>)>,
    names: &[&str],
) -> Result<Vec<(String, String)>, Failure> {
    let mut progress = Progress::new("sending", u64::try_from(items.len()).ok());
    let mut outcomes = Vec::new();
    let (mut piece, mut inputs) = (String::new(), Vec::new());
    let mut items = items.peekable();
    while let Some((input, item)) = items.next() {
        piece.push_str(&item.write_item(Format::Csv, inputs.is_empty()));
        inputs.push(input);
        if inputs.len() < MAX_ITEMS && piece.len() < PIECE_BYTES && items.peek().is_some() {
            continue;
        }
        let body = std::mem::take(&mut piece);
        let answer = api.send(method.clone(), path, "text/csv", body).await;
        let answer = answer.map_err(|failure| match failure {
            Failure::Failed(reason) if !outcomes.is_empty() => Failure::Failed(format!(
                "{reason}; the first {} item(s) are done, and the same command again is safe",
                outcomes.len()
            )),
            failure => failure,
        })?;
        let decided = answer["items"].as_array().into_iter().flatten();
        let decided = decided.filter_map(|item| {
            let text = |name: &str| Some(item[name].as_str()?.to_owned());
            Some((text("input")?, text("outcome")?))
        });
        let decided: Vec<_> = decided.collect();
        let is_of = |((input, outcome), sent): (&(String, String), &&str)| {
            input == sent && names.contains(&&**outcome)
        };
        if decided.len() != inputs.len() || !decided.iter().zip(&inputs).all(is_of) {
            return Err(not_the_service());
        }
        outcomes.extend(decided);
        inputs.clear();
        let done = outcomes.len() as u64;
        progress.at(done, done);
    }
    Ok(outcomes)
}

/// Prints what became of each item, and how many have each of these outcomes.
pub(super) fn print(
    outcomes: &[(String, String)],
    names: &[&str],
    as_json: bool,
) -> Result<(), Failure> {
    let text = if as_json {
        let items = outcomes
            .iter()
            .map(|(input, outcome)| json!({"input": input, "outcome": outcome}));
        format!("{:#}\n", Value::Array(items.collect()))
    } else {
        let lines = outcomes
            .iter()
            .map(|(input, outcome)| format!("{outcome} {input}\n"));
        let counts = names.iter().map(|name| {
            let count = outcomes.iter().filter(|(_, outcome)| outcome == name);
            format!("{name} {}", count.count())
        });
        let counts: Vec<_> = counts.collect();
        lines.collect::<String>() + &counts.join(", ") + "\n"
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::Failed(format!("cannot print: {error}")))
}
