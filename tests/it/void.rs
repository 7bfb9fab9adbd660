//! `POST /billables/{id}/void` and `POST /billables/void`.

use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::server::{command, run, token};
use crate::support::{Client, Database, Server, on_both_databases};

pub(crate) const PAIR: (&str, &str) = ("acc", "cus");

pub(crate) fn put(client: &Client, session: &str, pair: (&str, &str)) -> reqwest::RequestBuilder {
    let body = json!({"accountId": pair.0, "customerId": pair.1});
    client
        .request(Method::PUT, &format!("/sessions/{session}"))
        .json(&body)
}

on_both_databases!(
    voiding_again_keeps_the_first_reason_and_an_unknown_id_is_not_found,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let id = client
            .report(&json!({"sessionId": "S", "callSid": "CA1"}))
            .await
            .id();
        let void = async |body: &str| {
            let request = client
                .post(&format!("/billables/{id}/void"))
                .header("content-type", "application/json");
            send(request.body(body.to_owned())).await
        };
        for body in ["{\"reason\":\"a\\u0000\"}", "{\"reason\":1}", "[]", "{"] {
            assert_eq!(void(body).await.status, 400, "{body}");
        }
        let long = json!({"reason": "x".repeat(257)}).to_string();
        assert_eq!(
            void(&long).await.field_errors(),
            [("Reason".to_owned(), "Length".to_owned())]
        );
        let first = void("{\"reason\":\"a test call\"}").await;
        assert_eq!(
            (first.status, first.header("idempotent-replayed")),
            (200, None)
        );
        let again = void("{\"reason\":\"another\"}").await;
        assert_eq!(
            (again.status, again.header("idempotent-replayed")),
            (200, Some("true"))
        );
        assert_eq!(
            (again.json()["voidReason"].as_str(), again.body),
            (Some("a test call"), first.body)
        );
        // A repeat of the report is recognised, and shows that the billable is voided.
        let replayed = client
            .report(&json!({"sessionId": "S", "callSid": "CA1"}))
            .await;
        assert_eq!(
            (replayed.status, &replayed.json()["state"]),
            (200, &json!("voided"))
        );
        // A voided billable is not attributed.
        assert_eq!(send(put(&client, "S", PAIR)).await.status, 200);
        assert_eq!(
            client
                .get(&format!("/billables/{id}"))
                .await
                .json()
                .get("billedAccountId"),
            None
        );
        for id in ["d1719a49-b256-8aa7-94dd-3ddcc3a8189f", "no-id"] {
            let unknown = send(client.post(&format!("/billables/{id}/void"))).await;
            assert_eq!((unknown.status, &*unknown.error_code()), (404, "NotFound"));
        }
    }
);

on_both_databases!(
    many_billables_are_voided_at_once_each_with_its_outcome,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let reports: Vec<_> = (0..1201)
            .map(|call| json!({"accountId": if call < 1200 { "a" } else { "b" }, "customerId": "c", "callSid": format!("CA{call}"), "occurredAt": "2026-03-01T08:30:00Z"}))
            .collect();
        let reply = send(client.post("/billables").json(&reports)).await;
        let ids: Vec<_> = reply
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        let secret = token(&database, "own", &[Scope::Bill, Scope::Read], Some(&["a"])).await;
        let limited = server.client_of(&secret);
        let outcomes = |reply: &crate::support::client::Reply| -> Vec<String> {
            assert_eq!(reply.status, 200, "{}", reply.body);
            let items = reply.json()["items"].as_array().unwrap().clone();
            items
                .iter()
                .map(|item| item["outcome"].as_str().unwrap().to_owned())
                .collect()
        };
        // Nothing is done if an item cannot be meant, and all such items are listed.
        let bad = json!({"ids": [ids[0], "x", ids[1], ""], "reason": "a test"});
        let refused = send(client.post("/billables/void").json(&bad)).await;
        assert_eq!((refused.status, &*refused.error_code()), (400, "Predicate"));
        let errors = refused.json()["responseStatus"]["errors"]
            .as_array()
            .unwrap()
            .clone();
        assert_eq!(errors.len(), 2, "{}", refused.body);
        assert_eq!(errors[1]["meta"]["AutoBatchIndex"], "3", "{}", refused.body);
        let csv = format!("Reason,ID\n\"a\u{1}b\",{}\n", ids[0]);
        let refused = send(
            client
                .post("/billables/void")
                .header("content-type", "text/csv")
                .header("accept", "application/json")
                .body(csv),
        )
        .await;
        assert_eq!(
            (refused.status, refused.field_errors()[0].0.as_str()),
            (400, "Reason")
        );
        assert_eq!(
            client.get("/billables?state=voided").await.json()["items"],
            json!([])
        );

        // A reason that all share is checked once, however long it is.
        let long = json!({"ids": [ids[0], ids[1]], "reason": "x".repeat(1_000_000)});
        let refused = send(client.post("/billables/void").json(&long)).await;
        assert_eq!(refused.field_errors().len(), 1, "{}", refused.body);

        // Another account's billable is missing, as one that does not exist.
        let nobody = "00000000-0000-4000-8000-000000000000";
        let some = json!({"ids": [ids[0], ids[1200], nobody, ids[0]], "reason": "a test"});
        let reply = send(limited.post("/billables/void").json(&some)).await;
        assert_eq!(
            outcomes(&reply),
            ["voided", "missing", "missing", "replayed"]
        );
        let all = json!({"ids": ids, "reason": "another"});
        let reply = send(client.post("/billables/void").json(&all)).await;
        let found = outcomes(&reply);
        assert_eq!(found[0], "replayed");
        assert!(found.len() == 1201 && found[1..].iter().all(|outcome| outcome == "voided"));
        assert_eq!(reply.json()["items"][7]["input"], json!(ids[7]));
        let first = client.get(&format!("/billables/{}", ids[0])).await.json();
        assert_eq!(
            (&first["voidReason"], &first["voidedBy"]),
            (&json!("a test"), &json!("own"))
        );
        let billing = client
            .get("/billing?startDate=2026-03-01&endDate=2026-03-01")
            .await
            .json();
        let counts = |row: &Value| (row["billableCount"].as_i64(), row["voidedCount"].as_i64());
        let rows: Vec<_> = billing["customers"]
            .as_array()
            .unwrap()
            .iter()
            .map(counts)
            .collect();
        assert_eq!(rows, [(Some(0), Some(1200)), (Some(0), Some(1))]);
        // CSV has a reason in each row, and the same request again changes nothing.
        let late = json!({"accountId": "a", "customerId": "c", "callSid": "late"});
        let late = client.report(&late).await.id();
        let csv = format!("id,reason\r\n{late},wrong\r\n{},\r\n", ids[3]);
        for expected in [["voided", "replayed"], ["replayed", "replayed"]] {
            let post = client
                .post("/billables/void")
                .header("content-type", "text/csv");
            let reply = send(post.header("accept", "application/json").body(csv.clone())).await;
            assert_eq!(outcomes(&reply), expected);
        }
        let xml = send(
            client
                .post("/api/VoidBillables?format=xml")
                .json(&json!({"ids": [late.to_string()]})),
        )
        .await;
        assert!(xml.body.contains("<Decided><Input>"), "{}", xml.body);
        let reader = token(&database, "reader", &[Scope::Read], None).await;
        let refused = send(
            server
                .client_of(&reader)
                .post("/billables/void")
                .json(&some),
        )
        .await;
        assert_eq!(refused.status, 403);
        for (body, status) in [("{}", 400), ("{\"ids\":[]}", 400), ("[]", 400)] {
            let post = client
                .post("/billables/void")
                .header("content-type", "application/json");
            assert_eq!(send(post.body(body)).await.status, status, "{body}");
        }
        let many = json!({"ids": vec![nobody; 10_001]});
        assert_eq!(
            send(client.post("/billables/void").json(&many))
                .await
                .status,
            413
        );
        let (code, output, _) = run(&mut command(&database, &["verify"]));
        assert_eq!(code, 0, "{output}");
    }
);

on_both_databases!(
    the_void_command_does_the_same_on_a_server_as_on_the_database,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (address, secret) = (
            format!("http://{}", server.address()),
            write("token", server.secret()),
        );
        let remote = ["--server", &address, "--token-file", &secret];
        let nobody = "00000000-0000-4000-8000-000000000000";
        for (on, by) in [(&remote[..], "default"), (&[], "admin")] {
            let void = |arguments: &[&str]| {
                run(&mut command(
                    &database,
                    &[&["void"], arguments, on].concat(),
                ))
            };
            let report = async |call: usize| {
                let report =
                    json!({"accountId": "a", "customerId": by, "callSid": format!("CA{call}")});
                client.report(&report).await.id().to_string()
            };
            let mut ids = Vec::new();
            for call in 0..6 {
                ids.push(report(call).await);
            }
            let reason_of = async |id: &str| {
                let billable = client.get(&format!("/billables/{id}")).await.json();
                assert_eq!(billable["voidedBy"], by, "{billable}");
                billable["voidReason"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let (code, output, errors) = void(&[&ids[0], &ids[1], &ids[0], "--reason", "a test"]);
            assert_eq!((code, &*errors), (0, ""), "{output}");
            let expected = format!(
                "voided {}\nvoided {}\nreplayed {}\nvoided 2, replayed 1, missing 0\n",
                ids[0], ids[1], ids[0]
            );
            assert_eq!(output, expected);
            assert_eq!(reason_of(&ids[1]).await, "a test");

            let csv = format!(
                "ID,Reason\r\n{},wrong\r\n{},\r\n{nobody},x\r\n",
                ids[2], ids[3]
            );
            let csv = write("voids.csv", &csv);
            let (code, output, errors) = void(&["--file", &csv, "--reason", "by default"]);
            assert!(
                code == 1 && errors.contains("not every billable exists"),
                "{errors}"
            );
            assert!(
                output.ends_with(&format!(
                    "missing {nobody}\nvoided 2, replayed 0, missing 1\n"
                )),
                "{output}"
            );
            assert_eq!(reason_of(&ids[2]).await, "wrong");
            assert_eq!(reason_of(&ids[3]).await, "by default");
            let text = json!({"ids": [ids[4], ids[0]], "reason": "of all"}).to_string();
            let file = write("voids", &text);
            let (code, output, _) = void(&["--file", &file, "--json"]);
            let expected = json!([
                {"input": ids[4], "outcome": "voided"},
                {"input": ids[0], "outcome": "replayed"},
            ]);
            assert_eq!(
                (code, serde_json::from_str::<Value>(&output).unwrap()),
                (0, expected)
            );
            assert_eq!(reason_of(&ids[4]).await, "of all");

            // If an item cannot be meant, nothing is done.
            let bad = format!("id,reason\n{},\nx,\n{},a\u{1}b\n", ids[5], ids[0]);
            let (code, output, errors) = void(&["--file", &write("bad.csv", &bad)]);
            assert_eq!((code, &*output), (1, ""));
            for said in [
                "item 2: the id is not a UUID",
                "item 3: reason must not",
                "nothing was done",
            ] {
                assert!(errors.contains(said), "{errors}");
            }
            for wrong in ["{", "reason\nx\n"] {
                assert_eq!(void(&["--file", &write("wrong", wrong)]).0, 1, "{wrong}");
            }
            assert_eq!(void(&["not-an-id"]).0, 2);
            assert_eq!(void(&[]).0, 2);
            assert_eq!(void(&[&ids[5], "--file", &csv]).0, 2);
            let state = client.get(&format!("/billables/{}", ids[5])).await.json();
            assert_eq!(state["state"], "billable");
        }
        let reader = write(
            "reader",
            &token(&database, "reader", &[Scope::Read], None).await,
        );
        let as_reader = [
            "void",
            nobody,
            "--server",
            &address,
            "--token-file",
            &reader,
        ];
        let (code, _, errors) = run(&mut command(&database, &as_reader));
        assert!(
            code == 1 && errors.contains("the token does not have the scope bill"),
            "{errors}"
        );
        let (code, output, _) = run(&mut command(&database, &["verify"]));
        assert_eq!(code, 0, "{output}");
    }
);

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_more_ids_than_a_request_may_have_is_voided_in_pieces() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let reports: Vec<_> = (0..10_000)
        .map(|call| json!({"accountId": "a", "customerId": "c", "callSid": format!("CA{call}")}))
        .collect();
    let reply = send(client.post("/billables").json(&reports)).await.json();
    let late = json!({"accountId": "a", "customerId": "c", "callSid": "late"});
    let late = client.report(&late).await.id().to_string();
    let stored = reply.as_array().unwrap().iter();
    let mut ids: Vec<_> = stored.map(|one| one["id"].as_str().unwrap()).collect();
    ids.extend([&*late, ids[0]]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("token"), server.secret()).unwrap();
    std::fs::write(path("ids"), json!({"ids": ids}).to_string()).unwrap();
    let address = format!("http://{}", server.address());
    let void = [
        "void",
        "--file",
        &path("ids"),
        "--server",
        &address,
        "--token-file",
        &path("token"),
    ];
    let (code, output, errors) = run(&mut command(&database, &void));
    assert_eq!(code, 0, "{errors}");
    assert!(output.ends_with("voided 10001, replayed 1, missing 0\n"));
    // On the database, the same file again changes nothing.
    let (code, output, _) = run(&mut command(&database, &void[..3]));
    assert_eq!(code, 0);
    assert!(output.ends_with("voided 0, replayed 10002, missing 0\n"));
}
