//! Limits concurrent streams. A stream whose client reads slowly keeps its place only until another
//! client needs it.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, interval};

use super::Overloaded;
use super::concurrency::{ConcurrencyLimit, Permit};
use crate::billable::ClientName;
use crate::metrics::Limit;

/// How long a stream may have waited for its client in total before it may lose its place.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a waiting client looks for a slow stream.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The places of streams. A clone is a handle to the same ones.
#[derive(Clone, Debug)]
pub struct StreamLimit {
    places: ConcurrencyLimit,
    streams: Arc<Mutex<Vec<Weak<Stream>>>>,
}

/// A place, released when dropped.
#[derive(Debug)]
pub struct Place {
    _permit: Permit,
    stream: Arc<Stream>,
}

#[derive(Debug)]
struct Stream {
    client: ClientName,
    waited: Mutex<Waited>,
    /// Whether another client was given the place, and the notification of that.
    is_taken: AtomicBool,
    taken: Notify,
}

/// How long a stream has waited for its client.
#[derive(Clone, Copy, Debug, Default)]
struct Waited {
    /// Without the current wait.
    before: Duration,
    /// When the current wait began.
    since: Option<Instant>,
}

impl Waited {
    fn total(self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl StreamLimit {
    /// Creates a limit of `count` streams. `limit` identifies it in the metrics.
    pub fn new(count: usize, limit: Limit) -> Self {
        Self {
            places: ConcurrencyLimit::new(count, limit),
            streams: Arc::default(),
        }
    }

    /// The number of places in use.
    pub fn in_use(&self) -> usize {
        self.places.in_use()
    }

    /// Waits for a place. If none is free, the stream that has waited for its client for the longest
    /// time loses its own, unless that time is short.
    ///
    /// # Errors
    /// [`Overloaded`] if no place was released in time.
    pub async fn acquire(&self, client: &ClientName) -> Result<Place, Overloaded> {
        let mut permit = pin!(self.places.acquire(client));
        let mut looks = interval(LOOK_EVERY);
        let mut has_taken = false;
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut permit => break permit?,
                _ = looks.tick(), if !has_taken => has_taken = self.take_slowest(client),
            }
        };
        let stream = Arc::new(Stream {
            client: client.clone(),
            waited: Mutex::default(),
            is_taken: AtomicBool::new(false),
            taken: Notify::new(),
        });
        let mut streams = self.streams.lock().expect("nothing panics under this lock");
        streams.retain(|stream| stream.strong_count() > 0);
        streams.push(Arc::downgrade(&stream));
        Ok(Place {
            _permit: permit,
            stream,
        })
    }

    /// Takes the place of the slowest stream. If the client has all the places that it may have,
    /// only one of its own helps. Returns whether there was one to take.
    fn take_slowest(&self, client: &ClientName) -> bool {
        let streams = self.streams.lock().expect("nothing panics under this lock");
        let streams: Vec<_> = streams.iter().filter_map(Weak::upgrade).collect();
        let own = streams.iter().filter(|stream| stream.client == *client);
        let is_full = own.count() >= self.places.per_client();
        let slowest = streams
            .iter()
            .filter(|stream| !is_full || stream.client == *client)
            .filter(|stream| !stream.is_taken.load(Ordering::Relaxed))
            .map(|stream| (stream.waited().total(), stream))
            .filter(|(waited, _)| *waited >= PATIENCE)
            .max_by_key(|(waited, _)| *waited);
        let Some((_, stream)) = slowest else {
            return false;
        };
        stream.is_taken.store(true, Ordering::Relaxed);
        stream.taken.notify_one();
        true
    }
}

impl Stream {
    fn waited(&self) -> std::sync::MutexGuard<'_, Waited> {
        self.waited.lock().expect("nothing panics under this lock")
    }
}

impl Place {
    /// Waits for the client, and counts the time.
    pub async fn wait<T>(&self, client: impl Future<Output = T>) -> T {
        self.stream.waited().since = Some(Instant::now());
        let done = client.await;
        let mut waited = self.stream.waited();
        *waited = Waited {
            before: waited.total(),
            since: None,
        };
        done
    }

    /// Returns when the place was given to another client.
    pub async fn taken(&self) {
        self.stream.taken.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn client(name: &str) -> ClientName {
        ClientName::parse(name).expect("a name")
    }

    #[tokio::test(start_paused = true)]
    async fn case_12_slow_readers_lose_their_places_when_others_need_them() {
        let limit = StreamLimit::new(4, Limit::Exports);
        let mut slow = Vec::new();
        for name in ["one", "one", "two", "two"] {
            let place = limit.acquire(&client(name)).await.expect("a place");
            slow.push(tokio::spawn(async move {
                tokio::select! {
                    () = place.wait(pending()) => {}
                    () = place.taken() => {}
                }
            }));
        }
        // They have not waited for long yet.
        assert!(limit.acquire(&client("three")).await.is_err());
        tokio::time::sleep(PATIENCE).await;
        // Each of them takes another's place.
        let (three, four) = (client("three"), client("four"));
        let (third, fourth) = tokio::join!(limit.acquire(&three), limit.acquire(&four));
        assert!(third.is_ok() && fourth.is_ok());
        tokio::task::yield_now().await;
        let ended = slow.iter().filter(|slow| slow.is_finished()).count();
        assert_eq!(ended, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_what_it_gets_keeps_its_place() {
        let limit = StreamLimit::new(2, Limit::Exports);
        let fast = limit.acquire(&client("fast")).await.expect("a place");
        let _other = limit.acquire(&client("other")).await.expect("a place");
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            fast.wait(tokio::time::sleep(Duration::from_millis(50)))
                .await;
        }
        assert!(limit.acquire(&client("third")).await.is_err());
    }
}
