//! `POST /billables/check`: which calls or ids are stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use axum::extract::{Request, State};
use axum::response::Response;
use uuid::Uuid;

use crate::api::caller::Caller;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, body};
use crate::billable::entry::partition_of;
use crate::billable::{
    Billable, BillableState, Code, Field, FieldError, LogEntry, Text, Timestamp,
};
use crate::formats::json::visit::UpTo;
use crate::formats::record::{Record, page};
use crate::formats::value::Value;
use crate::reader::MAX_OF_CALL;
use crate::store::CallLookup;
use crate::token::Scope;

/// The maximum number of inputs in a request.
const MAX_INPUTS: usize = 10_000;

/// The number of inputs in a look-up.
const LOOKUP_BATCH: usize = 500;

/// The maximum number of ids that a response lists for calls. A call that is given twice is listed
/// twice.
const MAX_LISTED: usize = 200_000;

const TOO_MUCH: ApiError =
    ApiError::TooMuch("these calls have too many billables in total; check fewer at a time");

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CheckIn {
    call_sids: Option<UpTo<String, MAX_INPUTS>>,
    ids: Option<UpTo<String, MAX_INPUTS>>,
}

/// What a call or an id is known by.
#[derive(Clone)]
struct Answer {
    state: &'static str,
    ids: Vec<Uuid>,
}

impl Answer {
    /// Builds the answer for a call or an id, which is present if any of its billables is not
    /// voided.
    fn of(billables: &[&Billable]) -> Self {
        let is_voided = |billable: &&Billable| billable.state() == BillableState::Voided;
        let state = match billables {
            [] => "missing",
            some if some.iter().all(is_voided) => "voided",
            _ => "present",
        };
        Self {
            state,
            ids: billables.iter().map(|billable| billable.id()).collect(),
        }
    }
}

/// Returns for each input whether it is present, voided or missing. Billables that the token may
/// not see are missing.
pub(in crate::api) async fn check_billables(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    let (head, body) = request.into_parts();
    let limit = app.request_timeout / 2;
    let (wanted, claim): (CheckIn, _) =
        body::read_json(&head, body, &app.budget, caller.client(), limit).await?;
    // Without this check, a request with a misspelt member name would be answered as a check of no
    // calls.
    let CheckIn { call_sids, ids } = wanted;
    if call_sids.is_none() && ids.is_none() {
        return Err(ApiError::Parameter {
            name: "CallSids",
            code: Code::NotEmpty,
            message: "callSids or ids is required".to_owned(),
        });
    }
    let UpTo(call_sids) = call_sids.unwrap_or_default();
    let UpTo(ids) = ids.unwrap_or_default();
    if call_sids.len() + ids.len() > MAX_INPUTS {
        return Err(ApiError::TooManyItems);
    }
    let permit = app.reads.acquire(caller.client()).await?;
    let by_call = check_calls(&app, &caller, &call_sids).await?;
    let parsed: Vec<Option<Uuid>> = ids.iter().map(|id| id.parse().ok()).collect();
    let by_id = check_ids(&app, &caller, parsed.iter().flatten().copied().collect()).await?;
    let missing = || Answer::of(&[]);
    let mut room = MAX_LISTED;
    let mut checked = Vec::with_capacity(call_sids.len() + ids.len());
    for call in call_sids {
        let answer = by_call.get(&call).cloned().unwrap_or_else(missing);
        room = room.checked_sub(answer.ids.len()).ok_or(TOO_MUCH)?;
        checked.push((call, answer));
    }
    for (input, id) in ids.into_iter().zip(parsed) {
        let answer = id.and_then(|id| by_id.get(&id).cloned());
        checked.push((input, answer.unwrap_or_else(missing)));
    }
    let format = response_format.format;
    let items =
        checked
            .into_iter()
            .enumerate()
            .map(move |(index, (input, Answer { state, ids }))| {
                let _held = (&permit, &claim);
                let ids = ids.iter().map(|id| Value::text(Some(id.to_string())));
                let members = vec![
                    ("input", Value::text(Some(input))),
                    ("state", Value::text(Some(state))),
                    ("ids", Value::List(ids.collect())),
                ];
                Record::new("CheckedBillable", members).write_item(format, index == 0)
            });
    Ok(response_format.pieces(page("CheckedBillable", items, None, None, format)))
}

/// Looks up calls, each once however often it is given.
async fn check_calls(
    app: &App,
    caller: &Caller,
    calls: &[String],
) -> Result<HashMap<String, Answer>, ApiError> {
    for call in calls {
        // Rejects, for example, an empty callSid, which identifies no call.
        let parsed = Text::parse(Field::CallSid, call.clone());
        parsed.map_err(|error: FieldError| ApiError::from(vec![error]))?;
    }
    let distinct: BTreeSet<_> = calls.iter().map(String::as_str).collect();
    let distinct: Vec<_> = distinct.into_iter().collect();
    let accounts = caller.accounts();
    let accounts: Option<Vec<_>> = accounts
        .as_ref()
        .map(|accounts| accounts.iter().map(String::as_str).collect());
    let _permit = if distinct.is_empty() {
        None
    } else {
        Some(app.lookups.acquire(caller.client()).await?)
    };
    let mut answers = HashMap::new();
    let mut listed = 0;
    for calls in distinct.chunks(LOOKUP_BATCH) {
        let lookup = CallLookup {
            calls,
            accounts: accounts.as_deref(),
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            cut: None,
            limit: MAX_OF_CALL + 1,
        };
        let mut found = app.store.entries_of_calls(app.log, &lookup).await?;
        if found.len() > MAX_OF_CALL {
            return Err(TOO_MUCH);
        }
        if accounts.is_some() {
            found = find_whole(app, found).await?;
        }
        let mut by_call: HashMap<&str, Vec<&Billable>> = HashMap::new();
        let billables = seen(caller, found);
        for billable in billables.values() {
            if let Some(call) = &billable.recorded.reported.call_sid {
                by_call.entry(call.as_str()).or_default().push(billable);
            }
        }
        listed += billables.len();
        if listed > MAX_LISTED {
            return Err(TOO_MUCH);
        }
        let found = by_call.iter();
        answers.extend(found.map(|(call, found)| ((*call).to_owned(), Answer::of(found))));
    }
    Ok(answers)
}

/// Looks up ids, each once however often it is given.
async fn check_ids(
    app: &App,
    caller: &Caller,
    ids: BTreeSet<Uuid>,
) -> Result<HashMap<Uuid, Answer>, ApiError> {
    let mut answers = HashMap::new();
    let accounts = caller.accounts();
    for ids in with_partitions(app, ids).chunks(LOOKUP_BATCH) {
        let found = match &accounts {
            None => app.store.entries_find(ids).await?,
            Some(accounts) => {
                let accounts: Vec<_> = accounts.iter().map(String::as_str).collect();
                let own = app.store.entries_find_of(ids, &accounts).await?;
                find_whole(app, own).await?
            }
        };
        let billables = seen(caller, found);
        let found = billables.iter();
        answers.extend(found.map(|(id, billable)| (*id, Answer::of(&[billable]))));
    }
    Ok(answers)
}

/// Returns all entries of the billables that some entries belong to. If a billable was attributed
/// later, only some of its entries are of an account.
async fn find_whole(app: &App, some: Vec<LogEntry>) -> Result<Vec<LogEntry>, ApiError> {
    let ids: BTreeSet<_> = some
        .iter()
        .map(|log_entry| log_entry.entry.billable_id)
        .collect();
    if ids.is_empty() {
        return Ok(some);
    }
    Ok(app.store.entries_find(&with_partitions(app, ids)).await?)
}

/// Returns the ids with their partitions.
fn with_partitions(app: &App, ids: BTreeSet<Uuid>) -> Vec<(u32, Uuid)> {
    let partition = |id| (partition_of(id, app.log.partitions), id);
    ids.into_iter().map(partition).collect()
}

fn seen(caller: &Caller, found: Vec<LogEntry>) -> BTreeMap<Uuid, Billable> {
    let billables = Billable::assemble(found.into_iter().map(|log_entry| log_entry.entry));
    let seen = billables.into_iter();
    seen.filter(|(_, billable)| caller.sees(billable)).collect()
}
