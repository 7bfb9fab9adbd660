//! Hostile clients: what each kind sends, how it continues, and which replies it may get.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, timeout, timeout_at};

use crate::random::Random;

/// The time limit of a visit. It exceeds [`STUFFED`] and every timeout of the server.
const STAY: Duration = Duration::from_secs(50);

/// The time limit of a client that never reads. It exceeds the server's write timeout.
const STUFFED: Duration = Duration::from_secs(40);

/// A request with a body of this size uses its whole 64 KiB share of the small-body budget.
const SMALL: usize = 58 * 1024;

/// The server that the clients visit, and what they send to it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// A token with the scopes to report and to read.
    pub(crate) secret: String,
    /// A report that is already stored, so that sending it stores nothing.
    pub(crate) known: String,
    /// A small body that is large when decompressed.
    pub(crate) bomb: Vec<u8>,
}

impl Target {
    /// Returns the beginning of a report request.
    pub(crate) fn report(&self, headers: &str) -> String {
        format!(
            "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{headers}",
            self.secret
        )
    }

    /// Returns a complete report request with a body.
    fn report_of(&self, headers: &str, body: &[u8]) -> Vec<u8> {
        let head = self.report(headers) + &format!("Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    fn get(&self, path: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n",
            self.secret
        )
    }
}

/// What a client does after the first bytes.
#[derive(Debug)]
enum Then {
    /// Reads the reply until the server closes.
    Wait,
    /// Repeats the same bytes until the server closes, with a pause before each.
    Repeat(Vec<u8>, Duration),
    /// Closes the sending side, then reads the reply.
    Finish,
    /// Closes the connection immediately.
    Leave,
    /// Repeats the same bytes and reads nothing, until the client gives up: the server may take its
    /// time over many requests.
    Stuff(Vec<u8>),
}

/// The behaviour of a client.
#[derive(Debug)]
struct Script {
    first: Vec<u8>,
    then: Then,
    /// The replies that are allowed: a status, with the code if it is an error. The empty text
    /// means no reply.
    told: &'static [&'static str],
}

fn script(first: impl Into<Vec<u8>>, then: Then, told: &'static [&'static str]) -> Script {
    Script {
        first: first.into(),
        then,
        told,
    }
}

/// The names of all kinds. Expensive kinds are rare.
pub(crate) const KINDS: &[&str] = &[
    "silent",
    "slow head",
    "slow body",
    "stalled small body",
    "stalled large body",
    "endless chunks",
    "chunk extensions",
    "many fields",
    "long field",
    "half a head, then the end",
    "half a body, then the end",
    "half a body, then gone",
    "gone before the answer",
    "answers not read",
    "export not read",
    "junk",
    "another protocol",
    "stranger",
    "too long a value",
    "nested JSON",
    "long poll",
    "idle",
    "flood",
    "bomb",
];

/// The index of the first rare kind.
const RARE: usize = 22;

/// Returns a random kind. All common kinds are equally likely.
pub(crate) fn kind(random: &mut Random) -> usize {
    if random.once_in(200) {
        RARE + random.below(KINDS.len() - RARE)
    } else {
        random.below(RARE)
    }
}

const LATE: &[&str] = &["408 RequestTimeout", "503 Overloaded"];

#[expect(clippy::too_many_lines, reason = "a table, some lines for each kind")]
fn script_of(kind: &str, random: &mut Random, target: &Target) -> Script {
    let half =
        |bytes: &[u8], random: &mut Random| bytes[..1 + random.below(bytes.len() - 1)].to_vec();
    let known = target.report_of("", target.known.as_bytes());
    let head = known.len() - target.known.len();
    let chunked = target.report("Transfer-Encoding: chunked\r\n\r\n");
    let moment = Duration::from_millis(100);
    match kind {
        "silent" => script("", Then::Wait, &[""]),
        "slow head" => {
            let head = target.report("X-Slow: ");
            script(head, Then::Repeat(b"x".to_vec(), moment), &[""])
        }
        "slow body" => {
            let head = target.report("Content-Length: 10000\r\n\r\n");
            script(head, Then::Repeat(b" ".to_vec(), moment), LATE)
        }
        "stalled small body" => {
            let mut report = target.report_of("", &[b' '; SMALL]);
            report.pop();
            script(report, Then::Wait, LATE)
        }
        "stalled large body" => {
            let mut report = target
                .report("Content-Length: 8388608\r\n\r\n")
                .into_bytes();
            report.resize(report.len() + 256 * 1024, b' ');
            script(report, Then::Wait, LATE)
        }
        "endless chunks" => {
            let chunks = b"1\r\n \r\n".repeat(300);
            let told = &[
                "408 RequestTimeout",
                "413 PayloadTooLarge",
                "503 Overloaded",
            ];
            script(chunked, Then::Repeat(chunks, moment / 4), told)
        }
        "chunk extensions" => {
            let chunk = format!("1;{}\r\n \r\n", "x".repeat(500));
            let told = &[
                "400 SerializationException",
                "408 RequestTimeout",
                "503 Overloaded",
            ];
            script(chunked, Then::Repeat(chunk.into(), moment / 10), told)
        }
        "many fields" => {
            let fields: String = (0..101 + random.below(1000))
                .map(|number| format!("X-{number}: x\r\n"))
                .collect();
            script(
                target.get("/livez") + &fields + "\r\n",
                Then::Wait,
                &["431"],
            )
        }
        "long field" => {
            let value = "x".repeat(64 * 1024 + random.below(200 * 1024));
            script(
                target.get("/livez") + &format!("X: {value}\r\n\r\n"),
                Then::Wait,
                &["431"],
            )
        }
        "half a head, then the end" => script(half(&known[..head], random), Then::Finish, &[""]),
        "half a body, then the end" => {
            let part = head + random.below(known.len() - head);
            let told = &["", "400 SerializationException", "503 Overloaded"];
            script(&known[..part], Then::Finish, told)
        }
        "half a body, then gone" => script(half(&known, random), Then::Leave, &[]),
        "gone before the answer" => script(known, Then::Leave, &[]),
        // Large replies, which soon fill every buffer on the way.
        "answers not read" => {
            let page = target.get("/openapi.json") + "\r\n";
            script("", Then::Stuff(page.repeat(500).into()), &[])
        }
        "export not read" => {
            let export = target.get("/billables?format=ndjson") + "\r\n";
            script("", Then::Stuff(export.repeat(500).into()), &[])
        }
        "junk" => {
            let bytes =
                (0..1 + random.below(2000)).map(|_| u8::try_from(random.below(256)).unwrap());
            script(bytes.collect::<Vec<_>>(), Then::Finish, &["", "400"])
        }
        "another protocol" => {
            let greetings: [&[u8]; 3] = [
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                b"SSH-2.0-OpenSSH_9.2\r\n",
                // A client that would not understand an HTTP/1.1 reply gets none.
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            ];
            script(*random.of(&greetings), Then::Wait, &["400", ""])
        }
        "stranger" => {
            let head = "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bil_x\r\nContent-Length: 60000\r\n\r\n";
            script(
                head,
                Then::Repeat(b" ".to_vec(), moment),
                &["401 Unauthorized"],
            )
        }
        "too long a value" => {
            // The value is not blank and all other fields are valid, so there is exactly one error.
            let value = "x".repeat(257 + random.below(20_000));
            let body = json!({"accountId": "a0", "customerId": "c1", "callSid": value}).to_string();
            let report = target.report_of("Connection: close\r\n", body.as_bytes());
            script(report, Then::Wait, &["400 Length", "503 Overloaded"])
        }
        "nested JSON" => {
            let body = "[".repeat(1000 + random.below(50_000));
            let report = target.report_of("Connection: close\r\n", body.as_bytes());
            script(
                report,
                Then::Wait,
                &["400 SerializationException", "503 Overloaded"],
            )
        }
        "long poll" => {
            let request = target.get("/log?wait=5&limit=10") + "Connection: close\r\n\r\n";
            script(request, Then::Wait, &["200", "503 Overloaded"])
        }
        "idle" => script(target.get("/livez") + "\r\n", Then::Wait, &["200"]),
        "flood" => {
            let told = &[
                "413 PayloadTooLarge",
                "408 RequestTimeout",
                "503 Overloaded",
            ];
            let head = chunked + "900000\r\n";
            script(
                head,
                Then::Repeat(vec![b' '; 64 * 1024], Duration::ZERO),
                told,
            )
        }
        "bomb" => {
            let headers = "Connection: close\r\nContent-Encoding: gzip\r\n";
            let told = &["413 PayloadTooLarge", "503 Overloaded"];
            script(target.report_of(headers, &target.bomb), Then::Wait, told)
        }
        other => unreachable!("{other} is not a kind"),
    }
}

/// Makes one visit, from connecting to closing. A client that reads nothing stays until `end` at
/// most.
pub(crate) async fn visit(kind: usize, random: &mut Random, target: &Target, end: Instant) {
    let kind = KINDS[kind];
    let Script { first, then, told } = script_of(kind, random, target);
    let mut stream = match &then {
        // A small receive buffer, which is soon full.
        Then::Stuff(_) => {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            socket.connect(target.address).await.unwrap()
        }
        _ => TcpStream::connect(target.address).await.unwrap(),
    };
    let stayed = async {
        // The server may close early; only its reply counts.
        let _ = stream.write_all(&first).await;
        match then {
            Then::Leave => None,
            Then::Stuff(bytes) => {
                let stuff = async { while stream.write_all(&bytes).await.is_ok() {} };
                let _ = timeout_at(end.min(Instant::now() + STUFFED), stuff).await;
                None
            }
            Then::Finish => {
                let _ = stream.shutdown().await;
                Some(said(stream, None).await)
            }
            Then::Wait => Some(said(stream, None).await),
            Then::Repeat(bytes, pause) => Some(said(stream, Some((bytes, pause))).await),
        }
    };
    let said = timeout(STAY, stayed).await;
    let said = said.unwrap_or_else(|_| panic!("{kind}: the server did not close its connection"));
    if let Some(said) = said {
        let summary = summary(&said);
        assert!(told.contains(&&*summary), "{kind} got {summary:?}: {said}");
    }
}

/// Returns everything that the server sends until it closes, while sending more to it.
async fn said(stream: TcpStream, more: Option<(Vec<u8>, Duration)>) -> String {
    let (mut reader, mut writer) = split(stream);
    let mut bytes = Vec::new();
    let read = reader.read_to_end(&mut bytes);
    let Some((more, pause)) = more else {
        let _ = read.await;
        return String::from_utf8_lossy(&bytes).into_owned();
    };
    let write = async {
        let mut pause = (!pause.is_zero()).then(|| interval(pause));
        loop {
            if let Some(pause) = &mut pause {
                pause.tick().await;
            }
            // The server has closed; the reader notices that, too.
            if writer.write_all(&more).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! { _ = read => {}, () = write => {} }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the status, and the error code if the reply comes from the service and not from the HTTP
/// library.
fn summary(said: &str) -> String {
    let status = said
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let code = said
        .split_once("\"errorCode\":\"")
        .and_then(|(_, rest)| rest.split('"').next());
    [status, code]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}
