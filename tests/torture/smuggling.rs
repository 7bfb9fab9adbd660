//! HTTP request smuggling: reports are hidden in requests whose body length two parsers could read
//! differently. The server reads only one request, or refuses it and closes.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::TIMEOUT;
use crate::check::get;
use crate::hostile_clients::Target;
use crate::random::Random;
use crate::support::Client;

/// The result of all attempts.
#[derive(Debug)]
pub(crate) struct Smuggled {
    pub(crate) techniques: usize,
    /// The id of the report that was sent openly, after another request.
    pub(crate) open: Uuid,
}

/// A smuggling technique: its name, and a function from the hidden request to the bytes to send.
type Technique = (String, Bytes);
type Bytes = Box<dyn Fn(&str) -> Vec<u8>>;

/// Tries each technique in one write and in two. Checks that the server closes each connection and
/// handles at most one request on it.
pub(crate) async fn run(client: &Client, target: &Target, random: &mut Random) -> Smuggled {
    let techniques = techniques(target);
    let mut tries = JoinSet::new();
    for (technique, (name, bytes)) in techniques.iter().enumerate() {
        for pieces in 1..=2 {
            let name = format!("{name}, in {pieces}");
            let bytes = bytes(&hidden(target, &format!("hidden-{technique}-{pieces}")));
            let cut = (pieces == 2).then(|| random.below(bytes.len()));
            let stream = TcpStream::connect(target.address).await.unwrap();
            tries.spawn(async move {
                let said = timeout(TIMEOUT, said(stream, &bytes, cut)).await;
                let said = said.unwrap_or_else(|_| panic!("{name}: it is not closed"));
                assert!(answered(&said) <= 1, "{name}: {said}");
                let refused = said.matches("HTTP/1.1 4").count();
                assert!(
                    answered(&said) + refused > 0,
                    "{name}: not answered: {said}"
                );
            });
        }
    }
    tries.join_all().await;
    // The control: the same request is carried out when it is not hidden.
    let open = [
        target.report(&format!("Content-Length: {}\r\n\r\n", target.known.len())),
        target.known.clone(),
        hidden(target, "open"),
    ];
    let stream = TcpStream::connect(target.address).await.unwrap();
    let said = said(stream, open.concat().as_bytes(), None).await;
    assert_eq!(answered(&said), 2, "{said}");
    assert!(said.contains("HTTP/1.1 201 "), "{said}");
    let stored = get(client, "/billables?callSid=open").await.json();
    Smuggled {
        techniques: techniques.len(),
        open: stored["items"][0]["id"].as_str().unwrap().parse().unwrap(),
    }
}

/// Counts the replies that come from the service and not from the HTTP library.
fn answered(said: &str) -> usize {
    said.to_lowercase().matches("x-request-id: ").count()
}

async fn said(mut stream: TcpStream, bytes: &[u8], cut: Option<usize>) -> String {
    let (first, second) = bytes.split_at(cut.unwrap_or_default());
    stream.set_nodelay(true).unwrap();
    let _ = stream.write_all(first).await;
    tokio::task::yield_now().await;
    let _ = stream.write_all(second).await;
    let mut said = Vec::new();
    // A reset also ends the connection.
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// Returns a complete request that would store a report.
fn hidden(target: &Target, call: &str) -> String {
    let body = json!({"accountId": "a0", "customerId": "c1", "callSid": call, "occurredAt": "2026-03-05T10:00:00Z"}).to_string();
    let length = body.len();
    target.report(&format!("Content-Length: {length}\r\n\r\n{body}"))
}

fn techniques(target: &Target) -> Vec<Technique> {
    let mut techniques: Vec<Technique> = Vec::new();
    let report = |fields: &str| target.report(fields);
    let mut add = |name: &str, bytes: Bytes| techniques.push((name.to_owned(), bytes));

    // By Content-Length, the body includes the hidden request. By Transfer-Encoding, the body ends
    // before the hidden request.
    for coding in CODINGS {
        let head = report(coding);
        add(
            &format!("{coding:?} and a length"),
            Box::new(move |hidden| {
                let body = format!("0\r\n\r\n{hidden}");
                format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
            }),
        );
        let head = report("");
        add(
            &format!("a length and {coding:?}"),
            Box::new(move |hidden| {
                let body = format!("0\r\n\r\n{hidden}");
                format!(
                    "{head}Content-Length: {}\r\n{coding}\r\n\r\n{body}",
                    body.len()
                )
                .into()
            }),
        );
    }
    // By Content-Length, the body ends before the hidden request. By Transfer-Encoding, the hidden
    // request is in a chunk.
    let head = report("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
    add(
        "a coding and a short length",
        Box::new(move |hidden| {
            // The chunk-size line has the length that Content-Length states, so the hidden request
            // begins where the body ends.
            let size = format!("{:03x}\r\n", hidden.len());
            format!("{head}{size}{hidden}\r\n0\r\n\r\n").into()
        }),
    );
    // By one length, the body includes the hidden request. By the other, the body ends before the
    // hidden request.
    for length in LENGTHS {
        let head = report("");
        add(
            &format!("lengths {length:?}"),
            Box::new(move |hidden| {
                let all = (hidden.len() + 5).to_string();
                let lengths = length.replace("{all}", &all);
                format!("{head}{lengths}\r\n\r\n12345{hidden}").into()
            }),
        );
    }
    // A lenient parser takes these for the last chunk.
    for size in SIZES {
        let head = report("Transfer-Encoding: chunked\r\n\r\n");
        add(
            &format!("the chunk {size:?}"),
            Box::new(move |hidden| format!("{head}{size}{hidden}\r\n0\r\n\r\n").into()),
        );
    }
    // Requests that are answered before their body is read, but that have a body.
    for early in EARLY {
        let early = early.replace("{token}", &target.secret);
        add(
            &format!("a body of {early:?}"),
            Box::new(move |hidden| {
                format!("{early}Content-Length: {}\r\n\r\n{hidden}", hidden.len()).into()
            }),
        );
    }
    techniques
}

/// Header fields that some parser takes for `Transfer-Encoding: chunked`.
const CODINGS: &[&str] = &[
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding:chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding: \u{0}chunked",
    "Transfer-Encoding: chunked\u{0}",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "X: x\r\n Transfer-Encoding: chunked",
    "X: x\nTransfer-Encoding: chunked",
    "X: x\rTransfer-Encoding: chunked",
    "X: x\r\n\tTransfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding;: chunked",
    "Transfer\u{e9}-Encoding: chunked",
    "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    "TE: chunked",
];

/// Lengths that parsers read differently; `{all}` is the length that includes the hidden request.
const LENGTHS: &[&str] = &[
    "Content-Length: {all}\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: {all}",
    "Content-Length: {all}\r\nContent-Length: {all}",
    "Content-Length: {all}, 5",
    "Content-Length: 5, {all}",
    "Content-Length: {all}, {all}",
    "Content-Length: +{all}",
    "Content-Length: -{all}",
    "Content-Length: 0x{all}",
    "Content-Length: 0{all}",
    "Content-Length: {all}.0",
    "Content-Length: {all}e0",
    "Content-Length: {all};",
    "Content-Length: {all} 5",
    "Content-Length: 5 {all}",
    "Content-Length: \u{660}{all}",
    "Content-Length: \u{b}{all}",
    "Content-Length: 18446744073709551621",
    "Content-Length: 184467440737095516160000{all}",
    "Content-Length : {all}",
    "Content-Length\t: {all}",
    " Content-Length: {all}",
    "Content-Length:\r\n {all}",
    "Content-Length: 5\r\n {all}",
    "Content-Length: {all}\r\nX: x\nContent-Length: 5",
    "X: x\rContent-Length: 5\r\nContent-Length: {all}",
    "Content-Length: \r\nContent-Length: {all}",
    "Connection: Content-Length\r\nContent-Length: {all}",
];

/// The bytes before the hidden request in a chunked body.
const SIZES: &[&str] = &[
    "0\r\n\n",
    "0\n\r\n",
    "0\n\n",
    "0\r\r\n\r\n",
    "0\r\n\r",
    "+0\r\n\r\n",
    "-0\r\n\r\n",
    "0x0\r\n\r\n",
    "0.\r\n\r\n",
    "0_0\r\n\r\n",
    "\u{660}\r\n\r\n",
    "\r\n0\r\n\r\n",
    " 0\r\n\r\n",
    "10000000000000000\r\n\r\n",
    "FFFFFFFFFFFFFFFF1\r\n\r\n",
    "8000000000000000\r\n\r\n",
    "2\r\n{}0\r\n\r\n",
    "2\r\n{}\n0\r\n\r\n",
    "2\r\n{}\r0\r\n\r\n",
    "2\n{}\r\n0\r\n\r\n",
    "2\r\n{}xx0\r\n\r\n",
    "2;a\n{}\r\n0\r\n\r\n",
    "2;a=\"\n\"\r\n{}\r\n0\r\n\r\n",
    "0;\n\r\n\r\n",
    "0\r\nX: x\n\n",
    "0\r\nX: x\r\n ",
    "0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
];

/// Requests that are answered without reading their body.
const EARLY: &[&str] = &[
    "GET /livez HTTP/1.1\r\nHost: x\r\n",
    "HEAD /livez HTTP/1.1\r\nHost: x\r\n",
    "GET /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n",
    "GET /billables?accountId=a0&customerId=c1&callSid=hidden-by-method HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nX-HTTP-Method-Override: POST\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n",
    "DELETE /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n",
    "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n",
    "POST /nowhere HTTP/1.1\r\nHost: x\r\n",
    "POST /billables HTTP/1.1\r\nHost: x\r\n",
    "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bil_x\r\nExpect: 100-continue\r\n",
    "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Encoding: br\r\n",
    "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: \r\n",
    "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nSec-Fetch-Site: cross-site\r\n",
    "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: image/png\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
    "POST /livez HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
    "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n",
    "GET /livez HTTP/2.0\r\nHost: x\r\n",
    "GET /livez HTTP/1.1 HTTP/1.1\r\nHost: x\r\n",
    "GET /livez\r\n",
];
