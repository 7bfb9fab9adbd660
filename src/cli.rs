//! The commands. Results go to standard output, logs and errors to standard error.

mod arguments;
mod atomic_file;
mod attribute;
mod backup;
mod check;
mod client;
mod clock;
mod copy;
mod decisions;
mod export;
mod healthcheck;
mod import;
mod migrate;
mod openapi;
mod progress;
mod rebuild_totals;
mod records;
mod restore;
mod send;
mod senders;
mod serve;
mod server;
mod table;
mod token;
mod verify;
mod void;

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Args, CommandFactory, Parser, Subcommand};
use strsim::damerau_levenshtein;

use crate::calendar::zones_version;
use crate::config::{self, DatabaseArgs, LogArgs, ServeArgs};
use crate::store::{LogInfo, OpenError, Store, StoreError};
use crate::telemetry;

/// The versions of the program and of its time zone data.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let zones = zones_version();
    format!("{}\ntime zones {zones}", env!("CARGO_PKG_VERSION"))
});

/// Records billable telephony events; each one is stored once and permanently, before the response
/// is sent.
#[derive(Debug, Parser)]
#[command(name = "billables", version, long_version = LONG_VERSION.as_str(), args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
struct CommonArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP (the default command).
    Serve(ServeArgs),
    /// Check whether the server on this machine is ready, for Docker and systemd.
    Healthcheck(healthcheck::Args),
    /// Create, rotate, list and revoke tokens.
    Token(token::Args),
    /// List the senders whose requests are understood, show their setup, or try one.
    #[command(subcommand)]
    Senders(senders::Command),
    /// Post files of a sender to a server, and remove each once it is stored.
    Send(send::Args),
    /// List clients, and change the accounts that they are limited to.
    #[command(subcommand)]
    Client(client::Command),
    /// Migrate the database schema and create the log.
    Migrate(migrate::Args),
    /// Export billables as JSON lines or CSV.
    Export(export::Args),
    /// Import billables or reports from JSON lines or CSV; safe to repeat.
    Import(import::Args),
    /// Void billables, so that they are not billed.
    Void(void::Args),
    /// Set whom sessions are billed to.
    Attribute(attribute::Args),
    /// Compare an account's calls with a carrier's list.
    Check(check::Args),
    /// Copy a whole log to another database, including positions and tokens.
    Copy(copy::Args),
    /// Rebuild the totals from the log.
    RebuildTotals,
    /// Write a consistent copy of an SQLite database, even while a server is running.
    Backup(backup::Args),
    /// Restore a backup and give the log a new epoch, so that earlier cursors are rejected.
    Restore(restore::Args),
    /// Show whether this machine's clock is plausible, or accept it.
    Clock(clock::Args),
    /// Print the OpenAPI description of the HTTP interface, as served at `/openapi.json`.
    Openapi,
    /// Check the whole log for consistency; the exit code is 1 if anything is wrong.
    Verify(verify::Args),
}

/// Why a command failed, as a message for the operator.
#[derive(Debug)]
enum Failure {
    /// The arguments or settings are unusable: exit code 2.
    Usage(String),
    /// The command failed: exit code 1.
    Failed(String),
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let text = telemetry::chain(&error);
        match error {
            OpenError::Scheme | OpenError::Url(_) => Self::Usage(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(telemetry::chain(&error))
    }
}

/// Runs the command that the process's arguments, environment and `.env` specify.
pub fn main() -> ExitCode {
    let code = match parse_and_run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    };
    telemetry::flush();
    code
}

fn parse_and_run() -> Result<(), Failure> {
    // Only here: the `.env` of a parent folder belongs to something else.
    if let Err(error) = dotenvy::from_path("./.env")
        && !error.not_found()
    {
        return Err(Failure::Usage(format!(
            "cannot read .env{}",
            env_fault(&error)
        )));
    }
    let mut arguments = std::env::args_os();
    if arguments.any(|argument| config::has_password(&argument.to_string_lossy())) {
        return Err(Failure::Usage(
            "a password must not be an argument, because other users of the machine can see it: set DATABASE_URL, or put the password into PGPASSWORD or ~/.pgpass"
                .to_owned(),
        ));
    }
    run(Cli::parse())
}

/// Says what is wrong with `.env`. The error's own message would repeat the line, which may hold a
/// secret.
fn env_fault(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(line, _) => {
            let text = std::fs::read_to_string("./.env").unwrap_or_default();
            let first = line.lines().next().unwrap_or_default();
            // It has the rest of the line, from the value on, if the name is valid.
            let number = text
                .lines()
                .position(|known| known.trim().ends_with(first.trim()));
            let number = number.map(|index| format!(", line {}", index + 1));
            format!(
                "{}: each line must be NAME=VALUE or a comment",
                number.unwrap_or_default()
            )
        }
        dotenvy::Error::Io(error) => format!(": {error}"),
        _ => ": a name or a value is not valid".to_owned(),
    }
}

/// Warns of environment variables that look like settings and are none.
fn warn_of_unknown_variables() {
    // Cargo passes the last one, which is of the build, on to what it runs.
    let mut known = vec![
        "BILLABLES_ADMIN_TOKEN",
        "BILLABLES_ADMIN_TOKEN_FILE",
        "BILLABLES_COMMIT_TIME",
    ];
    let definition = definition();
    let commands = std::iter::once(&definition).chain(definition.get_subcommands());
    let arguments: Vec<_> = commands.flat_map(clap::Command::get_arguments).collect();
    known.extend(
        arguments
            .iter()
            .filter_map(|argument| argument.get_env()?.to_str()),
    );
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        // Kubernetes sets these for a service of the name `billables`.
        let is_of_service = name.starts_with("BILLABLES_SERVICE_")
            || name == "BILLABLES_PORT"
            || name.starts_with("BILLABLES_PORT_");
        if !name.starts_with("BILLABLES_") || is_of_service || known.contains(&&*name) {
            continue;
        }
        let nearest = known
            .iter()
            .min_by_key(|known| damerau_levenshtein(&name, known))
            .expect("there are settings");
        let name = telemetry::printable(&name, 100);
        tracing::warn!("there is no setting {name}; did you mean {nearest}?");
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Cli {
        command,
        serve,
        common,
    } = cli;
    telemetry::start(common.log.log_format, &config::log_filter())
        .map_err(|error| Failure::Usage(format!("RUST_LOG is invalid: {error}")))?;
    warn_of_unknown_variables();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start threads: {error}")))?;
    let url = common.database.database_url;
    runtime.block_on(async {
        match command {
            None => serve::run(&url, serve).await,
            Some(Command::Serve(serve)) => serve::run(&url, serve).await,
            Some(Command::Healthcheck(args)) => healthcheck::run(args).await,
            Some(Command::Token(args)) => token::run(&url, args).await,
            Some(Command::Send(args)) => send::run(args).await,
            Some(Command::Senders(command)) => senders::run(command),
            Some(Command::Client(command)) => client::run(&url, command).await,
            Some(Command::Migrate(args)) => migrate::run(&url, args).await,
            Some(Command::Export(args)) => export::run(&url, args).await,
            Some(Command::Import(args)) => import::run(&url, args).await,
            Some(Command::Void(args)) => void::run(&url, args).await,
            Some(Command::Attribute(args)) => attribute::run(&url, args).await,
            Some(Command::Check(args)) => check::run(&url, args).await,
            Some(Command::Copy(args)) => copy::run(args).await,
            Some(Command::RebuildTotals) => rebuild_totals::run(&url).await,
            Some(Command::Clock(args)) => clock::run(&url, args).await,
            Some(Command::Openapi) => {
                openapi::run();
                Ok(())
            }
            Some(Command::Backup(args)) => backup::run(&url, args).await,
            Some(Command::Restore(args)) => restore::run(&url, args).await,
            Some(Command::Verify(args)) => verify::run(&url, args).await,
        }
    })
}

fn report(failure: &Failure) -> ExitCode {
    let (text, code) = match failure {
        Failure::Usage(text) => (text, 2),
        Failure::Failed(text) => (text, 1),
    };
    telemetry::print_line(&format!("billables: {text}"));
    ExitCode::from(code)
}

/// Opens a store, or creates it, with one connection for reading, which is enough for a command.
async fn open_or_create(url: &str) -> Result<Store, Failure> {
    let store = Store::open(url, 1).await?;
    store.migrate().await?;
    Ok(store)
}

/// Opens a store that already has a log, for commands that must not create one.
async fn open_log(url: &str) -> Result<(Store, LogInfo), Failure> {
    let store = Store::open_existing(url, 1).await?;
    store.migrate().await?;
    match store.log_find().await? {
        Some((log, _)) => Ok((store, log)),
        None => Err(Failure::Failed(
            "the database has no log yet: is DATABASE_URL the same as the server's?".to_owned(),
        )),
    }
}

/// Returns the definition of the command line, for tests and documentation.
pub fn definition() -> clap::Command {
    Cli::command()
}
