//! `GET /token` and `/tokens`: what the API says of tokens, and how it creates, rotates and revokes
//! them.

use std::time::Duration;

use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Reply, send};
use crate::support::server::{command, run, token};
use crate::support::{Client, Database, Server, on_both_databases};

async fn create(client: &Client, body: &Value) -> Reply {
    send(client.post("/tokens").json(body)).await
}

async fn rotate(client: &Client, id: &Value, body: &Value) -> Reply {
    let path = format!("/tokens/{}/rotate", id.as_str().unwrap());
    send(client.post(&path).json(body)).await
}

async fn revoke(client: &Client, id: &str) -> u16 {
    let request = client.request(Method::DELETE, &format!("/tokens/{id}"));
    send(request).await.status
}

fn secret(reply: &Reply) -> String {
    assert_eq!(reply.status, 201, "{reply:?}");
    let secret = reply.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("bil_"), "{secret}");
    secret
}

/// The first field that an error names, and its code.
fn blamed(reply: &Reply) -> (u16, String) {
    let (field, _) = reply.field_errors().into_iter().next().unwrap();
    (reply.status, field)
}

async fn listed(client: &Client) -> Vec<Value> {
    let reply = client.get("/tokens").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["items"].as_array().unwrap().clone()
}

on_both_databases!(
    every_token_may_ask_what_it_may_do,
    async |database: Database| {
        let server = Server::start(&database).await;
        let own = server.client().get("/token").await.json();
        assert_eq!(
            (&own["client"], &own["scopes"]),
            (
                &json!("default"),
                &json!(["report", "read", "bill", "admin"])
            )
        );
        let epoch = own["epoch"].as_str().unwrap();
        assert_eq!(epoch.len(), 36);
        assert_eq!(own.as_object().unwrap().len(), 3);
        let limited = json!({"client": "l", "scopes": ["report"], "accounts": ["b", "a"], "rate": "100/m", "expires": "90d"});
        let limited = server.client_of(&secret(&create(&server.client(), &limited).await));
        for path in [
            "/token",
            "/api/GetToken",
            "/json/reply/GetToken",
            "/token.json",
        ] {
            let said = limited.get(path).await.json();
            assert_eq!(
                [
                    &said["client"],
                    &said["scopes"],
                    &said["accounts"],
                    &said["rate"]
                ],
                [
                    &json!("l"),
                    &json!(["report"]),
                    &json!(["a", "b"]),
                    &json!("100/m")
                ]
            );
            assert_eq!(said["epoch"], epoch);
            let end: jiff::Timestamp = said["expires"].as_str().unwrap().parse().unwrap();
            let days = end.duration_since(jiff::Timestamp::now()).as_hours();
            assert!((2159..=2160).contains(&days), "{days}");
        }
        let xml = limited.get("/token.xml").await;
        assert!(
            xml.body.contains("<CurrentToken ") && xml.body.contains("<Rate>100/m</Rate>"),
            "{xml:?}"
        );
        let csv = limited.get("/token?format=csv").await;
        assert_eq!(
            csv.header("content-disposition"),
            Some("attachment; filename=\"token.csv\"")
        );
        assert!(
            csv.body.starts_with(
                "Client,Scopes,Accounts,Rate,Expires,Epoch\r\nl,\"[report]\",\"[a,b]\",100/m,"
            ),
            "{csv:?}"
        );
        // The scope admin does not count for a client that is limited to accounts.
        let admin = token(&database, "own", &[Scope::Read, Scope::Admin], Some(&["a"])).await;
        let said = server.client_of(&admin).get("/token").await.json();
        assert_eq!(said["scopes"], json!(["read"]));
        assert_eq!(server.client_of("bil_x").get("/token").await.status, 401);
        assert_eq!(
            limited.get("/token?x=1").await.error_code(),
            "UnknownParameter"
        );
    }
);

on_both_databases!(
    a_token_is_created_listed_rotated_and_revoked,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let created = create(&client, &json!({"client": "pbx"})).await;
        let old = server.client_of(&secret(&created));
        let report = json!({"accountId": "a", "customerId": "c"});
        // It works at once, and may only report.
        assert_eq!(old.report_keyed("k", &report).await.status, 201);
        assert_eq!(old.get("/billables").await.status, 403);
        let created = created.json();
        let tokens = listed(&client).await;
        assert_eq!(tokens.len(), 2);
        assert_eq!(
            [&tokens[1]["id"], &tokens[1]["client"], &tokens[1]["scopes"]],
            [&created["id"], &json!("pbx"), &json!(["report"])]
        );
        let (_, printed, _) = run(&mut command(&database, &["token", "list", "--json"]));
        let printed: Vec<Value> = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed[1], listed(&client).await[1]);

        let rotated = rotate(
            &client,
            &created["id"],
            &json!({"overlap": "0s", "expires": "1d"}),
        )
        .await;
        let new = server.client_of(&secret(&rotated));
        assert_eq!(new.report_keyed("k", &report).await.status, 200);
        let ended = async { while old.report_keyed("k", &report).await.status != 401 {} };
        tokio::time::timeout(Duration::from_secs(5), ended)
            .await
            .expect("the old token is refused within 5 s");
        // An expired token is listed, and cannot be rotated; one that expires needs a new expiry.
        assert_eq!(listed(&client).await.len(), 3);
        let again = rotate(&client, &created["id"], &json!({})).await;
        assert_eq!((again.status, &*again.error_code()), (404, "NotFound"));
        let id = &rotated.json()["id"];
        assert_eq!(
            blamed(&rotate(&client, id, &json!({})).await),
            (400, "Expires".to_owned())
        );
        let by_name = json!({"Id": id, "Expires": "2d"});
        let by_name = send(client.post("/api/RotateToken").json(&by_name)).await;
        let third = server.client_of(&secret(&by_name));
        assert_eq!(third.report_keyed("k", &report).await.status, 200);

        let id = by_name.json()["id"].as_str().unwrap().to_owned();
        let request = client.request(Method::DELETE, &format!("/api/RevokeToken?id={id}"));
        let revoked = send(request).await;
        assert_eq!((revoked.status, &*revoked.body), (204, ""));
        assert_eq!(revoke(&client, &id).await, 404);
        assert_eq!(revoke(&client, "no-id").await, 404);
        assert_eq!(revoke(&client, created["id"].as_str().unwrap()).await, 204);
        let refused = async { while third.report_keyed("k", &report).await.status != 401 {} };
        tokio::time::timeout(Duration::from_secs(5), refused)
            .await
            .expect("a revoked token is refused within 5 s");
        assert_eq!(listed(&client).await.len(), 2);
    }
);

on_both_databases!(
    no_token_gives_more_than_it_has,
    async |database: Database| {
        let server = Server::start(&database).await;
        let root = server.client();
        let few = [Scope::Read, Scope::Admin];
        let few = server.client_of(&token(&database, "few", &few, None).await);
        for scope in ["report", "bill"] {
            let wanted = json!({"client": "more", "scopes": ["read", scope]});
            let refused = create(&few, &wanted).await;
            assert_eq!(blamed(&refused), (403, "Scopes".to_owned()), "{refused:?}");
        }
        let reader = create(&few, &json!({"client": "reader", "scopes": ["read"]})).await;
        assert_eq!(reader.status, 201);
        // Nor by rotating another client's token.
        let biller = create(&root, &json!({"client": "biller", "scopes": ["bill"]})).await;
        let refused = rotate(&few, &biller.json()["id"], &json!({})).await;
        assert_eq!(blamed(&refused), (403, "Scopes".to_owned()));
        assert_eq!(
            rotate(&few, &reader.json()["id"], &json!({})).await.status,
            201
        );

        // A token that expires makes none that lives longer.
        let brief = json!({"client": "brief", "scopes": ["report", "admin"], "expires": "1h"});
        let brief = create(&root, &brief).await;
        let id = &brief.json()["id"];
        let brief = server.client_of(&secret(&brief));
        for expires in [json!(null), json!("2h")] {
            let wanted = json!({"client": "late", "expires": expires});
            assert_eq!(
                blamed(&create(&brief, &wanted).await),
                (403, "Expires".to_owned())
            );
            let refused = rotate(&brief, id, &json!({"expires": expires})).await;
            assert_eq!(blamed(&refused), (403, "Expires".to_owned()));
        }
        let early = json!({"client": "early", "expires": "30m"});
        assert_eq!(create(&brief, &early).await.status, 201);

        // Without the scope admin, nothing is said of any token.
        let others = [Scope::Report, Scope::Read, Scope::Bill];
        let limited = token(&database, "own", &[Scope::Read, Scope::Admin], Some(&["a"])).await;
        for secret in [token(&database, "others", &others, None).await, limited] {
            let client = server.client_of(&secret);
            assert_eq!(client.get("/tokens").await.status, 403);
            assert_eq!(create(&client, &json!({"client": "x"})).await.status, 403);
            assert_eq!(rotate(&client, id, &json!({})).await.status, 403);
            assert_eq!(revoke(&client, id.as_str().unwrap()).await, 403);
        }
        let names: Vec<_> = listed(&root)
            .await
            .into_iter()
            .map(|token| token["client"].clone())
            .collect();
        assert!(
            !names.contains(&json!("more")) && !names.contains(&json!("late")),
            "{names:?}"
        );
        let (_, clients, _) = run(&mut command(&database, &["client", "list"]));
        assert!(
            !clients.contains("more") && !clients.contains("late"),
            "{clients}"
        );
    }
);

on_both_databases!(
    a_request_for_a_token_that_cannot_be_meant_is_refused_and_stores_nothing,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for (body, field) in [
            (json!({}), "Client"),
            (json!({"client": "a b"}), "Client"),
            (json!({"client": "admin"}), "Client"),
            (json!({"client": "import"}), "Client"),
            (json!({"client": "x", "scopes": []}), "Scopes"),
            (json!({"client": "x", "scopes": ["write"]}), "Scopes"),
            (json!({"client": "x", "accounts": []}), "Accounts"),
            (json!({"client": "x", "accounts": [" "]}), "Accounts"),
            (json!({"client": "x", "accounts": ["a\u{0}"]}), "Accounts"),
            (
                json!({"client": "x", "accounts": ["a".repeat(257)]}),
                "Accounts",
            ),
            (
                json!({"client": "x", "scopes": ["admin"], "accounts": ["a"]}),
                "Scopes",
            ),
            (json!({"client": "x", "expires": "soon"}), "Expires"),
            (json!({"client": "x", "expires": "200y"}), "Expires"),
            (json!({"client": "x", "rate": "0/s"}), "Rate"),
            (json!({"client": "x", "sender": "nobody"}), "Sender"),
            (json!({"client": "x", "map": ["callSid"]}), "Sender"),
            (
                json!({"client": "x", "map": vec!["callSid=/a"; 101]}),
                "Map",
            ),
            (json!({"client": "x", "only": vec!["/a=b"; 101]}), "Only"),
            (
                json!({"client": "x", "customer": "c", "accounts": ["a"]}),
                "Customer",
            ),
            (
                json!({"client": "x", "customer": "c", "sender": "twilio"}),
                "Customer",
            ),
            (
                json!({"client": "x", "hook": true, "sender": "twilio"}),
                "Customer",
            ),
            (
                json!({"client": "x", "sender": "twilio", "scopes": ["read"]}),
                "Scopes",
            ),
        ] {
            let refused = create(&client, &body).await;
            assert_eq!(
                blamed(&refused),
                (400, field.to_owned()),
                "{body}: {refused:?}"
            );
        }
        // A misspelt limit would not limit.
        for body in [
            json!({"client": "x", "account": ["a"]}),
            json!({"client": 1}),
            json!([]),
        ] {
            let refused = create(&client, &body).await;
            assert_eq!(
                (refused.status, &*refused.error_code()),
                (400, "SerializationException"),
                "{body}"
            );
        }
        let large = json!({"client": "x", "accounts": vec!["a".repeat(200); 400]});
        assert_eq!(create(&client, &large).await.status, 413);
        let plain = client
            .post("/tokens")
            .header("content-type", "text/csv")
            .body("client\nx\n");
        assert_eq!(send(plain).await.status, 415);
        assert_eq!(listed(&client).await.len(), 1);

        // The limit belongs to the client.
        let first = json!({"client": "pbx", "accounts": ["a"]});
        assert_eq!(create(&client, &first).await.status, 201);
        let other = create(&client, &json!({"client": "pbx", "accounts": ["b"]})).await;
        assert_eq!(blamed(&other), (400, "Accounts".to_owned()));
        let same = create(&client, &json!({"CLIENT": "pbx"})).await;
        assert_eq!(same.json()["accounts"], json!(["a"]));
    }
);

on_both_databases!(
    a_hook_is_created_with_its_sender_and_rotated,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let wanted = json!({
            "client": "exchange", "accounts": ["acc"], "customer": "cus", "hook": true,
            "map": ["callSid=/id", "occurredAt=/at"], "only": ["/state=ended"],
            "timeFormat": "%d.%m.%Y %H:%M", "timeZone": "Europe/Rome", "requireIdentity": true,
        });
        let created = create(&client, &wanted).await;
        assert_eq!(created.status, 201, "{created:?}");
        let shown = listed(&client).await.pop().unwrap();
        for name in [
            "client",
            "accounts",
            "customer",
            "map",
            "only",
            "timeFormat",
            "timeZone",
            "requireIdentity",
            "hook",
        ] {
            assert_eq!(shown[name], wanted[name], "{name}");
        }
        assert_eq!(
            (&shown["account"], shown.get("answered")),
            (&json!("acc"), None)
        );
        let rotated = rotate(&client, &created.json()["id"], &json!({})).await;
        for reply in [&created, &rotated] {
            let reply = reply.json();
            assert_eq!(reply.get("secret"), None);
            let path = reply["hookPath"].as_str().unwrap();
            let call = json!({"id": "c1", "at": "01.03.2026 09:30", "state": "ended"});
            let stored = send(client.bare(Method::POST, path).json(&call)).await;
            assert!([200, 201].contains(&stored.status), "{stored:?}");
            assert_eq!(stored.json()["occurredAt"], "2026-03-01T08:30:00.000000Z");
            assert_eq!(stored.json()["billedCustomerId"], "cus");
        }
        let csv = client.get("/tokens.csv").await;
        assert_eq!(csv.body.lines().count(), 4, "{csv:?}");
        let xml = send(
            client
                .post("/api/CreateToken?format=xml")
                .json(&json!({"Client": "y"})),
        )
        .await;
        assert!(xml.body.contains("<Secret>bil_"), "{xml:?}");
        let xml = client.get("/tokens.xml").await;
        assert!(
            xml.body.contains("<ListOfToken ") && !xml.body.contains("bil_"),
            "{xml:?}"
        );
    }
);

on_both_databases!(
    who_created_rotated_and_revoked_a_token_is_logged_and_no_secret_is,
    async |database: Database| {
        let admin = "admin-secret-0123456789abcdef-xyz";
        let environment = [("BILLABLES_ADMIN_TOKEN", admin), ("RUST_LOG", "trace")];
        let server = Server::start_in(&database, &[], &environment).await;
        let client = server.client_of(admin);
        let mut secrets = Vec::new();
        let created = create(
            &client,
            &json!({"client": "pbx", "scopes": ["report", "admin"]}),
        )
        .await;
        secrets.push(secret(&created));
        let id = created.json()["id"].clone();
        let rotated = rotate(&client, &id, &json!({})).await;
        secrets.push(secret(&rotated));
        let hook = json!({"client": "h", "accounts": ["a"], "customer": "c", "sender": "twilio", "hook": true});
        let hook = create(&client, &hook).await.json();
        let path = hook["hookPath"].as_str().unwrap();
        secrets.push(path.rsplit('/').next().unwrap().to_owned());
        let new = rotated.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(revoke(&client, &new).await, 204);
        // A secret in place of an id.
        assert_eq!(revoke(&client, &secrets[0]).await, 404);
        server.until_logged("revoked a token").await;
        let mut said = server.log();
        let id = id.as_str().unwrap();
        for (what, id) in [
            ("created a token", id),
            ("rotated a token", id),
            ("revoked a token", &new),
        ] {
            let is_it = |line: &&str| line.contains(what) && line.contains(id);
            let line = said
                .lines()
                .find(is_it)
                .unwrap_or_else(|| panic!("{what} {id}"));
            assert!(
                line.contains("client=\"admin\"") && line.contains("INFO"),
                "{line}"
            );
        }
        said.push_str(&client.get("/refusals").await.body);
        said.push_str(&client.get("/metrics").await.body);
        for secret in secrets.iter().map(String::as_str).chain([admin]) {
            assert!(!said.contains(secret), "{secret}");
        }
    }
);

/// Runs `billables token`, on the database or on a server.
fn call(database: &Database, on: &[&str], arguments: &[&str]) -> (i32, String, String) {
    run(&mut command(
        database,
        &[&["token"], arguments, on].concat(),
    ))
}

on_both_databases!(
    the_token_commands_do_the_same_on_a_server_as_on_the_database,
    async |database: Database| {
        let server = Server::start(&database).await;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, secret: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{secret}\n")).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (address, own) = (
            format!("http://{}/", server.address()),
            file("own", server.secret()),
        );
        let remote = ["--server", &address, "--token-file", &own];
        // It has another database, so that only the server can have done it.
        let other = Database::sqlite().migrated();
        let on_server = |arguments: &[&str]| call(&other, &remote, arguments);
        let on_database = |arguments: &[&str]| call(&database, &[], arguments);

        let create = [
            "create",
            "--client",
            "pbx",
            "--scope",
            "report",
            "read",
            "--account",
            "a",
            "--rate",
            "9/s",
        ];
        for (create, said) in [
            (&create[..], ""),
            (&create[..3], "limited to the account a, like its client"),
        ] {
            for (code, secret, errors) in [on_server(create), on_database(create)] {
                assert_eq!(code, 0, "{errors}");
                assert!(
                    errors.contains(said) && errors.is_empty() == said.is_empty(),
                    "{errors}"
                );
                let secret = secret.strip_suffix('\n').unwrap();
                assert!(secret.starts_with("bil_") && !secret.contains(char::is_whitespace));
                let status = server.client_of(secret).get("/token").await.status;
                assert_eq!(status, 200);
            }
        }
        for list in [&["list"][..], &["list", "--json"]] {
            let listed = on_server(list);
            assert_eq!(listed, on_database(list));
            assert!(listed.0 == 0 && listed.1.contains("pbx"), "{listed:?}");
        }
        let hook = [
            "create",
            "--client",
            "h",
            "--hook",
            "--account",
            "a",
            "--customer",
            "c",
            "--sender",
            "twilio",
            "--url",
            "https://b.example.com/",
        ];
        for (_, url, errors) in [on_server(&hook), on_database(&hook)] {
            assert!(
                url.starts_with("https://b.example.com/billables/in/bil_"),
                "{url}{errors}"
            );
        }
        let (_, listed, _) = on_server(&["list", "--json"]);
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let ids: Vec<_> = listed[1..]
            .iter()
            .map(|token| token["id"].as_str().unwrap())
            .collect();
        for (id, on) in ids.iter().zip([&remote[..], &[]]) {
            let (code, secret, errors) = call(&database, on, &["rotate", id, "--overlap", "0s"]);
            assert!(code == 0 && secret.starts_with("bil_"), "{errors}");
            let revoke = ["revoke", id];
            let revoked = call(&database, on, &revoke);
            assert_eq!(revoked, (0, format!("revoked {id}\n"), String::new()));
            assert_eq!(call(&database, on, &revoke).0, 1);
        }

        // The server's refusal is shown.
        let reader = file(
            "reader",
            &token(&database, "reader", &[Scope::Read], None).await,
        );
        let as_reader = ["--server", &address, "--token-file", &reader];
        let (code, output, errors) = call(&other, &as_reader, &["list"]);
        assert_eq!((code, &*output), (1, ""));
        assert!(
            errors.contains("403 Forbidden the token does not have the scope admin"),
            "{errors}"
        );
        let (code, _, errors) = on_server(&["create", "--client", "admin"]);
        assert!(
            code == 2 && errors.contains("reserved for BILLABLES_ADMIN_TOKEN"),
            "{errors}"
        );
        for on in [
            &remote[..2],
            &remote[2..],
            &["--server", "b.example.com", "--token-file", &own],
        ] {
            assert_eq!(call(&other, on, &["list"]).0, 2, "{on:?}");
        }
        let missing = ["--server", &address, "--token-file", "/nowhere/token"];
        assert_eq!(call(&other, &missing, &["list"]).0, 1);
        let nobody = ["--server", "http://127.0.0.1:1", "--token-file", &own];
        assert_eq!(call(&other, &nobody, &["list"]).0, 1);
        let (_, listed, _) = call(&other, &[], &["list", "--json"]);
        assert_eq!(listed, "[]\n");
    }
);

on_both_databases!(
    a_revoked_token_leaves_no_other_behind_on_any_server,
    async |database: Database| {
        let first = Server::start(&database).await;
        let second = Server::start(&database).await;
        let admin = first.client();
        let leaked = create(&admin, &json!({"client": "leaked", "scopes": ["admin"]})).await;
        let id = leaked.json()["id"].as_str().unwrap().to_owned();
        let leaked = secret(&leaked);
        // Both servers know it.
        for server in [&first, &second] {
            assert_eq!(server.client_of(&leaked).get("/token").await.status, 200);
        }
        assert_eq!(revoke(&admin, &id).await, 204);
        for server in [&second, &first] {
            let client = server.client_of(&leaked);
            let wanted = json!({"client": "left", "scopes": ["admin"]});
            assert_eq!(create(&client, &wanted).await.status, 401);
            let rotation = format!("/tokens/{id}/rotate");
            let rotated = send(client.post(&rotation).json(&json!({}))).await;
            assert_eq!(rotated.status, 401, "{rotated:?}");
        }
        assert!(
            listed(&admin)
                .await
                .iter()
                .all(|one| one["client"] != "left")
        );
    }
);
