//! Properties that hold for every input, including those that the fuzzer checks.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use billables::billable::{
    ClientName, Field, Identity, RawReport, RawValue, Report, Reported, Timestamp,
};
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

#[path = "../../fuzz/properties.rs"]
mod fuzz;

/// The targets that read no body of our own formats.
const OTHERS: [&str; 4] = [
    fuzz::NEGOTIATION,
    fuzz::PROFILES,
    fuzz::SENDERS,
    fuzz::TIMES,
];

/// Returns the fuzzer's seeds, by target.
fn seeds() -> BTreeMap<String, Vec<Vec<u8>>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let list = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let target = |entry: std::fs::DirEntry| {
        let inputs = list(entry.path()).map(|seed| std::fs::read(seed.path()).unwrap());
        (entry.file_name().into_string().unwrap(), inputs.collect())
    };
    list(root).map(target).collect()
}

#[test]
fn the_properties_hold_for_every_seed() {
    let bodies = fuzz::bodies().map(|(target, _)| target);
    let targets: BTreeSet<_> = bodies.into_iter().chain(OTHERS).collect();
    let seeds = seeds();
    assert_eq!(
        seeds.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        targets
    );
    for (target, inputs) in seeds {
        for input in inputs {
            fuzz::check(&target, &input);
            // And every prefix of it.
            for length in 0..input.len() {
                fuzz::check(&target, &input[..length]);
            }
        }
    }
}

/// A report's fields, each present or absent, in characters that every format can carry.
fn fields() -> impl Strategy<Value = [Option<String>; 4]> {
    let text = proptest::option::of(
        "[^\\p{Cc}\\u{FFFE}\\u{FFFF}]{1,12}|[ ,:;\"'{}\\[\\]<>&=+%#?\\\\-]{1,6}",
    );
    proptest::array::uniform4(text)
}

fn id(reported: &Reported) -> Uuid {
    let client = ClientName::parse("c").unwrap();
    Identity::of(None, None, reported).id(&client, reported, Uuid::nil)
}

proptest! {
    #[test]
    fn a_report_has_the_same_identity_in_every_format(fields in fields(), at in 0i64..1_700_000_000_000_000) {
        let [account, customer, session, call] = &fields;
        let at = Timestamp::from_micros(at).unwrap().to_string();
        let report = serde_json::json!({"accountId": account, "customerId": customer, "sessionId": session, "callSid": call, "occurredAt": at});
        fuzz::check("json", report.to_string().as_bytes());
        fuzz::check("json", format!("[{report},{{}},{report}]").as_bytes());
        fuzz::check("json-lines", format!("{report}\n{report}").as_bytes());
    }

    #[test]
    fn the_properties_hold_for_damaged_seeds(target in any::<Index>(), seed in any::<Index>(), other in any::<Index>(), cuts in any::<[Index; 4]>(), noise in "\\PC{0,8}|[{}\\[\\]\":,0-9a-z\\\\<>/&;#!? =\\r\\n'-]{0,8}") {
        let seeds = seeds();
        let (target, inputs) = seeds.iter().nth(target.index(seeds.len())).unwrap();
        let (seed, other) = (seed.get(inputs), other.get(inputs));
        let [from, to, start, end] = cuts;
        let (from, to) = (from.index(seed.len()), to.index(seed.len()));
        let (start, end) = (start.index(other.len()), end.index(other.len()));
        let piece = &other[start.min(end)..start.max(end)];
        let damaged = [&seed[..from], noise.as_bytes(), piece, &seed[to..]].concat();
        fuzz::check(target, &damaged);
    }

    #[test]
    fn the_properties_hold_for_arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (target, _) in fuzz::bodies() {
            fuzz::check(target, &bytes);
        }
        for target in OTHERS {
            fuzz::check(target, &bytes);
        }
    }

    #[test]
    fn different_contents_have_different_ids(all in proptest::collection::hash_set(proptest::array::uniform4(proptest::option::of("[ab]{1,3}")), 1..40)) {
        let now = Timestamp::now();
        let mut seen = HashSet::new();
        for [account, customer, session, call] in all {
            let fields = [account, customer, session, Some(call.unwrap_or_default() + "x")];
            let mut raw = RawReport::default();
            for (field, value) in Field::ALL.into_iter().zip(fields) {
                raw.set(field, value.map(RawValue::Text));
            }
            if let Ok(report) = Report::parse(raw, now) {
                prop_assert!(seen.insert((id(&report.reported), report.reported.clone())));
                prop_assert_eq!(id(&report.reported), id(&report.reported.clone()));
            }
        }
        let ids: HashSet<_> = seen.iter().map(|(id, _)| id).collect();
        prop_assert_eq!(ids.len(), seen.len());
    }

    #[test]
    fn a_printed_timestamp_parses_to_the_same_timestamp(micros in -62_135_596_800_000_000_i64..253_402_207_200_000_000) {
        let timestamp = Timestamp::from_micros(micros).unwrap();
        prop_assert_eq!(Timestamp::parse(&timestamp.to_string()), Some(timestamp));
    }
}
