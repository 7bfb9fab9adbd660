//! `billables attribute`: sets whom sessions are billed to.

use std::collections::HashMap;
use std::path::PathBuf;

use http::Method;

use super::Failure;
use super::decisions::{self, Deciding, TOGETHER, interrupted};
use super::progress::Progress;
use super::server::ServerArgs;
use crate::attribution::{Carrier, decide};
use crate::billable::{Attribution, Pair, Text};
use crate::contract::routes;
use crate::formats::decisions::{
    Decision, SessionIn, WantedSession, check_sessions, distinct, read_sessions, session_outcomes,
};
use crate::formats::record::Record;
use crate::formats::value::Value;
use crate::telemetry::chain;

const OUTCOMES: [&str; 4] = ["decided", "same", "conflict", "pending"];

/// What to attribute.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Sessions that are billed to --account and --customer.
    #[arg(
        value_name = "SESSION",
        required_unless_present = "file",
        conflicts_with = "file",
        requires = "account",
        requires = "customer"
    )]
    sessions: Vec<String>,
    /// Account that the sessions are billed to.
    #[arg(long, conflicts_with = "file")]
    account: Option<String>,
    /// Customer that the sessions are billed to.
    #[arg(long, conflicts_with = "file")]
    customer: Option<String>,
    /// File with the sessions: CSV with the columns sessionId, accountId and customerId, or a JSON
    /// array of objects with these members.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print a JSON array instead of lines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let (api, as_json) = (args.server.api()?, args.json);
    let wanted = args.wanted()?;
    let outcomes = match api {
        Some(api) => {
            let items = wanted
                .iter()
                .map(|one| (one.session_id.as_str(), record(one)));
            decisions::send(&api, Method::PUT, routes::SESSIONS, items, &OUTCOMES).await?
        }
        None => attribute_all(url, wanted).await?,
    };
    decisions::print(&outcomes, &OUTCOMES, as_json)?;
    if outcomes.iter().any(|(_, outcome)| outcome == "conflict") {
        return Err(Failure::Failed(
            "a session is billed to another account or customer, and stays so".to_owned(),
        ));
    }
    Ok(())
}

impl Args {
    fn wanted(self) -> Result<Vec<WantedSession>, Failure> {
        let rows = match &self.file {
            Some(path) => {
                let (bytes, format) = decisions::read(path)?;
                read_sessions::<{ usize::MAX }>(&bytes, format)
                    .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?
            }
            None => {
                let sessions = self.sessions.into_iter();
                let of_pair = |session_id| SessionIn {
                    session_id: Some(session_id),
                    account_id: self.account.clone(),
                    customer_id: self.customer.clone(),
                };
                sessions.map(of_pair).collect()
            }
        };
        check_sessions(rows)
            .map_err(|errors| decisions::refused(&errors))
            .and_then(decisions::some)
    }
}

fn record(session: &WantedSession) -> Record<'_> {
    let WantedSession {
        session_id,
        pair: Pair {
            account_id,
            customer_id,
        },
    } = session;
    let members = vec![
        ("sessionId", Value::text(Some(session_id.as_str()))),
        ("accountId", Value::text(Some(account_id.as_str()))),
        ("customerId", Value::text(Some(customer_id.as_str()))),
    ];
    Record::new("SessionPair", members)
}

/// Decides about sessions of a database, and attributes their billables.
async fn attribute_all(
    url: &str,
    wanted: Vec<WantedSession>,
) -> Result<Vec<(String, String)>, Failure> {
    let deciding = Deciding::open(url).await?;
    let mut progress = Progress::new("attributing", u64::try_from(wanted.len()).ok());
    let mut decisions = HashMap::new();
    let mut done = Ok(());
    for some in distinct(&wanted, |one| &one.session_id).chunks(TOGETHER) {
        match attribute(&deciding, some).await {
            Ok(decided) => decisions.extend(decided),
            Err(failure) => {
                done = Err(failure);
                break;
            }
        }
        let count = decisions.len() as u64;
        progress.at(count, count);
    }
    deciding.close().await;
    done?;
    let outcomes = session_outcomes(wanted, decisions).into_iter();
    Ok(outcomes
        .map(|(input, outcome)| (input, outcome.to_owned()))
        .collect())
}

async fn attribute(
    deciding: &Deciding,
    wanted: &[&WantedSession],
) -> Result<HashMap<Text, Decision>, Failure> {
    let Deciding {
        store, log, writer, ..
    } = deciding;
    let attributions = wanted.iter().map(|one| Attribution {
        session_id: one.session_id.clone(),
        pair: one.pair.clone(),
        client: deciding.client.clone(),
        decided_at: deciding.now,
    });
    let attributions: Vec<_> = attributions.collect();
    let (decisions, open) = decide(store, &attributions).await.map_err(interrupted)?;
    let carrier = Carrier::new(store.clone(), *log, writer.clone());
    let carried = carrier.carry_out(open).await;
    carried.map_err(|error| interrupted(chain(&error)))?;
    Ok(decisions)
}
