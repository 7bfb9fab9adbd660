//! `responseStatus`, the one shape of every error: its members, order and spelling are
//! ServiceStack's, because its generated clients read them.

use serde::Serialize;

use super::{Format, xml};

const TYPES: &str = "http://schemas.servicestack.net/types";
const ARRAYS: &str = "http://schemas.microsoft.com/2003/10/Serialization/Arrays";

/// The body of an error.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseStatus {
    /// A stable code.
    pub error_code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What is wrong with which field.
    pub errors: Vec<ResponseError>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseError {
    /// A stable code.
    pub error_code: &'static str,
    /// The field, as .NET spells it: `CallSid`.
    pub field_name: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl ResponseStatus {
    /// The status as a body.
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Json => {
                let status = serde_json::to_string(self).expect("texts serialise");
                format!("{{\"responseStatus\":{status}}}")
            }
            Format::Xml => self.write_xml(),
        }
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
                out.push_str(&format!(
                    "<Meta xmlns:d5p1=\"{ARRAYS}\" i:nil=\"true\" /></ResponseError>"
                ));
            }
            out.push_str("</Errors>");
        }
        out.push_str(&format!(
            "<Meta xmlns:d3p1=\"{ARRAYS}\" i:nil=\"true\" /></ResponseStatus>"
        ));
        xml::close(&mut out, "ErrorResponse");
        out
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
        };
        ResponseStatus {
            error_code: "Length",
            message,
            errors: vec![error],
        }
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
}
