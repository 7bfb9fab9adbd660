//! Senders: where the fields of a report are in what each kind of sender sends.
//!
//! A profile is a TOML file in this directory, built into the program; `file.rs` is its form.
//! Nobody's request is read with a profile unless its token or its URL names one, except for those
//! of profiles that are `automatic`.

mod address;
mod condition;
mod documents;
mod file;
mod mapping;
mod page;
mod profile;
mod read;
mod records;
mod rule;
mod source;
mod time;
mod tree;
mod url;
mod values;
mod xml;

use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;

use crate::billable::RawValue;
use crate::formats::{BodyFormat, Format, ReadError};
use address::Address;
pub use documents::{has_rest, value_at};
pub use file::{Example, Expected, Handshake, Kind, Reply};
pub use mapping::{profile_of, profile_of_file};
pub use page::Values;
pub use profile::{Profile, ProfileError};
pub use read::{Event, Ignored, Mapped, Opened, Reading, Table};
pub use records::Request;
pub use time::TimeFormat;
pub use url::{Named, OWN_PARAMETERS, UrlError, check_hook, refuse_unknown};

/// The files of the profiles.
const FILES: [&str; 22] = [
    include_str!("senders/3cx.toml"),
    include_str!("senders/africastalking.toml"),
    include_str!("senders/asterisk-csv.toml"),
    include_str!("senders/bandwidth.toml"),
    include_str!("senders/cgrates.toml"),
    include_str!("senders/cloudevents.toml"),
    include_str!("senders/cucm.toml"),
    include_str!("senders/exotel.toml"),
    include_str!("senders/freeswitch.toml"),
    include_str!("senders/freeswitch-csv.toml"),
    include_str!("senders/freeswitch-xml.toml"),
    include_str!("senders/jambonz.toml"),
    include_str!("senders/kamailio.toml"),
    include_str!("senders/opensips.toml"),
    include_str!("senders/plivo.toml"),
    include_str!("senders/signalwire.toml"),
    include_str!("senders/sipgate.toml"),
    include_str!("senders/telnyx.toml"),
    include_str!("senders/telnyx-texml.toml"),
    include_str!("senders/twilio.toml"),
    include_str!("senders/twilio-api.toml"),
    include_str!("senders/vonage.toml"),
];

static PROFILES: LazyLock<Vec<Arc<Profile>>> = LazyLock::new(|| {
    let parse = |file: &&str| Arc::new(Profile::parse(file).expect("a valid profile"));
    FILES.iter().map(parse).collect()
});

/// Every profile, in alphabetical order.
pub fn all() -> &'static [Arc<Profile>] {
    &PROFILES
}

/// Returns the profile with this name, in any letter case.
pub fn find(name: &str) -> Option<Arc<Profile>> {
    let mut profiles = all().iter();
    profiles
        .find(|profile| profile.name.eq_ignore_ascii_case(name))
        .cloned()
}

/// Returns the part of a query that no sender appended.
///
/// `profile` is the sender's, if it is known; else what any sender might have appended is cut off. A
/// caller may have chosen it, and must not choose how the call is read.
pub fn own_query<'a>(query: &'a str, profile: Option<&Profile>) -> &'a str {
    match profile {
        Some(profile) => profile.split_query(query).0,
        None => all()
            .iter()
            .map(|profile| profile.split_query(query).0)
            .min_by_key(|own| own.len())
            .unwrap_or(query),
    }
}

/// The size of a value, in bytes.
pub fn size_of(value: &RawValue) -> usize {
    values::bytes_of(value).len()
}

/// The names of all profiles, for messages.
pub fn names() -> String {
    let names: Vec<_> = all().iter().map(|profile| &*profile.name).collect();
    names.join(", ")
}

/// A source that reads requests which name no sender.
struct Automatic {
    profile: Arc<Profile>,
    /// The index of the source in the profile.
    source: usize,
    is_form: bool,
    /// Texts that the body of each such request has.
    marks: Vec<Finder<'static>>,
}

static AUTOMATIC: LazyLock<Vec<Automatic>> = LazyLock::new(|| {
    let profiles = all().iter().filter(|profile| profile.is_automatic);
    profiles.flat_map(Automatic::of).collect()
});

impl Automatic {
    fn of(profile: &Arc<Profile>) -> Vec<Self> {
        // A query alone says too little about who sent it.
        let sources = profile.sources.iter().enumerate();
        let sources = sources.filter(|(_, source)| source.kind != Kind::Query);
        let of = |(index, source): (usize, &source::Source)| {
            let when = source
                .when
                .iter()
                .map(|condition| &source.addresses[condition.slot]);
            let marks = when
                .chain(&source.within)
                .filter_map(|address| match address {
                    Address::Json(steps) | Address::Xml(steps) => steps.first(),
                    Address::Form(name) => Some(name),
                    _ => None,
                });
            Self {
                profile: profile.clone(),
                source: index,
                is_form: source.within.is_some() || source.kind == Kind::Form,
                marks: marks.map(|mark| Finder::new(mark).into_owned()).collect(),
            }
        };
        sources.map(of).collect()
    }

    fn recognise(
        &self,
        request: Request<'_>,
        decode: Option<fn(&[u8]) -> String>,
    ) -> Result<Option<Vec<Mapped>>, ReadError> {
        let source = &self.profile.sources[self.source];
        self.profile.recognise(source, request, decode)
    }

    fn may_read(&self, format: &BodyFormat, body: &[u8]) -> bool {
        let is_kind = match format {
            BodyFormat::Plain(Format::Json | Format::Ndjson) => !self.is_form,
            BodyFormat::Form | BodyFormat::Multipart(_) => self.is_form,
            BodyFormat::Plain(_) => false,
        };
        is_kind && self.marks.iter().all(|mark| mark.find(body).is_some())
    }
}

/// A request that names no sender, and is nevertheless one that a profile reads.
#[derive(Debug)]
pub struct Recognised {
    pub profile: Arc<Profile>,
    /// The fields of each item.
    pub reports: Vec<Mapped>,
}

/// Reads the fields of a request that names no sender, if it is one that an `automatic` profile
/// reads.
///
/// # Errors
/// The request is malformed.
pub fn recognise(
    format: &BodyFormat,
    request: Request<'_>,
    decode: Option<fn(&[u8]) -> String>,
) -> Result<Option<Recognised>, ReadError> {
    for automatic in AUTOMATIC.iter() {
        if automatic.may_read(format, request.body)
            && let Some(reports) = automatic.recognise(request, decode)?
        {
            return Ok(Some(Recognised {
                profile: automatic.profile.clone(),
                reports,
            }));
        }
    }
    Ok(None)
}
