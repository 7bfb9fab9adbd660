//! The last refused requests, in memory: their log lines are warnings, they are counted, and
//! `GET /refusals` lists them, so that the owner of a sender can find out why its reports are
//! refused.
//!
//! Each client has room of its own, and so have requests without a valid token, so that a flood of
//! one does not displace the others.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tracing::{info, warn};

use super::ApiError;
use crate::billable::{ClientName, Timestamp};
use crate::contract::errors;
use crate::metrics::METRICS;
use crate::senders::Ignored;
use crate::telemetry::{printable, without_secrets};

/// The maximum number of refusals kept of each client, and of requests without one.
const MAX_OF_CLIENT: usize = 100;

/// The maximum number of refusals kept in all.
const MAX_REFUSALS: usize = 1000;

/// The maximum number of clients whose name is a label in the metrics.
const MAX_LABELS: usize = 200;

/// The label of further clients. No client has this name.
const FURTHER: &str = "(other)";

/// The maximum number of warnings in a second about each client.
const WARNINGS: NonZeroU32 = NonZeroU32::new(100).expect("not zero");

/// The longest message that is kept, in characters.
const MAX_MESSAGE: usize = 300;

/// A request that was refused, or that failed.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) at: Timestamp,
    /// The address that the request came from, as far as it is known.
    pub(super) peer: Option<IpAddr>,
    /// The client, if the token was valid.
    pub(super) client: Option<ClientName>,
    /// The profile that the report was read with.
    pub(super) sender: Option<String>,
    pub(super) request_id: String,
    pub(super) route: &'static str,
    pub(super) status: u16,
    pub(super) code: &'static str,
    /// The first field that is to blame, if one is.
    pub(super) field: Option<&'static str>,
    /// On one line, without characters that a terminal interprets.
    pub(super) message: String,
}

impl Refusal {
    /// Returns the first field that an error blames, and its message without secrets.
    pub(super) fn message_of(error: &ApiError) -> (Option<&'static str>, String) {
        let said = error.response_status();
        let field = said.errors.first().map(|error| error.field_name);
        let message = without_secrets(&printable(&said.message, MAX_MESSAGE));
        (field, message)
    }
}

/// An event of a request that was not stored, because it is none that is billed.
#[derive(Clone, Debug)]
pub(super) struct IgnoredEvent {
    /// Its index in the request.
    pub(super) index: usize,
    pub(super) reason: Ignored,
    /// The call, if the event names it.
    pub(super) call_sid: Option<String>,
}

/// The last refusals. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    of_clients: HashMap<Option<ClientName>, OfClient>,
    count: usize,
}

#[derive(Debug)]
struct OfClient {
    last: VecDeque<Refusal>,
    warnings: DefaultDirectRateLimiter,
    label: String,
}

impl Kept {
    fn of(&mut self, client: Option<ClientName>) -> &mut OfClient {
        let labels = self.of_clients.len();
        self.of_clients
            .entry(client)
            .or_insert_with_key(|client| OfClient {
                last: VecDeque::new(),
                warnings: RateLimiter::direct(Quota::per_second(WARNINGS)),
                label: match client {
                    Some(client) if labels < MAX_LABELS => client.to_string(),
                    Some(_) => FURTHER.to_owned(),
                    None => String::new(),
                },
            })
    }
}

impl Refusals {
    /// Keeps and counts a refusal. Returns whether it should be warned of: there are few enough of
    /// this client's.
    pub(super) fn add(&self, refusal: Refusal) -> bool {
        let mut kept = self.kept();
        let of_client = kept.of(refusal.client.clone());
        METRICS.refusal(&of_client.label, refusal.code);
        let is_warned = of_client.warnings.check().is_ok();
        of_client.last.push_back(refusal);
        let is_over = of_client.last.len() > MAX_OF_CLIENT;
        if is_over {
            of_client.last.pop_front();
        }
        kept.count += usize::from(!is_over);
        if kept.count > MAX_REFUSALS {
            // The oldest of those that have most.
            let most = kept
                .of_clients
                .values_mut()
                .max_by_key(|of_client| of_client.last.len());
            most.and_then(|of_client| of_client.last.pop_front());
            kept.count -= 1;
        }
        is_warned
    }

    /// Counts and logs the events of a request that are not stored.
    pub(super) fn add_ignored(&self, client: &ClientName, events: &[IgnoredEvent]) {
        if events.is_empty() {
            return;
        }
        let label = self.kept().of(Some(client.clone())).label.clone();
        for event in events {
            METRICS.ignored(&label, event.reason.as_str());
        }
        for event in events.iter().take(MAX_OF_CLIENT) {
            let call_sid = event.call_sid.as_ref();
            info!(
                client = client.as_str(),
                reason = event.reason.as_str(),
                call_sid = call_sid.map(|call_sid| printable(call_sid, MAX_MESSAGE)),
                "ignored an event"
            );
        }
    }

    /// Keeps a request that was refused before it reached the API, because it is not HTTP.
    pub fn add_unreadable(&self, peer: SocketAddr, status: u16, reason: &str) {
        let peer = peer.ip().to_canonical();
        let message = without_secrets(&printable(reason, MAX_MESSAGE));
        let code = errors::BAD_REQUEST.code;
        let is_warned = self.add(Refusal {
            at: Timestamp::now(),
            peer: Some(peer),
            client: None,
            sender: None,
            request_id: String::new(),
            route: "other",
            status,
            code,
            field: None,
            message: message.clone(),
        });
        if is_warned {
            warn!(%peer, http.status = status, outcome = code, error = message, "refused");
        }
    }

    /// Returns the refusals, newest first.
    pub(super) fn list(&self) -> Vec<Refusal> {
        let kept = self.kept();
        let mut all: Vec<_> = kept
            .of_clients
            .values()
            .flat_map(|of_client| of_client.last.iter().cloned())
            .collect();
        drop(kept);
        all.sort_by_key(|refusal| std::cmp::Reverse(refusal.at));
        all
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(client: Option<&str>, second: i64) -> Refusal {
        Refusal {
            at: Timestamp::from_micros(second * 1_000_000).expect("a time"),
            peer: None,
            client: client.map(|name| ClientName::parse(name).expect("a name")),
            sender: None,
            request_id: "r".to_owned(),
            route: "/billables",
            status: 400,
            code: "NotEmpty",
            field: None,
            message: String::new(),
        }
    }

    #[test]
    fn a_flood_of_one_client_displaces_no_refusal_of_another() {
        let refusals = Refusals::default();
        for client in 0..20 {
            refusals.add(refusal(Some(&format!("c{client}")), client));
        }
        for second in 0..5000 {
            refusals.add(refusal(None, second));
            refusals.add(refusal(Some("loud"), second));
        }
        let list = refusals.list();
        assert_eq!(list.len(), 220);
        assert!(list.is_sorted_by_key(|refusal| std::cmp::Reverse(refusal.at)));
        let of = |name: Option<&str>| {
            let mut of = list.iter();
            of.by_ref()
                .filter(|refusal| refusal.client.as_ref().map(ClientName::as_str) == name)
                .count()
        };
        assert_eq!((of(None), of(Some("loud")), of(Some("c3"))), (100, 100, 1));
    }

    #[test]
    fn the_number_of_refusals_is_bounded_and_the_loudest_clients_lose_first() {
        let refusals = Refusals::default();
        refusals.add(refusal(Some("quiet"), 0));
        for client in 0..50 {
            for second in 0..100 {
                refusals.add(refusal(Some(&format!("c{client}")), second));
            }
        }
        let list = refusals.list();
        assert_eq!(list.len(), MAX_REFUSALS);
        assert!(
            list.iter().any(|refusal| {
                refusal.client.as_ref().map(ClientName::as_str) == Some("quiet")
            })
        );
    }

    #[test]
    fn only_some_refusals_a_second_of_a_client_are_warned_of() {
        let refusals = Refusals::default();
        let warned = |client| {
            (0..1000)
                .filter(|_| refusals.add(refusal(client, 0)))
                .count()
        };
        assert!((100..300).contains(&warned(None)));
        assert!(refusals.add(refusal(Some("other"), 0)));
    }
}
