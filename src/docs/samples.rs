//! Sample requests and responses: the examples of the contract, written by the same code that
//! writes the service's responses.

pub mod http;
mod layout;

use std::ptr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::billable::{
    Billable, ClientName, Entry, Field, Identity, LogEntry, RawReport, RawValue, Report, Text,
    Timestamp, Void,
};
use crate::contract::types::{Location, Member, MemberKind, Type};
use crate::contract::{Answer, Body, Operation, RequestBody, objects, routes};
use crate::formats::Format;
use crate::formats::billing::{BillingCustomerInfo, BillingInfo, BillingWriter};
use crate::formats::record::{Record, page};
use crate::formats::value::Value;
pub use layout::laid_out;

/// The characters to escape in path and query values.
const RESERVED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?');

/// The path and query, with every parameter that has an example.
pub fn target(operation: &Operation) -> String {
    let mut target = operation.path.to_owned();
    let mut separator = '?';
    for member in operation.members {
        let value = utf8_percent_encode(member.example, RESERVED).to_string();
        match member.location {
            Location::Path => target = target.replace(&format!("{{{}}}", member.name), &value),
            Location::Query if !value.is_empty() => {
                target.push_str(&format!("{separator}{}={value}", member.name));
                separator = '&';
            }
            Location::Query | Location::Header | Location::Body => {}
        }
    }
    target
}

/// The body of a request in a format; JSON if the operation does not accept the format.
pub fn request_body(operation: &Operation, format: Format) -> Option<String> {
    match operation.body {
        RequestBody::Nothing => None,
        RequestBody::Reports => Some(Record::report(&report()).write(format)),
        RequestBody::Rows(rows) if format == Format::Csv => Some(rows.to_owned()),
        RequestBody::Json | RequestBody::Rows(_) => {
            let members = operation
                .members
                .iter()
                .filter(|member| member.location == Location::Body && is_shown(member))
                .map(|member| (member.name, value(member)));
            Some(Value::Object(members.collect()).to_json())
        }
    }
}

/// The body of a response in a format.
pub fn answer(operation: &Operation, answer: &Answer, format: Format) -> Option<String> {
    let of = match answer.body {
        Body::One(of) | Body::OneOrSeveral(of) => of,
        Body::Nothing | Body::Document(_) => return None,
    };
    let reason = operation.fields().find(|member| member.name == "reason");
    if ptr::eq(of, &objects::BILLING_INFO) {
        return Some(billing(format));
    }
    if operation.path == routes::BILLABLE {
        let billable = billable();
        let record = Record::billable(&billable).with_provenance(&billable);
        return Some(record.write(format));
    }
    let Some(MemberKind::List(item)) = member(of, "items").map(|items| items.kind) else {
        return Some(with_record(of, reason, |record| record.write(format)));
    };
    let inputs = operation
        .fields()
        .filter(|_| ptr::eq(item, &objects::CHECKED_BILLABLE));
    let mut items: Vec<_> = inputs
        .enumerate()
        .map(|(index, input)| checked(input).write_item(format, index == 0))
        .collect();
    if items.is_empty() {
        items.push(with_record(item, None, |record| {
            record.write_item(format, true)
        }));
    }
    let example = |name| member(of, name).map(|member| member.example);
    let (next, as_of) = (example("nextCursor"), example("asOf"));
    Some(page(item.name, items.into_iter(), next, as_of, format).collect())
}

/// The example of a member.
pub fn value(member: &Member) -> Value<'static> {
    let text = Value::text(Some(member.example));
    match member.kind {
        MemberKind::Text
        | MemberKind::String
        | MemberKind::Id
        | MemberKind::Timestamp
        | MemberKind::Date
        | MemberKind::Choice(_) => text,
        MemberKind::Number(..) => Value::Number(member.example.parse().expect("a number")),
        MemberKind::Bool => Value::Bool(member.example == "true"),
        MemberKind::Texts(_) | MemberKind::Ids(_) => Value::List(vec![text]),
        MemberKind::List(of) => Value::List(vec![Value::Object(values(of))]),
    }
}

fn values(of: &Type) -> Vec<(&'static str, Value<'static>)> {
    let members = of.members.iter().filter(|member| is_shown(member));
    members.map(|member| (member.name, value(member))).collect()
}

/// Whether samples have a member. An optional one without an example would contradict others.
pub fn is_shown(member: &Member) -> bool {
    member.is_required || !member.example.is_empty()
}

fn member(of: &Type, name: &str) -> Option<&'static Member> {
    of.members.iter().find(|member| member.name == name)
}

fn example(of: &Type, name: &str) -> &'static str {
    member(of, name).expect("a member").example
}

/// Passes the record of a type without lists to `then`. Billables and log entries are built by the
/// same code as real ones.
fn with_record<T>(
    of: &Type,
    void_reason: Option<&Member>,
    then: impl FnOnce(Record<'_>) -> T,
) -> T {
    let mut billable = billable();
    if ptr::eq(of, &objects::LOG_ENTRY) {
        let number = |name| example(of, name).parse::<u32>().expect("a number");
        let log_entry = LogEntry {
            partition: number("partition"),
            position: number("position").into(),
            entry: billable.recorded,
        };
        return then(Record::log_entry(&log_entry, false));
    }
    if !ptr::eq(of, &objects::BILLABLE) {
        return then(Record::new(of.name, values(of)));
    }
    if let Some(reason) = void_reason {
        let void = Void {
            billable_id: billable.id(),
            reason: Some(Text::trusted(reason.example.to_owned())),
            client: billable.recorded.client.clone(),
            at: billable.recorded.recorded_at,
            accounts: None,
        };
        billable.voided = Some(Box::new(billable.void(&void)));
    }
    then(Record::billable(&billable))
}

fn recorded_at() -> Timestamp {
    Timestamp::parse(example(&objects::BILLABLE, "recordedAt")).expect("a timestamp")
}

fn report() -> Report {
    let mut raw = RawReport::default();
    for field in Field::ALL {
        let text = example(&objects::BILLABLE, field.camel()).to_owned();
        raw.set(field, Some(RawValue::Text(text)));
    }
    Report::parse(raw, recorded_at()).expect("the examples are valid")
}

fn billable() -> Billable {
    let report = report();
    let identity = Identity::of(None, None, &report.reported);
    let client = ClientName::parse("default").expect("a name");
    let id = identity.id(&client, &report.reported, || {
        unreachable!("the example has a callSid")
    });
    let recorded = Entry::recorded(id, report, identity, client, recorded_at());
    Billable::new(recorded)
}

/// The result of checking one input.
fn checked(input: &'static Member) -> Record<'static> {
    let mut members = values(&objects::CHECKED_BILLABLE);
    for (name, value) in &mut members {
        if *name == "input" {
            *value = Value::text(Some(input.example));
        }
    }
    Record::new(objects::CHECKED_BILLABLE.name, members)
}

/// Totals as the sample request asks for them: of one account, for each day.
fn billing(format: Format) -> String {
    let text = |name| example(&objects::BILLING_INFO, name).to_owned();
    let of_customer = |name| example(&objects::BILLING_CUSTOMER_INFO, name);
    let count = |example: &str| example.parse().expect("a number");
    let info = BillingInfo {
        account_id: Some(text("accountId")),
        start_date: text("startDate"),
        end_date: text("endDate"),
        time_zone: text("timeZone"),
        as_of: text("asOf"),
    };
    let customer = BillingCustomerInfo {
        account_id: None,
        customer_id: of_customer("customerId").to_owned(),
        date: Some(of_customer("date").to_owned()),
        billable_count: count(of_customer("billableCount")),
        voided_count: count(of_customer("voidedCount")),
    };
    let unattributed_count = Some(count(&text("unattributedCount")));
    let mut writer = BillingWriter::new(info, format);
    let start = writer.start();
    let customer = writer.customer(&customer);
    start + &customer + &writer.end(unattributed_count)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, from_str};

    use super::*;
    use crate::contract::OPERATIONS;
    use crate::formats::BodyFormat;

    fn find(name: &str) -> &'static Operation {
        Operation::find(name).expect("an operation")
    }

    fn first_answer(name: &str, format: Format) -> String {
        let operation = find(name);
        answer(operation, &operation.answers[0], format).expect("a body")
    }

    /// Checks that every member of a sample is described and that every required member is in it.
    fn check(of: &Type, object: &Json) {
        let object = object.as_object().expect("an object");
        for (name, value) in object {
            let member = member(of, name).unwrap_or_else(|| panic!("{}.{name}", of.name));
            if let MemberKind::List(item) = member.kind {
                for value in value.as_array().expect("an array") {
                    check(item, value);
                }
            }
        }
        for member in of.members {
            let is_there = object.contains_key(member.name);
            assert!(
                is_there || !member.is_required,
                "{}.{}",
                of.name,
                member.name
            );
        }
    }

    #[test]
    fn the_sample_of_an_answer_has_the_members_that_are_described() {
        for operation in OPERATIONS {
            for answered in operation.answers {
                let (Body::One(of) | Body::OneOrSeveral(of)) = answered.body else {
                    continue;
                };
                let json = answer(operation, answered, Format::Json).expect("a body");
                check(of, &from_str(&json).expect("JSON"));
                for format in Format::ALL {
                    assert!(answer(operation, answered, format).is_some());
                }
            }
        }
    }

    #[test]
    fn the_examples_are_those_of_one_report() {
        let billable: Json = from_str(&first_answer("GetBillable", Format::Json)).expect("JSON");
        for (name, value) in billable.as_object().expect("an object") {
            assert_eq!(value, example(&objects::BILLABLE, name), "{name}");
        }
        let location = find("NewBillable").answers[0].headers[0].example;
        assert_eq!(location, format!("/billables/{}", objects::ID));
        let voided: Json = from_str(&first_answer("VoidBillable", Format::Json)).expect("JSON");
        assert_eq!(
            (&voided["state"], &voided["voidReason"]),
            (&"voided".into(), &"a test call".into())
        );
    }

    #[test]
    fn a_report_is_read_back_in_every_format_and_layout() {
        for format in Format::ALL {
            let body = request_body(find("NewBillable"), format).expect("a body");
            for body in [laid_out(&body, format), body] {
                let read = BodyFormat::Plain(format).read(body.as_bytes());
                let raw = read.expect("a document").into_reports().remove(0);
                let read = Report::parse(raw, recorded_at());
                assert_eq!(read, Ok(report()), "{body}");
            }
        }
    }

    #[test]
    fn a_target_has_the_examples_in_it() {
        assert_eq!(target(find("NewBillable")), "/billables");
        assert_eq!(
            target(find("VoidBillable")),
            format!("/billables/{}/void", objects::ID)
        );
        assert_eq!(
            target(find("GetBilling")),
            "/billing?accountId=acc&startDate=2026-03-01&endDate=2026-03-31&customerId=cus&timeZone=Europe/Rome&groupBy=day"
        );
        assert_eq!(
            target(find("GetOperationMetadata")),
            "/xml/metadata?op=NewBillable&lang=typescript"
        );
    }

    #[test]
    fn operations_that_accept_only_json_have_json_sample_bodies() {
        assert_eq!(
            request_body(find("VoidBillable"), Format::Xml).as_deref(),
            Some(r#"{"reason":"a test call"}"#)
        );
        let checked = first_answer("CheckBillables", Format::Json);
        let checked: Json = from_str(&checked).expect("JSON");
        assert_eq!(checked["items"].as_array().map(Vec::len), Some(2));
        assert_eq!(request_body(find("GetBillable"), Format::Json), None);
    }
}
