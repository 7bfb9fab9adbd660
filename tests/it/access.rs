//! Tokens, scopes, accounts.

use std::time::Duration;

use billables::token::Scope;
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::server::{command, run, token};
use crate::support::{Database, Server, on_both_databases};

on_both_databases!(
    requests_without_a_valid_token_get_401_with_both_challenges,
    async |database: Database| {
        let server = Server::start(&database).await;
        let secret = server.secret();
        let post = || {
            server
                .client()
                .bare(Method::POST, "/billables")
                .json(&json!({"sessionId": "S"}))
        };
        let headers = [
            None,
            Some("Bearer bil_wrong".to_owned()),
            Some("Bearer".to_owned()),
            Some(format!("Bearer {secret}x")),
            Some(format!("Token {secret}")),
            Some("Basic !!!".to_owned()),
            Some("Basic bm9ib2R5Ondyb25n".to_owned()),
        ];
        for header in headers {
            let request = header.iter().fold(post(), |request, header| {
                request.header("Authorization", header)
            });
            let reply = send(request).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (401, "Unauthorized"),
                "{header:?}"
            );
            let challenges: Vec<_> = reply
                .headers
                .get_all("www-authenticate")
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect();
            assert_eq!(
                challenges,
                [
                    "Bearer realm=\"billables\"",
                    "Basic realm=\"billables\", charset=\"UTF-8\""
                ]
            );
        }
        for request in [
            server.client().bare(
                Method::POST,
                &format!("/billables?access_token={secret}&apikey={secret}"),
            ),
            post().header("X-Api-Key", secret),
            post().header("Cookie", format!("ss-tok={secret}")),
            post()
                .header("Authorization", format!("Bearer {secret}"))
                .header("Authorization", "Bearer x"),
        ] {
            assert_eq!(send(request).await.status, 401);
        }
        // The token is checked before the body is read.
        let garbage = server
            .client()
            .bare(Method::POST, "/billables")
            .body("garbage");
        assert_eq!(send(garbage).await.status, 401);
        assert!(database.ids().await.is_empty());
    }
);

on_both_databases!(
    bearer_is_accepted_and_basic_with_any_user_name,
    async |database: Database| {
        let server = Server::start(&database).await;
        let post = || {
            server
                .client()
                .bare(Method::POST, "/billables")
                .json(&json!({"sessionId": "S", "callSid": "CA1"}))
        };
        assert_eq!(
            send(post().header("Authorization", format!("bEARER  {}", server.secret())))
                .await
                .status,
            201
        );
        assert_eq!(
            send(post().basic_auth("any:one", Some("x"))).await.status,
            401
        );
        for user in ["", "freeswitch"] {
            assert_eq!(
                send(post().basic_auth(user, Some(server.secret())))
                    .await
                    .status,
                200
            );
        }
    }
);

on_both_databases!(
    the_admin_token_has_every_scope_and_the_client_name_admin,
    async |database: Database| {
        let admin = "0123456789abcdef0123456789abcdef";
        let server = Server::start_in(&database, &[], &[("BILLABLES_ADMIN_TOKEN", admin)]).await;
        let client = server.client_of(admin);
        let report = json!({"sessionId": "S"});
        let reply = client.report_keyed("k", &report).await;
        assert_eq!(reply.status, 201);
        assert_eq!(
            client.get(reply.header("location").unwrap()).await.status,
            200
        );
        // A key belongs to a client, so the same key from another client makes another billable.
        assert_ne!(
            server.client().report_keyed("k", &report).await.id(),
            reply.id()
        );
        assert!(!server.log().contains(admin));
    }
);

on_both_databases!(
    a_key_belongs_to_the_client_and_not_to_the_token,
    async |database: Database| {
        let old = token(&database, "pbx", &[Scope::Report], None).await;
        let new = token(&database, "pbx", &[Scope::Report], None).await;
        let server = Server::start(&database).await;
        let report = json!({"sessionId": "S"});
        let first = server.client_of(&old).report_keyed("k", &report).await;
        let again = server.client_of(&new).report_keyed("k", &report).await;
        assert_eq!((first.status, again.status), (201, 200));
        assert_eq!(first.id(), again.id());
    }
);

on_both_databases!(a_scope_opens_its_routes_only, async |database: Database| {
    let reporter = token(&database, "reporter", &[Scope::Report], None).await;
    let reader = token(&database, "reader", &[Scope::Read], None).await;
    let biller = token(&database, "biller", &[Scope::Bill], None).await;
    let server = Server::start(&database).await;
    let report = json!({"sessionId": "S", "callSid": "CA1"});
    let reply = server.client_of(&reporter).report(&report).await;
    assert_eq!(reply.status, 201);
    let location = reply.header("location").unwrap();
    for (secret, post, get) in [
        (&reporter, 200, 403),
        (&reader, 403, 200),
        (&biller, 403, 403),
    ] {
        let client = server.client_of(secret);
        let (posted, got) = (client.report(&report).await, client.get(location).await);
        assert_eq!((posted.status, got.status), (post, get));
        for reply in [posted, got].iter().filter(|reply| reply.status == 403) {
            assert_eq!(reply.error_code(), "Forbidden");
        }
    }
});

on_both_databases!(
    an_account_limited_token_reports_and_reads_only_its_accounts,
    async |database: Database| {
        let limited = token(&database, "limited", &Scope::ALL, Some(&["a1", "a2"])).await;
        let server = Server::start(&database).await;
        let (limited, all) = (server.client_of(&limited), server.client());

        let unnamed = limited
            .report(&json!({"sessionId": "S", "callSid": "\u{1}"}))
            .await;
        assert_eq!(unnamed.status, 400);
        let fields: Vec<_> = unnamed
            .field_errors()
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, ["AccountId", "CallSid"]);
        let foreign = limited
            .report(&json!({"accountId": "a3", "customerId": "c"}))
            .await;
        assert_eq!(
            (foreign.status, foreign.field_errors()),
            (403, vec![("AccountId".to_owned(), "Forbidden".to_owned())])
        );
        assert_eq!(
            limited
                .report(&json!({"accountId": "A1", "customerId": "c"}))
                .await
                .status,
            403
        );
        assert!(database.ids().await.is_empty());

        let own = limited
            .report(&json!({"accountId": "a2", "sessionId": "S", "callSid": "CA1"}))
            .await;
        assert_eq!(own.status, 201);
        assert_eq!(
            limited.get(own.header("location").unwrap()).await.status,
            200
        );
        let others = [
            all.report(&json!({"accountId": "a3", "customerId": "c"}))
                .await,
            all.report(&json!({"sessionId": "S"})).await,
        ];
        let unknown = limited
            .get("/billables/d1719a49-b256-8aa7-94dd-3ddcc3a8189f")
            .await;
        for other in others {
            let hidden = limited.get(other.header("location").unwrap()).await;
            assert_eq!((hidden.status, &hidden.body), (404, &unknown.body));
        }
    }
);

on_both_databases!(
    tokens_created_or_revoked_at_run_time_take_effect_within_five_seconds,
    async |database: Database| {
        let server = Server::start(&database).await;
        let (code, secret, errors) = run(&mut command(
            &database,
            &["token", "create", "--client", "late", "--expires", "90d"],
        ));
        assert_eq!((code, &*errors), (0, ""));
        let secret = secret.strip_suffix('\n').unwrap();
        assert!(secret.starts_with("bil_") && !secret.contains(char::is_whitespace));
        let client = server.client_of(secret);
        let report = json!({"sessionId": "S", "callSid": "CA1"});
        let until = async |status: u16| {
            let ask = async { while client.report(&report).await.status / 100 != status {} };
            tokio::time::timeout(Duration::from_secs(5), ask)
                .await
                .expect("it takes effect within 5 s");
        };
        until(2).await;
        let (_, listed, _) = run(&mut command(&database, &["token", "list", "--json"]));
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let late = listed
            .as_array()
            .unwrap()
            .iter()
            .find(|token| token["client"] == "late")
            .unwrap();
        assert_eq!(
            (&late["scopes"], &late["accounts"]),
            (&json!(["report"]), &json!(null))
        );
        let id = late["id"].as_str().unwrap();
        assert_eq!(
            run(&mut command(&database, &["token", "revoke", id])),
            (0, format!("revoked {id}\n"), String::new())
        );
        until(4).await;
        assert_eq!(run(&mut command(&database, &["token", "revoke", id])).0, 1);
    }
);

on_both_databases!(an_expired_token_is_refused, async |database: Database| {
    let (_, secret, _) = run(&mut command(
        &database,
        &["token", "create", "--client", "brief", "--expires", "1ms"],
    ));
    let server = Server::start(&database).await;
    let reply = server
        .client_of(secret.trim())
        .report(&json!({"sessionId": "S"}))
        .await;
    assert_eq!((reply.status, &*reply.error_code()), (401, "Unauthorized"));
});

on_both_databases!(
    the_list_of_tokens_is_a_table_without_secrets,
    async |database: Database| {
        let database = database.migrated();
        let (_, secret, _) = run(&mut command(
            &database,
            &[
                "token",
                "create",
                "--client",
                "pbx-1",
                "--scope",
                "read",
                "report",
                "--scope",
                "read",
                "--account",
                "a1",
                "--account",
                "a 2",
            ],
        ));
        let (code, table, _) = run(&mut command(&database, &["token", "list"]));
        assert_eq!(code, 0);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            [
                "ID", "CLIENT", "SCOPES", "ACCOUNTS", "SENDER", "RATE", "CREATED", "EXPIRES",
                "LAST", "USED"
            ]
        );
        assert!(
            lines[1].contains("  pbx-1   report,read  a 2,a1    own names  unlimited  "),
            "{table}"
        );
        assert!(lines[1].ends_with("  never    never"), "{table}");
        assert!(!table.contains(secret.trim()));
    }
);

on_both_databases!(
    a_rotated_token_works_until_the_overlap_ends_and_idempotency_keys_stay_valid,
    async |database: Database| {
        let database = database.migrated();
        let secret = |arguments: &[&str]| {
            let (code, output, errors) =
                run(&mut command(&database, &[&["token"], arguments].concat()));
            assert_eq!((code, &*errors), (0, ""), "{arguments:?}");
            output.strip_suffix('\n').unwrap().to_owned()
        };
        let listed = || {
            let (_, listed, _) = run(&mut command(&database, &["token", "list", "--json"]));
            let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
            listed
        };
        let old = secret(&[
            "create",
            "--client",
            "pbx",
            "--scope",
            "report",
            "read",
            "--account",
            "a",
            "--rate",
            "500/s",
        ]);
        let id = listed()[0]["id"].as_str().unwrap().to_owned();
        let new = secret(&["rotate", &id, "--overlap", "7d"]);
        assert!(new.starts_with("bil_") && new != old);
        let tokens = listed();
        assert_eq!(tokens.len(), 2);
        for same in ["client", "scopes", "accounts", "rate"] {
            assert_eq!(tokens[0][same], tokens[1][same], "{same}");
        }
        let end = |token: &serde_json::Value| {
            token["expires"]
                .as_str()
                .map(|at| at.parse::<jiff::Timestamp>().unwrap())
        };
        let left = end(&tokens[0])
            .unwrap()
            .duration_since(jiff::Timestamp::now())
            .as_secs();
        assert!((7 * 86_400 - 60..=7 * 86_400).contains(&left), "{left}");
        assert_eq!(end(&tokens[1]), None);

        let server = Server::start(&database).await;
        let report = json!({"accountId": "a", "customerId": "c"});
        let first = server.client_of(&old).report_keyed("k", &report).await;
        let again = server.client_of(&new).report_keyed("k", &report).await;
        assert_eq!((first.status, again.status), (201, 200));
        assert_eq!(first.id(), again.id());
        // Rotating a token that expires needs a new expiry, and an expired token cannot be rotated.
        let (code, _, errors) = run(&mut command(&database, &["token", "rotate", &id]));
        assert!(
            code == 2 && errors.contains("expires is required"),
            "{errors}"
        );
        let third = secret(&["rotate", &id, "--overlap", "0s", "--expires", "90d"]);
        let (code, _, errors) = run(&mut command(
            &database,
            &["token", "rotate", &id, "--expires", "90d"],
        ));
        assert!(code == 1 && errors.contains("no valid token"), "{errors}");
        let ended = async {
            while server
                .client_of(&old)
                .report_keyed("k", &report)
                .await
                .status
                != 401
            {}
        };
        tokio::time::timeout(Duration::from_secs(5), ended)
            .await
            .expect("the old token is refused within 5 s");
        for secret in [new, third] {
            assert_eq!(
                server
                    .client_of(&secret)
                    .report_keyed("k", &report)
                    .await
                    .status,
                200
            );
        }
    }
);

on_both_databases!(
    a_tokens_last_use_is_recorded_in_the_background_at_most_once_a_minute,
    async |database: Database| {
        let used = token(&database, "used", &[Scope::Report], None).await;
        let _idle = token(&database, "idle", &[Scope::Report], None).await;
        let server = Server::start(&database).await;
        let before = jiff::Timestamp::now();
        let report = json!({"sessionId": "S", "callSid": "CA1"});
        assert_eq!(server.client_of(&used).report(&report).await.status, 201);
        let last_used = || {
            let (_, listed, _) = run(&mut command(&database, &["token", "list", "--json"]));
            let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
            ["used", "idle"].map(|client| {
                let token = listed
                    .iter()
                    .find(|token| token["client"] == client)
                    .unwrap();
                token["lastUsed"]
                    .as_str()
                    .map(|at| at.parse::<jiff::Timestamp>().unwrap())
            })
        };
        let noted = async {
            loop {
                if let [Some(at), idle] = last_used() {
                    assert_eq!(idle, None);
                    return at;
                }
                tokio::task::yield_now().await;
            }
        };
        let noted = tokio::time::timeout(Duration::from_secs(30), noted)
            .await
            .expect("the last use is recorded");
        let slack = jiff::SignedDuration::from_millis(1);
        assert!(
            noted >= before - slack && noted <= jiff::Timestamp::now(),
            "{noted}"
        );
        // Later uses within the minute change nothing, whichever server records them.
        let (store, _) = database.store().await;
        let tokens: Vec<_> = store
            .tokens_list()
            .await
            .unwrap()
            .into_iter()
            .flatten()
            .collect();
        let (_, kept) = tokens
            .iter()
            .find(|(_, token)| token.grant.client.as_str() == "used")
            .unwrap();
        let noted = kept.last_used_at.unwrap();
        for (after, expected) in [
            (59, noted),
            (60, noted.plus_seconds(60).unwrap()),
            (30, noted.plus_seconds(60).unwrap()),
        ] {
            store
                .tokens_use(&[(kept.id, noted.plus_seconds(after).unwrap())])
                .await
                .unwrap();
            let tokens: Vec<_> = store
                .tokens_list()
                .await
                .unwrap()
                .into_iter()
                .flatten()
                .collect();
            let found = tokens
                .iter()
                .find(|(_, token)| token.id == kept.id)
                .unwrap();
            assert_eq!(found.1.last_used_at, Some(expected), "{after}");
        }
        store.close().await;
    }
);

on_both_databases!(
    requests_above_a_tokens_rate_get_429,
    async |database: Database| {
        let database = database.migrated();
        let (_, slow, _) = run(&mut command(
            &database,
            &[
                "token", "create", "--client", "slow", "--scope", "report", "read", "--rate", "3/h",
            ],
        ));
        let other = token(&database, "slow", &[Scope::Report], None).await;
        let server = Server::start(&database).await;
        let client = server.client_of(slow.trim());
        let report = json!({"sessionId": "S", "callSid": "CA1"});
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(client.report(&report).await.status);
        }
        assert_eq!(statuses, [201, 200, 200]);
        for refused in [client.report(&report).await, client.get("/billables").await] {
            assert_eq!(
                (refused.status, &*refused.error_code()),
                (429, "TooManyRequests")
            );
            let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=1201).contains(&wait), "{wait}");
        }
        // The rate applies to this token only, and the count of its requests survives a reload of
        // the tokens.
        assert_eq!(server.client_of(&other).report(&report).await.status, 200);
        let late = token(&database, "late", &[Scope::Report], None).await;
        let known = async { while server.client_of(&late).report(&report).await.status != 200 {} };
        tokio::time::timeout(Duration::from_secs(5), known)
            .await
            .expect("the tokens are reloaded");
        assert_eq!(client.report(&report).await.status, 429);
        let metrics = server.client().get("/metrics").await.body;
        assert!(
            metrics.contains("billables_refused_total{limit=\"rate\"} 3\n"),
            "{metrics}"
        );
    }
);

#[test]
fn invalid_token_arguments_are_a_usage_error() {
    let database = Database::sqlite();
    for arguments in [
        &["create"][..],
        &["create", "--client", "a b"],
        &["create", "--client", "admin"],
        &["create", "--client", "x", "--scope", "write"],
        &["create", "--client", "x", "--expires", "soon"],
        &["create", "--client", "x", "--account", " "],
        &["create", "--client", "x", "--rate", "fast"],
        &["create", "--client", "x", "--rate", "0/s"],
        &["revoke", "not-an-id"],
        &["rotate", "not-an-id"],
        &["rotate"],
    ] {
        let (code, output, errors) =
            run(&mut command(&database, &[&["token"], arguments].concat()));
        assert_eq!((code, &*output), (2, ""), "{arguments:?}: {errors}");
        assert!(!errors.is_empty());
    }
}

on_both_databases!(
    cross_site_browser_requests_are_refused,
    async |database: Database| {
        let server = Server::start(&database).await;
        let post = || {
            server
                .client()
                .post("/billables")
                .json(&json!({"sessionId": "S", "callSid": "CA1"}))
        };
        for (name, value) in [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
            ("Origin", "https://evil.example"),
        ] {
            let reply = send(post().header(name, value)).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (403, "Forbidden"),
                "{name}: {value}"
            );
        }
        assert!(database.ids().await.is_empty());
        assert_eq!(
            send(post().header("Sec-Fetch-Site", "same-origin"))
                .await
                .status,
            201
        );
        let own = format!("http://{}", server.address());
        assert_eq!(send(post().header("Origin", own)).await.status, 200);
    }
);

on_both_databases!(
    case_13_the_tokens_of_a_client_are_limited_to_the_same_accounts,
    async |database: Database| {
        let database = database.migrated();
        let create = |arguments: &[&str]| {
            let all = [&["token", "create", "--client", "pbx"], arguments].concat();
            run(&mut command(&database, &all))
        };
        let (_, first, errors) = create(&["--scope", "report", "read", "--account", "a1"]);
        assert!(first.starts_with("bil_"), "{errors}");
        // Another limit would let one token learn what the other's keys were used for.
        for other in [&["--account", "a2"][..], &["--account", "a1", "a2"]] {
            let (code, shown, errors) = create(other);
            assert_eq!((code, &*shown), (1, ""), "{errors}");
            assert!(
                errors.contains(
                    "the client pbx is limited to the account a1, and so are all its tokens"
                ) && errors.contains("`billables client accounts pbx ACCOUNT ...`"),
                "{errors}"
            );
        }
        // Without the argument, the client's limit applies.
        let (code, second, errors) = create(&["--scope", "report", "read"]);
        assert_eq!(code, 0, "{errors}");
        assert!(
            errors.contains("the token is limited to the account a1, like its client"),
            "{errors}"
        );
        assert_eq!(create(&["--account", "a1"]).0, 0);

        let server = Server::start(&database).await;
        let clients = [first, second].map(|secret| server.client_of(secret.trim()));
        let report = |account: &str, call: &str| json!({"accountId": account, "sessionId": "S", "callSid": call});
        for client in &clients {
            assert_eq!(client.report(&report("a2", "CA0")).await.status, 403);
            assert!([200, 201].contains(&client.report(&report("a1", "CA1")).await.status));
        }
        let (code, shown, errors) = run(&mut command(
            &database,
            &["client", "accounts", "pbx", "a2", "a3"],
        ));
        assert_eq!(code, 0, "{errors}");
        assert_eq!(shown, "the client pbx is limited to the accounts a2, a3\n");
        let (_, shown, _) = run(&mut command(&database, &["client", "list"]));
        let line = shown.lines().find(|line| line.starts_with("pbx ")).unwrap();
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["pbx", "a2,a3", "3"]
        );
        for client in &clients {
            let applied =
                async { while client.report(&report("a2", "CA2")).await.status == 403 {} };
            timeout(Duration::from_secs(5), applied)
                .await
                .expect("every token is limited again within 5 s");
            assert_eq!(client.report(&report("a1", "CA1")).await.status, 403);
        }
        let (code, shown, _) = run(&mut command(
            &database,
            &["client", "accounts", "pbx", "--all"],
        ));
        assert_eq!(
            (code, &*shown),
            (0, "the client pbx is not limited to accounts\n")
        );
        let (code, _, errors) = run(&mut command(
            &database,
            &["client", "accounts", "nobody", "a1"],
        ));
        assert_eq!(
            (code, errors.contains("there is no client nobody")),
            (1, true),
            "{errors}"
        );
        assert_eq!(
            run(&mut command(&database, &["client", "accounts", "pbx"])).0,
            2
        );
    }
);

on_both_databases!(
    case_13_a_conflict_names_no_fields_to_a_client_that_may_not_see_the_billable,
    async |database: Database| {
        let scopes = [Scope::Report, Scope::Read];
        let secret = token(&database, "pbx", &scopes, Some(&["a1"])).await;
        let server = Server::start(&database).await;
        let client = server.client_of(&secret);
        let report = |account: &str, customer: &str| json!({"accountId": account, "customerId": customer, "callSid": "CA1"});
        assert_eq!(
            client.report_keyed("k", &report("a1", "c1")).await.status,
            201
        );
        let shown = client.report_keyed("k", &report("a1", "c2")).await;
        assert_eq!(
            (shown.status, &*shown.error_code()),
            (422, "IdempotencyConflict")
        );
        assert!(shown.body.contains("CustomerId"), "{}", shown.body);
        // The client is given other accounts; its keys stay.
        let (code, _, errors) = run(&mut command(
            &database,
            &["client", "accounts", "pbx", "a2"],
        ));
        assert_eq!(code, 0, "{errors}");
        let hidden = async {
            loop {
                let reply = client.report_keyed("k", &report("a2", "guess")).await;
                if reply.status != 403 {
                    return reply;
                }
            }
        };
        let hidden = timeout(Duration::from_secs(5), hidden).await.unwrap();
        assert_eq!(
            (hidden.status, &*hidden.error_code()),
            (422, "IdempotencyConflict")
        );
        let status = &hidden.json()["responseStatus"];
        assert_eq!(status["errors"], json!([]));
        for field in ["account", "customer", "c1", "a1"] {
            assert!(!hidden.body.contains(field), "{}", hidden.body);
        }
        let batch = send(
            client
                .post("/billables")
                .header("Idempotency-Key", "k2")
                .json(&[report("a2", "c1"), report("a2", "c1")]),
        )
        .await;
        assert_eq!(batch.status, 201);
    }
);

/// A slow reader of an export, whose token is revoked meanwhile.
async fn until_cut(database: &Database, server: &Server, secret: &str, path: &str) {
    let mut reader = Raw::connect_narrow(server.address()).await;
    reader
        .send(format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\r\n"
        ))
        .await;
    let head = reader.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    database
        .execute("update tokens set revoked_at = 1 where client = 'reader'")
        .await;
    timeout(
        Duration::from_secs(5),
        server.until_logged("its token was revoked or changed"),
    )
    .await
    .expect("the stream ends within 5 s");
    let rest = timeout(Duration::from_secs(5), reader.rest_bytes()).await;
    let rest = rest.expect("the connection is closed");
    let rest = String::from_utf8_lossy(&rest);
    assert!(
        !rest.ends_with("0\r\n\r\n") && !rest.contains("row-count"),
        "the export is cut"
    );
}

on_both_databases!(
    case_16_an_export_ends_when_its_token_is_revoked,
    async |database: Database| {
        let secret = token(&database, "reader", &[Scope::Read], None).await;
        let server = Server::start(&database).await;
        let long = "x".repeat(200);
        for batch in 0..3 {
            let reports: Vec<_> = (0..5000)
                .map(|number| json!({"accountId": long, "customerId": long, "callSid": format!("{long}-{batch}-{number}")}))
                .collect();
            let reply = send(
                server
                    .client()
                    .post("/billables")
                    .header("Prefer", "return=minimal")
                    .json(&reports),
            )
            .await;
            assert_eq!(reply.status, 204);
        }
        until_cut(&database, &server, &secret, "/billables?format=ndjson").await;
    }
);
