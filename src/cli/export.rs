//! `billables export`: writes the rows of `GET /billables?format=…`, byte for byte, in constant
//! memory.

use std::io::{self, Write};
use std::path::PathBuf;

use super::arguments::{RowFormat, account, call, customer, session, timestamp};
use super::atomic_file::AtomicFile;
use super::progress::Progress;
use super::{Failure, open_log};
use crate::billable::{BillableState, Text, Timestamp};
use crate::formats::Format;
use crate::formats::record::ExportRows;
use crate::reader::{Filter, List};
use crate::telemetry::print_line;

/// What to export, and where to write it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Format of the rows.
    #[arg(long, value_enum, default_value = "ndjson")]
    format: RowFormat,
    /// File to write; standard output if omitted.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
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
    /// Only billables that occurred at or after this RFC 3339 timestamp.
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp)]
    from: Option<Timestamp>,
    /// Only billables that occurred before this RFC 3339 timestamp.
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp)]
    to: Option<Timestamp>,
    /// Only billables in this state: billable, unattributed or voided.
    #[arg(long, value_parser = state)]
    state: Option<BillableState>,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let Args {
        format,
        output,
        account,
        customer,
        session,
        call,
        from,
        to,
        state,
    } = args;
    let filter = Filter {
        account_id: account,
        customer_id: customer,
        session_id: session,
        call_sid: call,
        from,
        to,
        state,
    };
    let (store, log) = open_log(url).await?;
    let list = List::begin(store.clone(), log, filter, None).await?;
    let format = format.into();
    match &output {
        Some(path) => {
            let partial = AtomicFile::beside(path)?;
            let named = path.display().to_string();
            let exported = export(list, format, partial.file(), &named).await?;
            partial.replace(path)?;
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
    let mut rows = ExportRows::new(format);
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

fn failed(named: &str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Failed(format!("cannot write {named}: {error}"))
}

fn state(name: &str) -> Result<BillableState, String> {
    BillableState::from_name(name)
        .ok_or_else(|| "must be billable, unattributed or voided".to_owned())
}
