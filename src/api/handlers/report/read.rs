//! Reads what a request reports: by our own names, or with a sender's profile.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use quick_xml::escape::escape;

use crate::api::ApiError;
use crate::api::caller::Caller;
use crate::api::path::RouteStyle;
use crate::billable::{Field, RawReport, RawValue};
use crate::formats::charset::{self, Charset};
use crate::formats::parameters::Parameters;
use crate::formats::{BindError, Binding, BodyFormat};
use crate::limits::Claim;
use crate::senders::{self, Event, Mapped, Named, Profile, Reading, Request};
use crate::telemetry::printable;
use crate::token::SenderSettings;

/// The memory of a batch item apart from its share of the body, in bytes: the entry, its outcome
/// and its part of the response.
const ITEM: usize = 2 * 1024;

/// How a request is read.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// `None` for our own names.
    pub(super) profile: Option<Arc<Profile>>,
    /// Whether only answered calls count.
    is_answered: bool,
    /// What the token sets.
    settings: Option<Arc<SenderSettings>>,
    /// Whether a sender is named where FreeSWITCH appends what a caller chose.
    names_more: bool,
}

impl Sender {
    /// What the token sets cannot be set aside. What it does not set, the URL may name.
    pub(super) fn of(
        caller: &Caller,
        method: &Method,
        style: RouteStyle,
        query: &str,
    ) -> Result<Self, ApiError> {
        let (settings, profile) = caller.sender();
        let is_operation = matches!(style, RouteStyle::Operation { .. });
        if is_operation && profile.is_some() {
            return Err(ApiError::SenderRoute);
        }
        let own = senders::own_query(query, profile.map(|profile| &**profile));
        let named = if is_operation || *method != Method::POST {
            // Routes by name ignore parameters that they do not know, and the query of a GET is the
            // sender's event.
            Named {
                sender: None,
                answered: profile.and_then(|profile| answered_in(profile, own)),
            }
        } else {
            Named::of(own)?
        };
        let profile = match (profile, named.sender) {
            (Some(profile), Some(name)) if !profile.name.eq_ignore_ascii_case(&name) => {
                return Err(ApiError::parameter(
                    "Sender",
                    "must not be given, because the token has another sender",
                ));
            }
            (Some(profile), _) => Some(profile.clone()),
            (None, None) => None,
            (None, Some(name)) => Some(senders::find(&name).ok_or_else(|| {
                ApiError::parameter("Sender", format!("must be one of {}", senders::names()))
            })?),
        };
        let is_answered = named.answered.unwrap_or_default()
            || settings.is_some_and(|settings| settings.answered);
        let knows_answered = profile
            .as_ref()
            .is_some_and(|profile| profile.knows_answered());
        if is_answered && !knows_answered {
            return Err(ApiError::parameter(
                "Answered",
                "must only be given with a sender that says which calls were answered",
            ));
        }
        Ok(Self {
            profile,
            is_answered,
            settings: settings.cloned(),
            names_more: !Named::of(&query[own.len()..])
                .is_ok_and(|named| named == Named::default()),
        })
    }

    /// The name of the profile.
    pub(super) fn name(&self) -> Option<&str> {
        self.profile.as_ref().map(|profile| &*profile.name)
    }

    /// Whether a report without an identity is refused.
    pub(super) fn requires_identity(&self) -> bool {
        self.settings
            .as_ref()
            .is_some_and(|settings| settings.requires_identity)
    }

    /// The response to a success, if the sender needs a certain one: its status, type and body.
    pub(super) fn reply(&self, base: &str, uri: &Uri) -> Option<(StatusCode, HeaderValue, String)> {
        let reply = self.profile.as_ref()?.reply.as_ref()?;
        let url = match uri.path_and_query() {
            Some(path) => format!("{base}{path}"),
            None => base.to_owned(),
        };
        let url = if reply.content_type.contains("xml") {
            escape(&*url).into_owned()
        } else {
            url
        };
        Some((
            StatusCode::from_u16(reply.status).ok()?,
            HeaderValue::from_str(&reply.content_type).ok()?,
            reply.body.replace("{url}", &url),
        ))
    }

    fn is_hook(&self) -> bool {
        self.settings
            .as_ref()
            .is_some_and(|settings| settings.is_hook)
    }

    /// The account and customer of every report.
    fn pair(&self) -> Option<&[String; 2]> {
        self.settings.as_ref()?.pair.as_ref()
    }
}

/// Whether the query of an event asks for answered calls alone, unless that is a part of the event.
fn answered_in(profile: &Profile, own: &str) -> Option<bool> {
    if profile.reads_parameter("answered") || !profile.knows_answered() {
        return None;
    }
    Named::answered(own).ok()?
}

/// What a request reports.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) events: Vec<Event>,
    pub(super) is_batch: bool,
}

/// The parts of a request that are read.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    pub(super) style: RouteStyle,
    /// Whether an `Idempotency-Key` identifies the report.
    pub(super) has_key: bool,
}

/// Parses the reports of a request, from its body and its query.
pub(super) fn read(
    input: Input<'_>,
    sender: &Sender,
    claim: &mut Claim,
) -> Result<Requested, ApiError> {
    // A Content-Type that is not ASCII is unsupported; a missing one is sniffed.
    let content_type = input
        .headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    let is_operation = matches!(input.style, RouteStyle::Operation { .. });
    let charset = match Charset::of(content_type) {
        // Routes by name ignore a charset that is not known, and an empty body has none.
        Err(_) if is_operation || input.body.is_empty() => Charset::Utf8,
        charset => charset?,
    };
    claim.grow(charset.memory(input.body))?;
    let body = &*charset.decode(input.body)?;
    let decode = match charset {
        Charset::Windows1252 => Some(charset::windows_1252 as fn(&[u8]) -> String),
        _ => None,
    };
    let request = Request {
        content_type,
        headers: input.headers,
        query: input.query,
        body,
    };
    let mut requested = match &sender.profile {
        Some(profile) => read_with(profile, request, sender, decode, claim)?,
        None => read_plain(input, request, sender, decode, claim)?,
    };
    if let Some(pair) = sender.pair() {
        for event in &mut requested.events {
            if let Event::Report(mapped) = event {
                for (field, text) in [Field::AccountId, Field::CustomerId].iter().zip(pair) {
                    mapped
                        .report
                        .set(*field, Some(RawValue::Text(text.clone())));
                }
            }
        }
    }
    for event in &mut requested.events {
        if let Event::Report(Mapped { report, errors, .. }) = event {
            errors.retain(|error| !report.is_given(error.field));
        }
    }
    Ok(requested)
}

/// Reads a request with a profile. The URL's fields win over what the profile reads.
fn read_with(
    profile: &Profile,
    request: Request<'_>,
    sender: &Sender,
    decode: Option<fn(&[u8]) -> String>,
    claim: &mut Claim,
) -> Result<Requested, ApiError> {
    let opened = profile.open(request)?;
    let given = if sender.is_hook() {
        senders::check_hook(profile, request.query)?;
        RawReport::default()
    } else {
        profile.fields_of_url(request.query, opened.kind())?
    };
    if opened.count() > 1 {
        // Each event gets a copy of what the request says once.
        let given = Field::ALL.iter().filter_map(|field| given.get(*field));
        let given: usize = given.map(senders::size_of).sum();
        claim.grow(opened.count() * (ITEM + given + opened.shared_bytes()))?;
    }
    let Reading {
        mut events,
        is_batch,
    } = opened.events(sender.is_answered, decode)?;
    if is_batch && given.is_given(Field::CallSid) {
        return Err(BindError::Fields(vec![Field::CallSid]).into());
    }
    for event in &mut events {
        if let Event::Report(mapped) = event {
            mapped.is_hashed &= !given.is_given(Field::CallSid);
            mapped.report.overlay(given.clone());
        }
    }
    Ok(Requested { events, is_batch })
}

/// Reads a request by our own names. A profile that recognises the request fills in what is missing.
fn read_plain(
    input: Input<'_>,
    request: Request<'_>,
    sender: &Sender,
    decode: Option<fn(&[u8]) -> String>,
    claim: &mut Claim,
) -> Result<Requested, ApiError> {
    let Request {
        content_type, body, ..
    } = request;
    let malformed = |reason: &str| Err(ApiError::Malformed(reason.to_owned()));
    let (format, binding) = match input.style {
        RouteStyle::Resource { .. } => {
            let format = BodyFormat::of(content_type, body)?;
            let binding = if format.is_form() {
                Binding::Fill
            } else {
                Binding::Override
            };
            (format, binding)
        }
        RouteStyle::Operation { format, is_batch } => {
            if is_batch && body.is_empty() {
                return malformed("the body of a batch must not be empty");
            }
            (
                BodyFormat::of_route(format, content_type, body),
                Binding::Fill,
            )
        }
    };
    let mut document = format.read(body)?;
    let recognised = senders::recognise(&format, request, decode)?;
    let (mut query, mut hints) = (input.query, Vec::new());
    let is_operation = match input.style {
        RouteStyle::Resource { .. } => {
            let appends = recognised
                .as_ref()
                .is_some_and(|recognised| recognised.profile.appends());
            if sender.names_more && !appends {
                return Err(ApiError::parameter(
                    "Sender",
                    "must stand before uuid in the URL",
                ));
            }
            if query.contains("&amp;") {
                senders::refuse_unknown("amp;", true)?;
            }
            if let Some(recognised) = recognised {
                (query, _) = recognised.profile.split_query(query);
                hints = recognised.reports;
            }
            false
        }
        RouteStyle::Operation { is_batch, .. } => {
            if recognised.is_some_and(|recognised| recognised.profile.appends()) {
                return malformed("call detail records must be sent to /billables");
            }
            document = match is_batch {
                true => document.into_batch(),
                false if document.is_batch() => {
                    return malformed("a batch of reports must be sent to NewBillable[]");
                }
                false => document,
            };
            true
        }
    };
    if let Some(decode) = decode {
        document.decode_fields(decode);
    }
    let has_pair = sender.pair().is_some();
    document.bind(query, binding, has_pair)?;
    let is_batch = document.is_batch();
    if is_batch {
        claim.grow(document.count() * ITEM)?;
    }
    let mut unread = document.unrecognised().to_vec();
    if body.is_empty() && !is_operation {
        unread = parameters_unread(query, has_pair)?;
    }
    let mut hints = hints.into_iter();
    let mut names_call = false;
    let mapped = |mut report: RawReport| {
        let mut hint = hints.next().unwrap_or_default();
        hint.is_hashed &= !report.is_given(Field::CallSid);
        report.fill_from(std::mem::take(&mut hint.report));
        names_call |= report.is_given(Field::CallSid);
        Event::Report(Mapped { report, ..hint })
    };
    let events = document.into_reports().into_iter().map(mapped).collect();
    if !is_operation && !input.has_key && !names_call && !unread.is_empty() {
        return Err(ApiError::NothingRecognised(nothing_recognised(&unread)));
    }
    Ok(Requested { events, is_batch })
}

/// Returns the parameters that nobody reads, if something in the URL names whom to bill: they are
/// from a sender that writes its events into the query.
fn parameters_unread(query: &str, has_pair: bool) -> Result<Vec<String>, ApiError> {
    let query = Parameters::parse(query)?;
    let report = query.report();
    let is_given = |field: &Field| report.is_given(*field);
    let names_subject = has_pair
        || is_given(&Field::SessionId)
        || [Field::AccountId, Field::CustomerId].iter().all(is_given);
    let is_own = |name: &&str| {
        let mut own = senders::OWN_PARAMETERS.iter();
        Field::from_name(name).is_some() || own.any(|own| own.eq_ignore_ascii_case(name))
    };
    let unread = query.names().filter(|name| names_subject && !is_own(name));
    Ok(unread.take(10).map(str::to_owned).collect())
}

fn nothing_recognised(unread: &[String]) -> String {
    format!(
        "the URL names whom to bill, but nothing names the call: send callSid, or an Idempotency-Key, or name the sender; the request has {}",
        printable(&unread.join(", "), 500)
    )
}
