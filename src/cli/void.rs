//! `billables void`: excludes billables from billing.

use std::collections::HashMap;
use std::path::PathBuf;

use http::Method;
use uuid::Uuid;

use super::Failure;
use super::decisions::{self, Deciding, TOGETHER, interrupted};
use super::progress::Progress;
use super::server::ServerArgs;
use crate::billable::{Text, Void};
use crate::contract::routes;
use crate::formats::decisions::{
    VoidsIn, WantedVoid, check_voids, distinct, read_voids, void_outcomes,
};
use crate::formats::record::Record;
use crate::formats::value::Value;

const OUTCOMES: [&str; 3] = ["voided", "replayed", "missing"];

/// What to void.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ids of the billables.
    #[arg(
        value_name = "ID",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    ids: Vec<Uuid>,
    /// Why they are voided; with a file, for those without a reason there.
    #[arg(long)]
    reason: Option<String>,
    /// File with the ids: CSV with the columns id and reason, or JSON with ids and a reason.
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
            let items = wanted.iter().map(|void| (&*void.input, record(void)));
            decisions::send(&api, Method::POST, routes::VOIDS, items, &OUTCOMES).await?
        }
        None => void_all(url, wanted).await?,
    };
    decisions::print(&outcomes, &OUTCOMES, as_json)?;
    if outcomes.iter().any(|(_, outcome)| outcome == "missing") {
        return Err(Failure::Failed("not every billable exists".to_owned()));
    }
    Ok(())
}

impl Args {
    fn wanted(self) -> Result<Vec<WantedVoid>, Failure> {
        let mut voids = match &self.file {
            Some(path) => {
                let (bytes, format) = decisions::read(path)?;
                read_voids::<{ usize::MAX }>(&bytes, format)
                    .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?
            }
            None => {
                let ids = self.ids.into_iter().map(|id| (id.to_string(), None));
                VoidsIn {
                    rows: ids.collect(),
                    reason: None,
                }
            }
        };
        let given = voids.reason.filter(|reason| !reason.trim().is_empty());
        voids.reason = given.or(self.reason);
        check_voids(voids)
            .map_err(|errors| decisions::refused(&errors))
            .and_then(decisions::some)
    }
}

fn record(void: &WantedVoid) -> Record<'_> {
    let members = vec![
        ("id", Value::text(Some(&*void.input))),
        (
            "reason",
            Value::text(void.reason.as_ref().map(Text::as_str)),
        ),
    ];
    Record::new("Void", members)
}

/// Voids billables of a database.
async fn void_all(url: &str, wanted: Vec<WantedVoid>) -> Result<Vec<(String, String)>, Failure> {
    let deciding = Deciding::open(url).await?;
    let mut progress = Progress::new("voiding", u64::try_from(wanted.len()).ok());
    let mut replayed = HashMap::new();
    let mut done = Ok(());
    for some in distinct(&wanted, |void| &void.id).chunks(TOGETHER) {
        let voids = some.iter().map(|void| Void {
            billable_id: void.id,
            reason: void.reason.clone(),
            client: deciding.client.clone(),
            at: deciding.now,
            accounts: None,
        });
        match deciding.writer.void(voids.collect()).await {
            Ok(voided) => {
                let voided = voided.into_iter().flatten();
                replayed.extend(voided.map(|(billable, is_replayed)| (billable.id(), is_replayed)));
            }
            Err(error) => {
                done = Err(interrupted(error));
                break;
            }
        }
        let count = replayed.len() as u64;
        progress.at(count, count);
    }
    deciding.close().await;
    done?;
    let outcomes = void_outcomes(wanted, replayed).into_iter();
    Ok(outcomes
        .map(|(input, outcome)| (input, outcome.to_owned()))
        .collect())
}
