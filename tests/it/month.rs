//! A clerk's month: from undecided sessions and missing calls to totals that agree with the rows behind
//! them, with the commands and files of the program only.

use serde_json::json;

use crate::support::client::send;
use crate::support::server::{command, run};
use crate::support::{Database, Server, on_both_databases};

const ZONE: &str = "Europe/Rome";
const DAYS: &str = "startDate=2026-03-01&endDate=2026-03-31&timeZone=Europe/Rome";

/// The numbers of the calls of each kind.
const ON_TIME: std::ops::Range<usize> = 0..7347;
const OF_SESSIONS: std::ops::Range<usize> = 7347..7547;
const LATE: std::ops::Range<usize> = 7547..7607;

/// The time of a call, in the month of Rome: its first hour is in February in UTC.
fn time(call: usize) -> String {
    let start: jiff::Timestamp = "2026-02-28T23:00:00Z".parse().unwrap();
    let minutes = i64::try_from(call * 5).unwrap();
    (start + jiff::SignedDuration::from_mins(minutes)).to_string()
}

fn customer(call: usize) -> String {
    format!("c{}", call % 3)
}

on_both_databases!(
    a_month_is_closed_with_files_alone,
    async |database: Database| {
        let environment = [("BILLABLES_TIME_ZONE", ZONE)];
        let server = Server::start_in(&database, &[], &environment).await;
        let client = server.client();
        let report = |call: usize| json!({"accountId": "a", "customerId": customer(call), "callSid": format!("CA{call}"), "occurredAt": time(call)});
        let mut reports: Vec<_> = ON_TIME.map(report).collect();
        let of_session = |call: usize| json!({"sessionId": format!("S{}", call % 20), "callSid": format!("CA{call}"), "occurredAt": time(call)});
        reports.extend(OF_SESSIONS.map(of_session));
        // The neighbours of the month, and another account.
        for at in ["2026-02-28T22:59:59Z", "2026-03-31T22:00:00Z"] {
            reports.push(
                json!({"accountId": "a", "customerId": "c0", "callSid": at, "occurredAt": at}),
            );
        }
        reports.push(
            json!({"accountId": "b", "customerId": "c0", "callSid": "of b", "occurredAt": time(1)}),
        );
        assert_eq!(
            send(client.post("/billables").json(&reports)).await.status,
            201
        );

        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let token = write("token", server.secret());
        let address = format!("http://{}", server.address());
        let remote = ["--server", &address, "--token-file", &token];
        let billables = |arguments: &[&str]| run(&mut command(&database, arguments));

        // The sessions that nobody decided, and the decisions about them.
        let undecided = client.get("/sessions.csv?state=undecided").await.body;
        let sessions: Vec<_> = undecided
            .lines()
            .skip(1)
            .map(|line| line.split(',').next().unwrap())
            .collect();
        assert_eq!(sessions.len(), 20);
        let rows: String = sessions
            .iter()
            .map(|session| format!("{session},a,c1\n"))
            .collect();
        let decisions = write(
            "decisions.csv",
            &format!("sessionId,accountId,customerId\n{rows}"),
        );
        let (code, output, errors) =
            billables(&[&["attribute", "--file", &decisions], &remote[..]].concat());
        assert_eq!((code, &*errors), (0, ""), "{output}");
        assert!(
            output.ends_with("decided 20, same 0, conflict 0, pending 0\n"),
            "{output}"
        );

        // The carrier has calls that were never reported. They are imported from its own file.
        let calls = ON_TIME.chain(OF_SESSIONS).chain(LATE);
        let rows: String = calls
            .map(|call| format!("CA{call};{};{}\n", customer(call), time(call)))
            .collect();
        let carrier = write("carrier.csv", &format!("Call;Customer;Start\n{rows}"));
        let check = [
            "check",
            &carrier,
            "--column",
            "Call",
            "--account",
            "a",
            "--start-date",
            "2026-03-01",
            "--end-date",
            "2026-03-31",
            "--time-zone",
            ZONE,
        ];
        let (code, output, _) = billables(&check);
        assert_eq!(code, 1, "{output}");
        assert!(
            output.ends_with("calls 7607, missing 60, extra 0, voided 0\n"),
            "{output}"
        );
        let missing: Vec<_> = output
            .lines()
            .filter_map(|line| line.strip_prefix("missing "))
            .collect();
        let rows: String = LATE
            .filter(|call| missing.contains(&&*format!("\"CA{call}\"")))
            .map(|call| format!("a,{},CA{call},{}\n", customer(call), time(call)))
            .collect();
        let late = write(
            "late.csv",
            &format!("accountId,customerId,callSid,occurredAt\n{rows}"),
        );
        let (code, output, errors) = billables(&["import", &late]);
        assert_eq!(code, 0, "{output}{errors}");
        assert_eq!(billables(&check).0, 0);

        // Seven calls are not to be billed.
        let export = client
            .get(&format!("/billables.csv?accountId=a&{DAYS}"))
            .await
            .body;
        let ids: Vec<_> = export
            .lines()
            .skip(1)
            .step_by(1000)
            .map(|line| line.split(',').next().unwrap())
            .take(7)
            .collect();
        let rows: String = ids.iter().map(|id| format!("{id},a test call\n")).collect();
        let voids = write("voids.csv", &format!("id,reason\n{rows}"));
        let (code, output, _) = billables(&[&["void", "--file", &voids], &remote[..]].concat());
        assert!(
            code == 0 && output.ends_with("voided 7, replayed 0, missing 0\n"),
            "{output}"
        );

        // 7,347 + 200 of sessions + 60 late - 7 voided; and the rows behind them, of the same moment.
        let billing = client
            .get(&format!("/billing.csv?accountId=a&{DAYS}"))
            .await;
        let cut = billing.header("as-of").unwrap().to_owned();
        let total = billing
            .body
            .lines()
            .find(|line| line.starts_with("total,"))
            .unwrap();
        assert!(
            total.starts_with("total,a,,,7600,7,2026-03-01,2026-03-31,Europe/Rome,"),
            "{total}"
        );
        // The days of the server's zone are the same without naming it.
        let rows = format!(
            "/billables.csv?accountId=a&startDate=2026-03-01&endDate=2026-03-31&asOf={cut}"
        );
        let export = client.get(&rows).await.body;
        let billed = export.matches(",billable,").count();
        assert_eq!((billed, export.lines().count() - 1), (7600, 7607));
        let of_customers = billing
            .body
            .lines()
            .filter(|line| line.starts_with("customer,"));
        let sum: usize = of_customers
            .map(|line| line.split(',').nth(4).unwrap().parse::<usize>().unwrap())
            .sum();
        assert_eq!(sum, 7600);
        let accounts = client.get("/accounts.csv").await.body;
        assert!(
            accounts.contains("a,2026-02-28,2026-04-01,7602,7\r\n"),
            "{accounts}"
        );

        // What comes later changes neither.
        let later = json!({"accountId": "a", "customerId": "c0", "callSid": "later", "occurredAt": time(2)});
        assert_eq!(client.report(&later).await.status, 201);
        let again = client
            .get(&format!("/billing.csv?accountId=a&{DAYS}&asOf={cut}"))
            .await
            .body;
        let shown = |body: &str| -> Vec<String> {
            let lines = body
                .lines()
                .filter(|line| !line.starts_with("unattributed"));
            lines
                .map(|line| line.rsplit_once(',').unwrap().0.to_owned())
                .collect()
        };
        assert_eq!(shown(&again), shown(&billing.body));
        assert_eq!(client.get(&rows).await.body, export);
        let now = client
            .get(&format!("/billing.csv?accountId=a&{DAYS}"))
            .await
            .body;
        assert!(now.contains("\r\ntotal,a,,,7601,7,"), "{now}");
        assert_eq!(billables(&["verify"]).0, 0);
    }
);
