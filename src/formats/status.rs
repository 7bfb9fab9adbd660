//! `responseStatus`, the body of every error. Its members, order and spelling are ServiceStack's,
//! because ServiceStack's generated clients read them.

use serde::Serialize;

use super::value::Value;
use super::{Format, csv, xml};

const TYPES: &str = "http://schemas.servicestack.net/types";

/// The member of `meta` that holds an item's index in its batch.
const BATCH_INDEX: &str = "AutoBatchIndex";

/// The body of an error.
#[derive(Clone, Debug)]
pub struct ResponseStatus {
    pub error_code: &'static str,
    /// A human-readable sentence.
    pub message: String,
    /// The errors in individual fields.
    pub errors: Vec<ResponseError>,
    /// The index of the first faulty item, counted from 0, if it came in a batch.
    pub index: Option<usize>,
}

/// An error in one field.
#[derive(Clone, Debug)]
pub struct ResponseError {
    pub error_code: &'static str,
    /// The field in .NET spelling: `CallSid`.
    pub field_name: &'static str,
    /// A human-readable sentence.
    pub message: String,
    /// The item's index, if it came in a batch.
    pub index: Option<usize>,
}

/// Problem details, with `responseStatus` as the only extension member.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(rename = "responseStatus")]
    response_status: Value<'a>,
}

impl ResponseStatus {
    /// Writes the status as a body.
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Json => Value::Object(vec![("responseStatus", self.value())]).to_json(),
            Format::Ndjson => self.write(Format::Json) + "\n",
            Format::Jsv => Value::Object(vec![("responseStatus", self.value())]).to_jsv(),
            Format::Csv => csv::write(&[("responseStatus", self.value())]),
            Format::Xml => self.write_xml(),
        }
    }

    /// Writes problem details (RFC 9457) that contain the whole status. `status` and `title` are
    /// the HTTP status code and its reason phrase.
    pub fn write_problem(&self, status: u16, title: &str) -> String {
        let problem = Problem {
            kind: "about:blank",
            title,
            status,
            detail: &self.message,
            response_status: self.value(),
        };
        serde_json::to_string(&problem).expect("strings serialise")
    }

    fn value(&self) -> Value<'_> {
        let errors = self.errors.iter().map(|error| {
            Value::Object(vec![
                ("errorCode", Value::text(Some(error.error_code))),
                ("fieldName", Value::text(Some(error.field_name))),
                ("message", Value::text(Some(&*error.message))),
                ("meta", meta(error.index)),
            ])
        });
        Value::Object(vec![
            ("errorCode", Value::text(Some(self.error_code))),
            ("message", Value::text(Some(&*self.message))),
            ("errors", Value::List(errors.collect())),
            ("meta", meta(self.index)),
        ])
    }

    fn write_xml(&self) -> String {
        let mut out = xml::open("ErrorResponse", TYPES);
        out.push_str("<ResponseStatus>");
        xml::member(&mut out, "ErrorCode", Some(self.error_code));
        xml::member(&mut out, "Message", Some(&self.message));
        xml::member(&mut out, "StackTrace", None);
        if self.errors.is_empty() {
            out.push_str("<Errors />");
        } else {
            out.push_str("<Errors>");
            for error in &self.errors {
                out.push_str("<ResponseError>");
                xml::member(&mut out, "ErrorCode", Some(error.error_code));
                xml::member(&mut out, "FieldName", Some(error.field_name));
                xml::member(&mut out, "Message", Some(&error.message));
                write_xml_meta(&mut out, "d5p1", error.index);
                out.push_str("</ResponseError>");
            }
            out.push_str("</Errors>");
        }
        write_xml_meta(&mut out, "d3p1", self.index);
        out.push_str("</ResponseStatus>");
        xml::close(&mut out, "ErrorResponse");
        out
    }
}

/// Returns `meta`, a .NET dictionary of strings.
fn meta(index: Option<usize>) -> Value<'static> {
    index.map_or(Value::Null, |index| {
        Value::Object(vec![(BATCH_INDEX, Value::Text(index.to_string().into()))])
    })
}

/// Writes `meta` as XML. The number in `prefix` is the nesting depth, as in .NET.
fn write_xml_meta(out: &mut String, prefix: &str, index: Option<usize>) {
    let namespace = format!("<Meta xmlns:{prefix}=\"{}\"", xml::ARRAYS);
    out.push_str(&namespace);
    match index {
        None => out.push_str(" i:nil=\"true\" />"),
        Some(index) => out.push_str(&format!(
            "><{prefix}:KeyValueOfstringstring><{prefix}:Key>{BATCH_INDEX}</{prefix}:Key>\
             <{prefix}:Value>{index}</{prefix}:Value></{prefix}:KeyValueOfstringstring></Meta>"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> ResponseStatus {
        let message = "a < b & \"c\"".to_owned();
        let error = ResponseError {
            error_code: "Length",
            field_name: "CallSid",
            message: message.clone(),
            index: None,
        };
        ResponseStatus {
            error_code: "Length",
            message,
            errors: vec![error],
            index: None,
        }
    }

    fn batch_status() -> ResponseStatus {
        let mut status = status();
        status.index = Some(7);
        status.errors[0].index = Some(7);
        status
    }

    #[test]
    fn json_has_the_members_in_their_order() {
        let expected = r#"{"responseStatus":{"errorCode":"Length","message":"a < b & \"c\"","errors":[{"errorCode":"Length","fieldName":"CallSid","message":"a < b & \"c\""}]}}"#;
        assert_eq!(status().write(Format::Json), expected);
    }

    #[test]
    fn xml_has_the_shape_of_the_contract_serializer() {
        let expected = concat!(
            r#"<?xml version="1.0" encoding="utf-8"?>"#,
            r#"<ErrorResponse xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://schemas.servicestack.net/types">"#,
            r#"<ResponseStatus><ErrorCode>Length</ErrorCode><Message>a &lt; b &amp; "c"</Message><StackTrace i:nil="true" />"#,
            r#"<Errors><ResponseError><ErrorCode>Length</ErrorCode><FieldName>CallSid</FieldName><Message>a &lt; b &amp; "c"</Message>"#,
            r#"<Meta xmlns:d5p1="http://schemas.microsoft.com/2003/10/Serialization/Arrays" i:nil="true" /></ResponseError></Errors>"#,
            r#"<Meta xmlns:d3p1="http://schemas.microsoft.com/2003/10/Serialization/Arrays" i:nil="true" /></ResponseStatus></ErrorResponse>"#,
        );
        assert_eq!(status().write(Format::Xml), expected);
        let bare = ResponseStatus {
            errors: Vec::new(),
            ..status()
        };
        assert!(bare.write(Format::Xml).contains("<Errors /><Meta"));
        assert!(bare.write(Format::Json).contains(r#""errors":[]"#));
    }

    #[test]
    fn an_items_index_is_a_string_in_meta() {
        let json = batch_status().write(Format::Json);
        assert_eq!(
            json.matches(r#","meta":{"AutoBatchIndex":"7"}}"#).count(),
            2,
            "{json}"
        );
        let xml = batch_status().write(Format::Xml);
        for prefix in ["d5p1", "d3p1"] {
            let meta = format!(
                "<Meta xmlns:{prefix}=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><{prefix}:KeyValueOfstringstring><{prefix}:Key>AutoBatchIndex</{prefix}:Key><{prefix}:Value>7</{prefix}:Value></{prefix}:KeyValueOfstringstring></Meta>"
            );
            assert!(xml.contains(&meta), "{xml}");
        }
    }

    #[test]
    fn jsv_and_csv_quote_what_needs_it() {
        assert_eq!(
            status().write(Format::Jsv),
            r#"{responseStatus:{errorCode:Length,message:"a < b & ""c""",errors:[{errorCode:Length,fieldName:CallSid,message:"a < b & ""c"""}]}}"#
        );
        let bare = ResponseStatus {
            errors: Vec::new(),
            message: "a b".to_owned(),
            ..status()
        };
        assert_eq!(
            bare.write(Format::Csv),
            "ResponseStatus\r\n\"{errorCode:Length,message:a b,errors:[]}\"\r\n"
        );
    }

    #[test]
    fn problem_details_hold_the_whole_status() {
        let written = status().write_problem(400, "Bad Request");
        let problem: serde_json::Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(
            (&problem["status"], &problem["title"]),
            (&400.into(), &"Bad Request".into())
        );
        assert_eq!(problem["detail"], "a < b & \"c\"");
        assert_eq!(problem["responseStatus"]["errorCode"], "Length");
    }
}
