//! `GET /billing`: totals.

use serde_json::json;

use crate::support::client::send;
use crate::support::{Database, Server, on_both_databases};

on_both_databases!(
    billing_returns_totals_in_three_formats_and_rejects_invalid_parameters,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let years = 2021..2026;
        let reports: Vec<_> = years.flat_map(|year| (1..=12).flat_map(move |month| [1, 15, 28].map(|day| json!({
            "accountId": "a", "customerId": format!("c{}", day % 2), "callSid": format!("{year}-{month}-{day}"),
            "occurredAt": format!("{year}-{month:02}-{day:02}T23:45:00Z"),
        })))).collect();
        assert_eq!(
            send(client.post("/billables").json(&reports)).await.status,
            201
        );
        let path = "/billing?accountId=a&startDate=2021-01-01&endDate=2025-12-31&groupBy=day";
        for zone in ["UTC", "Asia/Kolkata", "America/St_Johns"] {
            let billing = client.get(&format!("{path}&timeZone={zone}")).await.json();
            let rows = billing["customers"].as_array().unwrap();
            assert_eq!(rows.len(), 180, "{zone}");
            let first_date = if zone == "Asia/Kolkata" {
                "2021-01-02"
            } else {
                "2021-01-01"
            };
            assert_eq!(rows[0]["date"], first_date, "{zone}");
        }
        let one = client.get(&format!("{path}&customerId=c0")).await.json();
        assert_eq!(one["customers"].as_array().unwrap().len(), 60);
        for (query, field) in [
            ("startDate=2026-1-1&endDate=2026-01-01", "StartDate"),
            ("startDate=2026-01-01", "EndDate"),
            ("startDate=2026-01-02&endDate=2026-01-01", "EndDate"),
            ("startDate=1979-01-01&endDate=2026-01-01", "StartDate"),
            (
                "startDate=2026-01-01&endDate=2026-01-01&timeZone=Mars",
                "TimeZone",
            ),
            (
                "startDate=2026-01-01&endDate=2026-01-01&groupBy=week",
                "GroupBy",
            ),
            (
                "startDate=2000-01-01&endDate=2026-01-01&groupBy=day",
                "EndDate",
            ),
        ] {
            let refused = client.get(&format!("/billing?{query}")).await;
            assert_eq!(
                (refused.status, refused.field_errors()),
                (400, vec![(field.to_owned(), "Predicate".to_owned())]),
                "{query}"
            );
        }
        let xml = client
            .get("/billing.xml?startDate=2021-01-01&endDate=2021-01-31")
            .await;
        assert!(xml.body.contains("<BillingCustomerInfo><AccountId>a</AccountId><BillableCount>1</BillableCount><CustomerId>c0</CustomerId><VoidedCount>0</VoidedCount>"));
        let csv = client
            .get("/billing.csv?accountId=a&startDate=2021-01-01&endDate=2021-01-31")
            .await;
        assert_eq!(
            (&*csv.body, csv.header("content-disposition")),
            (
                "CustomerId,BillableCount,VoidedCount\r\nc0,1,0\r\nc1,2,0\r\n",
                Some("attachment; filename=\"billing.csv\"")
            )
        );
        // The totals are exact as of `asOf`, and the feed continues from there.
        let billing = client.get(path).await.json();
        client.report(&json!({"sessionId": "S"})).await;
        let new_entries = client
            .get(&format!("/log?after={}", billing["asOf"].as_str().unwrap()))
            .await
            .json();
        assert_eq!(new_entries["items"].as_array().unwrap().len(), 1);
    }
);
