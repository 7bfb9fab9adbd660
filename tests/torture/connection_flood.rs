//! Opens more connections than the server's limit. Silent ones are closed, and every honest client
//! is served.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::Torture;
use crate::load::report;
use crate::support::{Database, client, start_with};

/// The number of silent clients. With the honest ones, they fit into the listen backlog, so that no
/// client has to repeat its SYN.
const SILENT: usize = 1_000;

const HONEST: usize = 16;

/// The server's connection limit. A silent client holds a connection for a second, so all of them
/// are closed within three seconds.
const MAX_CONNECTIONS: &str = "400";

/// The longest that an honest client may wait, on a machine that is also busy with other work.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// The number of the first report here; other parts of the case use smaller numbers.
const FIRST: usize = 1_000_000_000;

/// Sends honest reports, each over a separate connection. Returns those that were acknowledged.
pub(crate) async fn run(
    torture: &Torture,
    name: &str,
    database: &Database,
) -> HashMap<usize, Uuid> {
    let settings = [
        ("BILLABLES_MAX_CONNECTIONS", MAX_CONNECTIONS),
        ("BILLABLES_HEADER_TIMEOUT", "1s"),
    ];
    let server = start_with(database, &settings);
    let address = server.address();
    let mut crowd = JoinSet::new();
    for _ in 0..SILENT {
        // All connect before the first honest client, and reconnect when they are closed.
        let mut stream = TcpStream::connect(address).await.unwrap();
        crowd.spawn(async move {
            let mut said = [0];
            loop {
                assert!(
                    !matches!(stream.read(&mut said).await, Ok(1)),
                    "a silent client got a response"
                );
                stream = TcpStream::connect(address).await.unwrap();
            }
        });
    }
    let mut honest = JoinSet::new();
    for number in FIRST..FIRST + HONEST * torture.rounds(1, 20) {
        // A separate client has a separate connection.
        let client = client(&server);
        honest.spawn(async move {
            let begun = Instant::now();
            let (key, body) = report(number);
            let reply = match key {
                Some(key) => timeout(MAX_WAIT, client.report_keyed(&key, &body)).await,
                None => timeout(MAX_WAIT, client.report(&body)).await,
            };
            let reply = reply.expect("an honest client gets its turn");
            assert_eq!(reply.status, 201, "{reply:?}");
            (number, reply.id(), begun.elapsed())
        });
    }
    let served = honest.join_all().await;
    assert!(
        crowd.try_join_next().is_none(),
        "every silent client keeps reconnecting"
    );
    let slowest = served.iter().map(|(_, _, took)| *took).max().unwrap();
    torture.say(&format!(
        "{name}: {SILENT} silent clients, a limit of {MAX_CONNECTIONS} connections, {} honest ones served meanwhile, the slowest in {} ms",
        served.len(),
        slowest.as_millis()
    ));
    served
        .into_iter()
        .map(|(number, id, _)| (number, id))
        .collect()
}
