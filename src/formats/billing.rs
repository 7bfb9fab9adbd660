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

/// Writes totals piece by piece.
///
/// CSV ends with rows for the total and for what is billed to nobody, which also have the period, the
/// zone and the cut: a file of rows has no other place for them.
#[derive(Debug)]
pub struct BillingWriter {
    info: BillingInfo,
    format: Format,
    is_first: bool,
    billable_count: i64,
    voided_count: i64,
}

impl BillingWriter {
    pub fn new(info: BillingInfo, format: Format) -> Self {
        Self {
            info,
            format,
            is_first: true,
            billable_count: 0,
            voided_count: 0,
        }
    }

    /// Returns the text before the customers.
    pub fn start(&self) -> String {
        self.info.start(self.format)
    }

    /// Returns the text of a customer.
    pub fn customer(&mut self, customer: &BillingCustomerInfo) -> String {
        self.billable_count += customer.billable_count;
        self.voided_count += customer.voided_count;
        let record = match self.format {
            Format::Csv => self.info.row("customer", customer),
            _ => customer.record(),
        };
        record.write_item(self.format, std::mem::take(&mut self.is_first))
    }

    /// Returns the text after the customers. `unattributed_count` is the number of billables without
    /// a pair; `None` if the caller may not see it.
    pub fn end(self, unattributed_count: Option<i64>) -> String {
        if self.format != Format::Csv {
            return self.info.end(unattributed_count, self.format);
        }
        let of_nobody = |billable_count, voided_count| BillingCustomerInfo {
            account_id: None,
            customer_id: String::new(),
            date: None,
            billable_count,
            voided_count,
        };
        let total = of_nobody(self.billable_count, self.voided_count);
        let mut end = self
            .info
            .row("total", &total)
            .write_item(Format::Csv, self.is_first);
        if let Some(count) = unattributed_count {
            let unattributed = of_nobody(count, 0);
            let row = self.info.row("unattributed", &unattributed);
            end.push_str(&row.write_item(Format::Csv, false));
        }
        end
    }
}

impl BillingCustomerInfo {
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
    /// A row of CSV. Only the last ones have the period, the zone and the cut.
    fn row<'a>(&'a self, kind: &'static str, customer: &'a BillingCustomerInfo) -> Record<'a> {
        // Unattributed billables are nobody's.
        let own_account = self
            .account_id
            .as_deref()
            .filter(|_| kind != "unattributed");
        let account_id = customer.account_id.as_deref().or(own_account);
        let customer_id = Some(&*customer.customer_id).filter(|id| !id.is_empty());
        let of_total = |text: &'a str| Value::text(Some(text).filter(|_| kind != "customer"));
        Record::new(
            "BillingCustomerInfo",
            vec![
                ("row", Value::text(Some(kind))),
                ("accountId", Value::text(account_id)),
                ("customerId", Value::text(customer_id)),
                ("date", Value::text(customer.date.as_deref())),
                ("billableCount", Value::Number(customer.billable_count)),
                ("voidedCount", Value::Number(customer.voided_count)),
                ("startDate", of_total(&self.start_date)),
                ("endDate", of_total(&self.end_date)),
                ("timeZone", of_total(&self.time_zone)),
                ("asOf", of_total(&self.as_of)),
            ],
        )
    }

    /// Returns the text before the customers. Row formats contain only the customers.
    fn start(&self, format: Format) -> String {
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
    fn end(&self, unattributed_count: Option<i64>, format: Format) -> String {
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
        let mut writer = BillingWriter::new(info, format);
        let mut body = writer.start();
        for row in [row("=1", 0), row("x&y", 1)] {
            body.push_str(&writer.customer(&row));
        }
        body + &writer.end(Some(3))
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
            concat!(
                "Row,AccountId,CustomerId,Date,BillableCount,VoidedCount,StartDate,EndDate,TimeZone,AsOf\r\n",
                "customer,\"a,b\",'=1,,2,0,,,,\r\n",
                "customer,\"a,b\",x&y,,2,1,,,,\r\n",
                "total,\"a,b\",,,4,1,2026-03-01,2026-03-31,UTC,c-1\r\n",
                "unattributed,,,,3,0,2026-03-01,2026-03-31,UTC,c-1\r\n"
            )
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
