//! Case 7: the order of system calls. After a report is read from a socket and before the first
//! byte of its `201` is sent, the write-ahead log is written and then flushed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tokio::task::JoinSet;

use crate::Torture;
use crate::cluster::{Cluster, directory};
use crate::load::report;
use crate::support::client::try_send;
use crate::support::{Client, Database, client, start};

const CALLS: &str =
    "trace=read,recvfrom,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fsync,fdatasync";

pub(crate) async fn run(torture: &Torture) {
    if Command::new("strace").arg("-V").output().is_err() {
        return torture.lack("strace");
    }
    let reports = torture.rounds(20, 500);

    let database = Database::sqlite();
    let server = start(&database);
    let pids = [server.id()];
    trace(
        torture,
        "sqlite",
        &pids,
        "/billables.db-wal>",
        client(&server),
        reports,
    )
    .await;

    let dir = directory();
    let cluster = Cluster::start(&dir.path().join("pg"), &[], &[]);
    let postmaster = cluster.postmaster();
    let database = Database::created_on(&cluster.url(), "").await;
    let server = start(&database);
    // By now, the processes of the server's connections exist.
    let mut pids = vec![server.id(), postmaster];
    pids.extend(children_of(postmaster));
    trace(
        torture,
        "postgres",
        &pids,
        "/pg_wal/",
        client(&server),
        reports,
    )
    .await;
}

fn children_of(pid: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    listed
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Sends reports over several concurrent connections under strace, and checks the trace.
async fn trace(
    torture: &Torture,
    name: &str,
    pids: &[u32],
    log: &str,
    client: Client,
    reports: usize,
) {
    let Some(strace) = tokio::task::block_in_place(|| Strace::attach(pids)) else {
        return torture.lack("the right to trace processes (ptrace)");
    };
    let mut senders = JoinSet::new();
    for sender in 0..6 {
        let client = client.clone();
        senders.spawn(async move {
            for number in sender * 100_000..sender * 100_000 + reports {
                let (key, body) = report(number);
                let mut request = client.post("/billables").json(&body);
                if let Some(key) = key {
                    request = request.header("Idempotency-Key", key);
                }
                assert_eq!(try_send(request).await.unwrap().status, 201);
            }
        });
    }
    senders.join_all().await;
    let calls = strace.finish();
    let seen = check(&calls, log);
    torture.say(&format!(
        "{name}: {} system calls, {seen} 201 replies; the write-ahead log was written and flushed before each",
        calls.len()
    ));
    assert_eq!(seen, 6 * reports, "replies of 201 in the trace");
}

/// A system call: the lines in which it began and ended, and the text that strace wrote.
#[derive(Debug)]
struct Call {
    began: usize,
    ended: usize,
    text: String,
}

impl Call {
    fn is(&self, names: &[&str]) -> bool {
        names
            .iter()
            .any(|name| self.text.starts_with(name) && self.text[name.len()..].starts_with('('))
    }

    /// Returns the call's file, with the number of its descriptor.
    fn file(&self) -> &str {
        let (_, rest) = self.text.split_once('(').unwrap();
        rest.split_once('>').map_or(rest, |(file, _)| file)
    }
}

/// Counts the replies of 201. Checks that before each one, its report was read, then the
/// write-ahead log was written and then flushed.
fn check(calls: &[Call], log: &str) -> usize {
    let of_log = |call: &&Call| call.file().len() < call.text.len() && call.text.contains(log);
    let writes: Vec<_> = calls
        .iter()
        .filter(|call| call.is(&["write", "writev", "pwrite64", "pwritev", "pwritev2"]))
        .filter(of_log)
        .collect();
    let flushes: Vec<_> = calls
        .iter()
        .filter(|call| call.is(&["fsync", "fdatasync"]) && call.text.trim_end().ends_with("= 0"))
        .filter(of_log)
        .collect();
    let mut read: HashMap<&str, usize> = HashMap::new();
    let mut replies = 0;
    for call in calls {
        if call.is(&["read", "recvfrom"]) && call.text.contains("\"POST /billables ") {
            read.insert(call.file(), call.ended);
        }
        if call.is(&["write", "writev", "sendto", "sendmsg"])
            && call.text.contains("\"HTTP/1.1 201 ")
        {
            let read = read[call.file()];
            let is_flushed = flushes.iter().any(|flush| {
                let within = flush.began > read && flush.ended < call.began;
                let written = |write: &&Call| write.began > read && write.ended < flush.began;
                within && writes.iter().any(written)
            });
            assert!(
                is_flushed,
                "no flush before the reply in line {}: {}",
                call.began, call.text
            );
            replies += 1;
        }
    }
    replies
}

/// A running strace.
struct Strace {
    child: Child,
    output: tempfile::NamedTempFile,
}

impl Strace {
    /// Attaches to processes. Returns `None` if that is not allowed.
    fn attach(pids: &[u32]) -> Option<Self> {
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("strace");
        command
            .args(["-f", "-y", "-s", "64", "-e", CALLS, "-o"])
            .arg(output.path());
        for pid in pids {
            command.args(["-p", &pid.to_string()]);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for _ in pids {
            let is_attached = lines
                .next()
                .is_some_and(|line| line.unwrap().contains("attached"));
            if !is_attached {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
        // strace also reports new threads and processes; without a reader, it would block.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, output })
    }

    /// Stops strace, and returns the calls in the order in which they ended.
    fn finish(mut self) -> Vec<Call> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        self.child.wait().unwrap();
        let bytes = std::fs::read(self.output.path()).unwrap();
        calls_of(&String::from_utf8_lossy(&bytes))
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        if self.child.try_wait().unwrap().is_none() {
            // SIGTERM is sent instead of SIGKILL, so that strace detaches from the processes first.
            let _ = Command::new("kill").arg(&id).status();
            let _ = self.child.wait();
        }
    }
}

fn calls_of(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(beginning) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(pid, (number, beginning));
        } else if let Some((_, end)) = rest
            .strip_prefix("<... ")
            .and_then(|rest| rest.split_once(" resumed>"))
        {
            if let Some((began, beginning)) = begun.remove(pid) {
                calls.push(Call {
                    began,
                    ended: number,
                    text: format!("{beginning}{end}"),
                });
            }
        } else if rest.contains('(') {
            calls.push(Call {
                began: number,
                ended: number,
                text: rest.to_owned(),
            });
        }
    }
    calls
}
