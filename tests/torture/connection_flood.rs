//! More connections than a server has places for. Those that say nothing lose theirs, and everybody
//! gets his turn.

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

/// Silent clients; with the honest ones they fit into the queue of connections to be accepted, so
/// that nobody has to ask for one again.
const SILENT: usize = 1_000;

const HONEST: usize = 16;

/// Places, each of which a silent client holds for a second: all are through in three.
const PLACES: &str = "400";

/// Until an honest client has his turn, on a machine that has other things to do.
const TURN: Duration = Duration::from_secs(20);

/// Reports that are numbered from here on are nobody else's.
const FIRST: usize = 1_000_000_000;

/// What is acknowledged, each over a connection of its own.
pub(crate) async fn run(
    torture: &Torture,
    name: &str,
    database: &Database,
) -> HashMap<usize, Uuid> {
    let settings = [
        ("BILLABLES_MAX_CONNECTIONS", PLACES),
        ("BILLABLES_HEADER_TIMEOUT", "1s"),
    ];
    let server = start_with(database, &settings);
    let address = server.address();
    let mut crowd = JoinSet::new();
    for _ in 0..SILENT {
        // All are there before the first honest one comes, and come again when they are sent away.
        let mut stream = TcpStream::connect(address).await.unwrap();
        crowd.spawn(async move {
            let mut said = [0];
            loop {
                assert!(
                    !matches!(stream.read(&mut said).await, Ok(1)),
                    "a silent client is told something"
                );
                stream = TcpStream::connect(address).await.unwrap();
            }
        });
    }
    let mut honest = JoinSet::new();
    for number in FIRST..FIRST + HONEST * torture.rounds(1, 20) {
        // A client of its own has a connection of its own.
        let client = client(&server);
        honest.spawn(async move {
            let begun = Instant::now();
            let (key, body) = report(number);
            let reply = match key {
                Some(key) => timeout(TURN, client.report_keyed(&key, &body)).await,
                None => timeout(TURN, client.report(&body)).await,
            };
            let reply = reply.expect("an honest client has his turn");
            assert_eq!(reply.status, 201, "{reply:?}");
            (number, reply.id(), begun.elapsed())
        });
    }
    let served = honest.join_all().await;
    assert!(
        crowd.try_join_next().is_none(),
        "the crowd is there all the time"
    );
    let slowest = served.iter().map(|(_, _, took)| *took).max().unwrap();
    torture.say(&format!(
        "{name}: {SILENT} silent connections for {PLACES} places, {} honest ones served meanwhile, the slowest in {} ms",
        served.len(),
        slowest.as_millis()
    ));
    served
        .into_iter()
        .map(|(number, id, _)| (number, id))
        .collect()
}
