//! `billables export`: writes the rows of `GET /billables?format=…`, byte for byte, in constant
//! memory.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::arguments::{PeriodArgs, RowFormat, account, call, customer, session};
use super::atomic_file::AtomicFile;
use super::progress::Progress;
use super::{Failure, open_log};
use crate::billable::{BillableState, Text};
use crate::calendar::Period;
use crate::formats::Format;
use crate::formats::record::ExportRows;
use crate::reader::{Filter, List};
use crate::telemetry::print_line;

/// What to export, and where to write it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Format of the rows; derived from the name of the file if omitted, and ndjson without one.
    #[arg(long, value_enum)]
    format: Option<RowFormat>,
    /// File to write; standard output if omitted.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long, requires = "output")]
    force: bool,
    /// Only billables that are billed to this account or, if not billed yet, name it.
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<Text>,
    /// Only billables that are billed to this customer or, if not billed yet, name it.
    #[arg(long, value_name = "ID", value_parser = customer)]
    customer: Option<Text>,
    /// Only billables of this session.
    #[arg(long, value_name = "ID", value_parser = session)]
    session: Option<Text>,
    /// Only billables with this callSid.
    #[arg(long, value_name = "SID", value_parser = call)]
    call: Option<Text>,
    #[command(flatten)]
    period: PeriodArgs,
    /// Only billables in this state: billable, unattributed or voided.
    #[arg(long, value_parser = state)]
    state: Option<BillableState>,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let Args {
        format,
        output,
        force,
        account,
        customer,
        session,
        call,
        period,
        state,
    } = args;
    let Period { from, to } = period.period()?;
    let format = format_of(output.as_deref(), format)?;
    let filter = Filter {
        account_id: account,
        customer_id: customer,
        session_id: session,
        call_sid: call,
        from,
        to,
        state,
        ..Filter::default()
    };
    let (store, log) = open_log(url).await?;
    let list = List::begin(store.clone(), log, filter, None).await?;
    match &output {
        Some(path) => {
            let partial = AtomicFile::beside(path)?;
            if !force && path.exists() {
                return Err(exists(path));
            }
            let named = path.display().to_string();
            let exported = export(list, format, partial.file(), &named).await?;
            if force {
                partial.replace(path)?;
            } else if let Err(failure) = partial.persist_new(path) {
                // Somebody else may have made it since.
                return Err(if path.exists() { exists(path) } else { failure });
            }
            println!("{exported}");
        }
        None => {
            let stdout = io::stdout().lock();
            let exported = export(list, format, stdout, "standard output").await?;
            print_line(&exported);
        }
    }
    store.close().await;
    Ok(())
}

/// Writes every row; returns a message with the number of rows and their SHA-256.
async fn export(
    list: List,
    format: Format,
    mut to: impl Write,
    named: &str,
) -> Result<String, Failure> {
    let mut progress = Progress::new("exporting", None);
    let mut rows = ExportRows::new(format, false);
    let mut billables = list.read_ahead(usize::MAX);
    while let Some(read) = billables.next().await? {
        for billable in read {
            rows.write(&billable);
        }
        to.write_all(rows.take().as_bytes())
            .map_err(failed(named))?;
        let count = rows.count() as u64;
        progress.at(count, count);
    }
    // If there are no rows, this is the header.
    to.write_all(rows.take().as_bytes())
        .and_then(|()| to.flush())
        .map_err(failed(named))?;
    let count = rows.count();
    Ok(format!("exported {count} rows, sha256 {}", rows.sha256()))
}

/// Returns the format of a file, by its name unless the format is given.
fn format_of(output: Option<&Path>, given: Option<RowFormat>) -> Result<Format, Failure> {
    let Some(path) = output else {
        return Ok(given.unwrap_or(RowFormat::Ndjson).into());
    };
    let extension = path.extension().and_then(|extension| extension.to_str());
    let by_name = match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => Some(RowFormat::Csv),
        Some("ndjson" | "jsonl") => Some(RowFormat::Ndjson),
        _ => None,
    };
    given.or(by_name).map(Into::into).ok_or_else(|| {
        Failure::Usage(format!(
            "cannot tell the format of {} from its name: set --format to ndjson or csv",
            path.display()
        ))
    })
}

fn exists(path: &Path) -> Failure {
    Failure::Usage(format!(
        "{} exists: name another file, or replace it with --force",
        path.display()
    ))
}

fn failed(named: &str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Failed(format!("cannot write {named}: {error}"))
}

fn state(name: &str) -> Result<BillableState, String> {
    BillableState::from_name(name)
        .ok_or_else(|| "must be billable, unattributed or voided".to_owned())
}
