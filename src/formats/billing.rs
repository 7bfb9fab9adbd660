//! `BillingInfo`: totals by customer over a range of days.

use super::Format;
use super::record::Record;
use super::value::Value;
use super::xml;

/// Totals over a range of days.
#[derive(Clone, Debug)]
pub struct BillingInfo {
    /// The account; `None` for all accounts, in which case each row names its account.
    pub account_id: Option<String>,
    /// The first day, `YYYY-MM-DD`.
    pub start_date: String,
    pub end_date: String,
    /// The time zone of the days, by its IANA name.
    pub time_zone: String,
    /// The feed cursor at which the totals are exact.
    pub as_of: String,
}

/// Totals of one customer, for one day or for all days.
#[derive(Clone, Debug)]
pub struct BillingCustomerInfo {
    /// The account, if [`BillingInfo`] does not name one.
    pub account_id: Option<String>,
    pub customer_id: String,
    /// The day, `YYYY-MM-DD`, if totals are by day.
    pub date: Option<String>,
    /// The number of billables that are not voided.
    pub billable_count: i64,
    pub voided_count: i64,
}

impl BillingCustomerInfo {
    /// Writes it as an item of a list.
    pub fn write_item(&self, format: Format, is_first: bool) -> String {
        self.record().write_item(format, is_first)
    }

    fn record(&self) -> Record<'_> {
        let Self {
            account_id,
            customer_id,
            date,
            billable_count,
            voided_count,
        } = self;
        let mut members = vec![("customerId", Value::text(Some(&**customer_id)))];
        if let Some(account_id) = account_id {
            members.insert(0, ("accountId", Value::text(Some(&**account_id))));
        }
        if let Some(date) = date {
            members.push(("date", Value::text(Some(&**date))));
        }
        members.extend([
            ("billableCount", Value::Number(*billable_count)),
            ("voidedCount", Value::Number(*voided_count)),
        ]);
        Record::new("BillingCustomerInfo", members)
    }
}

impl BillingInfo {
    /// Returns the text before the customers. Row formats contain only the customers.
    pub fn start(&self, format: Format) -> String {
        match format {
            Format::Json => {
                let mut start = Value::Object(self.head()).to_json();
                start.pop();
                start + ",\"customers\":["
            }
            Format::Jsv => {
                let mut start = Value::Object(self.head()).to_jsv();
                start.pop();
                start + ",customers:["
            }
            // Members are in alphabetical order, as in data contracts.
            Format::Xml => {
                let mut start = xml::open("BillingInfo", xml::NAMESPACE);
                xml::member(&mut start, "AccountId", self.account_id.as_deref());
                xml::member(&mut start, "AsOf", Some(&self.as_of));
                start + "<Customers>"
            }
            Format::Csv | Format::Ndjson => String::new(),
        }
    }

    /// Returns the text after the customers. `unattributed_count` is the number of billables without
    /// a pair; `None` if the caller may not see it.
    pub fn end(&self, unattributed_count: Option<i64>, format: Format) -> String {
        match format {
            Format::Json => {
                let count =
                    unattributed_count.map(|count| format!(",\"unattributedCount\":{count}"));
                format!("]{}}}", count.unwrap_or_default())
            }
            Format::Jsv => {
                let count = unattributed_count.map(|count| format!(",unattributedCount:{count}"));
                format!("]{}}}", count.unwrap_or_default())
            }
            Format::Xml => {
                let mut end = "</Customers>".to_owned();
                xml::member(&mut end, "EndDate", Some(&self.end_date));
                xml::member(&mut end, "StartDate", Some(&self.start_date));
                xml::member(&mut end, "TimeZone", Some(&self.time_zone));
                let count = unattributed_count.map(|count| count.to_string());
                xml::member(&mut end, "UnattributedCount", count.as_deref());
                xml::close(&mut end, "BillingInfo");
                end
            }
            Format::Csv | Format::Ndjson => String::new(),
        }
    }

    fn head(&self) -> Vec<(&'static str, Value<'_>)> {
        vec![
            ("accountId", Value::text(self.account_id.as_deref())),
            ("startDate", Value::text(Some(&*self.start_date))),
            ("endDate", Value::text(Some(&*self.end_date))),
            ("timeZone", Value::text(Some(&*self.time_zone))),
            ("asOf", Value::text(Some(&*self.as_of))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(format: Format) -> String {
        let row = |customer: &str, voided_count| BillingCustomerInfo {
            account_id: None,
            customer_id: customer.to_owned(),
            date: None,
            billable_count: 2,
            voided_count,
        };
        let info = BillingInfo {
            account_id: Some("a,b".to_owned()),
            start_date: "2026-03-01".to_owned(),
            end_date: "2026-03-31".to_owned(),
            time_zone: "UTC".to_owned(),
            as_of: "c-1".to_owned(),
        };
        let rows = [row("=1", 0), row("x&y", 1)];
        let rows = rows.iter().enumerate();
        let rows: String = rows
            .map(|(index, row)| row.write_item(format, index == 0))
            .collect();
        info.start(format) + &rows + &info.end(Some(3), format)
    }

    #[test]
    fn totals_are_written_in_every_format() {
        let write = body;
        assert_eq!(
            write(Format::Json),
            concat!(
                r#"{"accountId":"a,b","startDate":"2026-03-01","endDate":"2026-03-31","timeZone":"UTC","asOf":"c-1","customers":["#,
                r#"{"customerId":"=1","billableCount":2,"voidedCount":0},{"customerId":"x&y","billableCount":2,"voidedCount":1}],"#,
                r#""unattributedCount":3}"#
            )
        );
        assert!(write(Format::Jsv).starts_with("{accountId:\"a,b\",startDate:2026-03-01,"));
        assert!(write(Format::Jsv).ends_with("voidedCount:1}],unattributedCount:3}"));
        assert_eq!(
            write(Format::Csv),
            "CustomerId,BillableCount,VoidedCount\r\n'=1,2,0\r\nx&y,2,1\r\n"
        );
        assert!(write(Format::Xml).ends_with(concat!(
            "Voice.Api.Billing\"><AccountId>a,b</AccountId><AsOf>c-1</AsOf><Customers>",
            "<BillingCustomerInfo><BillableCount>2</BillableCount><CustomerId>=1</CustomerId><VoidedCount>0</VoidedCount></BillingCustomerInfo>",
            "<BillingCustomerInfo><BillableCount>2</BillableCount><CustomerId>x&amp;y</CustomerId><VoidedCount>1</VoidedCount></BillingCustomerInfo>",
            "</Customers><EndDate>2026-03-31</EndDate><StartDate>2026-03-01</StartDate><TimeZone>UTC</TimeZone>",
            "<UnattributedCount>3</UnattributedCount></BillingInfo>"
        )));
    }
}
