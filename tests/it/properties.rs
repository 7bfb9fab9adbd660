//! What holds for every input.

use std::collections::HashSet;

use billables::billable::{
    ClientName, Field, Given, Identity, Instant, RawReport, Report, Reported,
};
use billables::wire::bind::Query;
use billables::wire::{Format, Wishes, json, negotiate, xml};
use proptest::prelude::*;
use uuid::Uuid;

/// A report's fields, each given or not, of characters that every format can carry.
fn fields() -> impl Strategy<Value = [Option<String>; 5]> {
    let text = proptest::option::of("[^\\p{Cc}\\u{FFFE}\\u{FFFF}]{1,12}");
    proptest::array::uniform5(text)
}

fn raw(fields: &[Option<String>; 5]) -> RawReport {
    let mut raw = RawReport::default();
    for (field, value) in Field::ALL.into_iter().zip(fields) {
        raw.set(field, value.clone().map(Given::Text));
    }
    raw
}

fn named(fields: &[Option<String>; 5]) -> Vec<(Field, &str)> {
    Field::ALL
        .into_iter()
        .zip(fields)
        .filter_map(|(field, value)| Some((field, value.as_deref()?)))
        .collect()
}

fn id(reported: &Reported) -> Uuid {
    let client = ClientName::parse("c").unwrap();
    Identity::of(None, None, reported).id(&client, reported, Uuid::nil)
}

proptest! {
    #[test]
    fn every_format_binds_the_same_fields_to_the_same_report(fields in fields()) {
        let expected = raw(&fields);
        let members: serde_json::Map<_, _> = named(&fields).into_iter().map(|(field, value)| (field.camel().to_owned(), value.into())).collect();
        prop_assert_eq!(json::read_report(&serde_json::Value::from(members).to_string()).unwrap(), expected.clone());

        let escape = |value: &str| value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let members: String = named(&fields).into_iter().map(|(field, value)| format!("<{0}>{1}</{0}>", field.pascal(), escape(value))).collect();
        let document = format!("<NewBillable xmlns='{}'>{members}</NewBillable>", xml::NAMESPACE);
        prop_assert_eq!(xml::read_report(&document).unwrap(), expected.clone());

        let escape = |value: &str| value.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let query: Vec<_> = named(&fields).into_iter().map(|(field, value)| format!("{}={}", field.camel(), escape(value))).collect();
        let mut bound = RawReport::default();
        Query::parse(&query.join("&")).unwrap().bind_over(&mut bound);
        prop_assert_eq!(bound, expected);
    }

    #[test]
    fn different_contents_have_different_ids(all in proptest::collection::hash_set(proptest::array::uniform4(proptest::option::of("[ab]{1,3}")), 1..40)) {
        let now = Instant::now();
        let mut seen = HashSet::new();
        for [account, customer, session, call] in all {
            let fields = [account, customer, session, Some(call.unwrap_or_default() + "x"), None];
            if let Ok(report) = Report::parse(raw(&fields), now) {
                prop_assert!(seen.insert((id(&report.reported), report.reported.clone())));
                prop_assert_eq!(id(&report.reported), id(&report.reported.clone()));
            }
        }
        let ids: HashSet<_> = seen.iter().map(|(id, _)| id).collect();
        prop_assert_eq!(ids.len(), seen.len());
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,80}|[{}\\[\\]\":,0-9a-z\\\\<>/&;#!? ='-]{0,80}", pick in 0usize..2000) {
        let _ = json::read_report(&text);
        let _ = xml::read_report(&text);
        let _ = Query::parse(&text);
        let _ = Instant::parse(&text);
        let _ = negotiate(Wishes { accept: Some(&text), format: Some(&text), ..Wishes::default() });
        let _ = Format::from_content_type(&text);
        // And pieces of it inside what is nearly right.
        for whole in [
            r#"{"sessionId":"S1","callSid":{"a":[1,2.5e3,true,null]},"x":"\u0041"}"#,
            "<?xml version='1.0'?><NewBillable xmlns:i='urn:i'><!-- c --><CallSid a='b'>x&amp;<![CDATA[y]]></CallSid></NewBillable>",
        ] {
            let at = (0..=pick % whole.len()).rev().find(|at| whole.is_char_boundary(*at)).unwrap();
            let mixed = format!("{}{text}{}", &whole[..at], &whole[at..]);
            let _ = json::read_report(&mixed);
            let _ = xml::read_report(&mixed);
        }
    }

    #[test]
    fn an_instant_reads_back_as_it_is_shown(micros in -62_135_596_800_000_000_i64..253_402_207_200_000_000) {
        let instant = Instant::from_micros(micros).unwrap();
        prop_assert_eq!(Instant::parse(&instant.to_string()), Some(instant));
    }
}
