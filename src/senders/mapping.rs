//! Mappings: a profile made from the settings of a token, checked when they are made, or from the
//! flags that say how a file is read.

use std::sync::Arc;

use super::address::Address;
use super::condition::{Absent, RawCondition};
use super::file::{Kind, RawProfile, RawRule, RawSource};
use super::profile::{Profile, ProfileError};
use super::{all, find, names};
use crate::billable::Field;
use crate::token::SenderSettings;

/// Returns the profile that reads a token's reports, or `None` if they are read by our own names.
///
/// # Errors
/// There is no such profile, or the settings contradict it.
pub fn profile_of(settings: &SenderSettings) -> Result<Option<Arc<Profile>>, ProfileError> {
    let (base, is_plain) = base_of(settings)?;
    let profile = match (base, is_plain) {
        (None, true) => None,
        (Some(base), true) => Some(base),
        (base, false) => Some(Arc::new(of_token(settings, base.as_deref())?)),
    };
    answered(profile, settings)
}

/// Checks that a profile knows which calls were answered, if only they count.
fn answered(
    profile: Option<Arc<Profile>>,
    settings: &SenderSettings,
) -> Result<Option<Arc<Profile>>, ProfileError> {
    match &profile {
        Some(profile) if settings.answered && !profile.knows_answered() => {
            Err(ProfileError(format!(
                "the sender {} does not say which calls were answered",
                profile.name
            )))
        }
        None if settings.answered => Err(ProfileError(
            "only a sender's profile says which calls were answered".to_owned(),
        )),
        _ => Ok(profile),
    }
}

/// Returns the profile that reads the records of a file of this kind, or `None` if they are read by
/// our own names.
///
/// Unlike a token's, it need not say where callSid is, and a record without the value of a condition
/// is ignored: files have lines of other kinds. `has_header` is for CSV without a sender.
///
/// # Errors
/// There is no such sender, or the settings contradict it.
pub fn profile_of_file(
    settings: &SenderSettings,
    kind: Kind,
    has_header: bool,
) -> Result<Option<Arc<Profile>>, ProfileError> {
    if settings.sender.is_none() && settings.maps.is_empty() && settings.only.is_empty() {
        return Ok(None);
    }
    let (base, is_plain) = base_of(settings)?;
    if let (Some(base), true) = (&base, is_plain) {
        return answered(Some(Arc::clone(base)), settings);
    }
    let raw = match base {
        Some(base) => base.raw(),
        None => {
            let mut source = RawSource::of(kind);
            source.header = (!has_header).then_some(false);
            RawProfile::free(source)
        }
    };
    let raw = mapped(settings, raw, Absent::No)?;
    let mut profile = Profile::check(raw)?;
    for source in &mut profile.sources {
        // Nobody waits for a response here, and the row is kept.
        source.hashes_calls = settings.sender.is_some();
    }
    answered(Some(Arc::new(profile)), settings)
}

/// Returns the sender's profile, and whether the settings change nothing of it.
fn base_of(settings: &SenderSettings) -> Result<(Option<Arc<Profile>>, bool), ProfileError> {
    let base = settings.sender.as_ref().map(|name| {
        find(name).ok_or_else(|| {
            ProfileError(format!("there is no sender {name}; there are {}", names()))
        })
    });
    let is_plain = settings.maps.is_empty()
        && settings.only.is_empty()
        && settings.time_format.is_none()
        && settings.time_zone.is_none();
    Ok((base.transpose()?, is_plain))
}

fn of_token(settings: &SenderSettings, base: Option<&Profile>) -> Result<Profile, ProfileError> {
    if base.is_none() && settings.maps.is_empty() {
        return Err(ProfileError(
            "conditions and times need a sender or a mapping".to_owned(),
        ));
    }
    let raw = match base {
        Some(base) => base.raw(),
        None => RawProfile::free(RawSource::of(kind_of(settings)?)),
    };
    let mut raw = mapped(settings, raw, Absent::Error)?;
    let profile = Profile::check(raw.clone())?.complete()?;
    if base.is_some() || profile.reads_parameter("uuid") {
        return Ok(profile);
    }
    // It may be FreeSWITCH, whose callers must not choose how their calls are read.
    raw.appended = all()
        .iter()
        .flat_map(|profile| profile.raw().appended)
        .collect();
    Profile::check(raw)
}

/// Applies a mapping to a profile. `absent` is what it means that the value of a condition is absent.
fn mapped(
    settings: &SenderSettings,
    mut raw: RawProfile,
    absent: Absent,
) -> Result<RawProfile, ProfileError> {
    let maps = settings.maps.iter().map(|map| map_of(map));
    let maps: Vec<_> = maps.collect::<Result<_, _>>()?;
    let only = settings.only.iter().map(|only| only_of(only));
    let only: Vec<_> = only.collect::<Result<_, _>>()?;
    for (index, (at, _)) in only.iter().enumerate() {
        if only[..index].iter().any(|(other, _)| other == at) {
            let reason = format!("{at} has several conditions: write the values into one");
            return Err(ProfileError(reason));
        }
    }
    // A source that has nothing there would be read without the mapping, as other calls.
    let names_all = |source: &RawSource| {
        let mut addresses = maps
            .iter()
            .map(|(_, at)| at)
            .chain(only.iter().map(|(at, _)| at));
        addresses.all(|at| source.readable(at).is_some())
    };
    raw.source.retain(names_all);
    if raw.source.is_empty() {
        let addresses = maps
            .iter()
            .map(|(_, at)| at)
            .chain(only.iter().map(|(at, _)| at));
        let addresses: Vec<_> = addresses.map(Address::to_string).collect();
        return Err(ProfileError(format!(
            "none of the sender's requests has {}",
            addresses.join(" and ")
        )));
    }
    for source in &mut raw.source {
        let mut changed = [false; Field::ALL.len()];
        for (field, at) in &maps {
            let at = source.readable(at).expect("a source that has it");
            let rule = source.rule_mut(*field);
            match rule {
                Some(rule) if changed[*field as usize] => rule.at.push(at),
                _ => *rule = Some(RawRule::instead(rule.as_ref(), at)),
            }
            changed[*field as usize] = true;
        }
        for (at, texts) in &only {
            let here = source.readable(at).expect("a source that has it");
            source.only.retain(|condition| condition.at != here);
            let condition = RawCondition::one_of(here, texts.clone(), absent);
            source.only.push(condition);
        }
        if settings.time_format.is_some() || settings.time_zone.is_some() {
            let rule = source.rule_mut(Field::OccurredAt).as_mut().ok_or_else(|| {
                ProfileError("a time format or zone needs a mapping of occurredAt".to_owned())
            })?;
            rule.format = settings.time_format.clone().or(rule.format.take());
            rule.zone = settings.time_zone.clone().or(rule.zone.take());
        }
    }
    Ok(raw)
}

/// Parses `FIELD=AT`.
fn map_of(text: &str) -> Result<(Field, Address), ProfileError> {
    let of = |reason: String| ProfileError(format!("the mapping {text:?} {reason}"));
    let (field, at) = text
        .split_once('=')
        .ok_or_else(|| of("must be FIELD=AT, such as callSid=/data/id".to_owned()))?;
    let field = Field::from_name(field).ok_or_else(|| {
        let names = Field::ALL.map(Field::camel).join(", ");
        of(format!("names no field; the fields are {names}"))
    })?;
    let at =
        Address::parse(at).map_err(|rule| of(format!("has an address that is none: it {rule}")))?;
    Ok((field, at))
}

/// Parses `AT=VALUE[,VALUE]`.
fn only_of(text: &str) -> Result<(Address, Vec<String>), ProfileError> {
    let of = |reason: String| ProfileError(format!("the condition {text:?} {reason}"));
    let (at, texts) = text
        .split_once('=')
        .filter(|(_, texts)| !texts.is_empty())
        .ok_or_else(|| of("must be AT=VALUE[,VALUE], such as /status=completed".to_owned()))?;
    let at =
        Address::parse(at).map_err(|rule| of(format!("has an address that is none: it {rule}")))?;
    let texts: Vec<_> = texts
        .split(',')
        .map(|text| text.trim().to_owned())
        .collect();
    if texts.iter().any(String::is_empty) {
        return Err(of("has an empty value".to_owned()));
    }
    Ok((at, texts))
}

/// Returns the kind of document that has all the addresses of a mapping.
fn kind_of(settings: &SenderSettings) -> Result<Kind, ProfileError> {
    let mut addresses = Vec::new();
    for map in &settings.maps {
        addresses.push(map_of(map)?.1);
    }
    for only in &settings.only {
        addresses.push(only_of(only)?.0);
    }
    let mut kind = None;
    for address in addresses {
        let here = match address {
            Address::Json(_) => Kind::Json,
            Address::Xml(_) => Kind::Xml,
            Address::Form(_) => Kind::Form,
            Address::Column(_) => Kind::Csv,
            Address::Query(_) | Address::Header(_) | Address::Appended => continue,
        };
        if *kind.get_or_insert(here) != here {
            return Err(ProfileError(
                "the mappings are of different kinds of body: a request has only one".to_owned(),
            ));
        }
    }
    Ok(kind.unwrap_or(Kind::Query))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(maps: &[&str], only: &[&str]) -> SenderSettings {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        SenderSettings {
            maps: owned(maps),
            only: owned(only),
            ..SenderSettings::default()
        }
    }

    #[test]
    fn a_mapping_is_checked_when_it_is_made() {
        for (maps, only) in [
            (&["callSid"][..], &[][..]),
            (&["call_sid=/a"], &[]),
            (&["callSid=a"], &[]),
            (&["callSid=/a", "occurredAt=form:b"], &[]),
            (&["callSid=/a"], &["/status"]),
            (&["callSid=/a"], &["/status="]),
            (&["callSid=/a"], &["form:status=x"]),
            (&[], &["/status=x"]),
            (&["callSid=appended:"], &[]),
        ] {
            assert!(
                profile_of(&settings(maps, only)).is_err(),
                "{maps:?} {only:?}"
            );
        }
        let with = |change: fn(&mut SenderSettings)| {
            let mut settings = settings(&["callSid=/a"], &[]);
            change(&mut settings);
            profile_of(&settings)
        };
        assert!(with(|_| ()).is_ok());
        assert!(with(|settings| settings.sender = Some("nobody".to_owned())).is_err());
        assert!(with(|settings| settings.answered = true).is_err());
        assert!(with(|settings| settings.time_zone = Some("Europe/Rome".to_owned())).is_err());
        assert!(
            profile_of(&SenderSettings::default())
                .expect("settings")
                .is_none()
        );
    }
}
