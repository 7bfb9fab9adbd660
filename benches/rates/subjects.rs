//! The subjects of the measurements: the service on both databases, the baselines, pgbench and
//! psql.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection, Executor, PgConnection};

use super::load::{Latencies, Target, percentile};
use super::process::{Server, billables, processor_time, resident, variable};
use super::reports::{BATCH, batch, report};
use super::{LASTS, sql};

/// How long each subject is under load before it is measured.
const WARM: Duration = Duration::from_secs(1);

/// The number of different reports that are sent repeatedly.
const KNOWN: usize = 5_000;

/// The number of batches that psql stores in a round.
const PSQL_BATCHES: usize = 60;

/// The figures of a subject in a round: rates per second, times in seconds.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Processor time per report, in seconds.
    pub(crate) server_cpu: Option<f64>,
    /// Processor time per report, in seconds.
    pub(crate) database_cpu: Option<f64>,
}

/// A server, the requests for it, and the number of reports in a request.
#[derive(Debug)]
struct Subject {
    server: i32,
    target: Target,
    is_on_postgres: bool,
    reports: usize,
}

/// All subjects, running.
#[derive(Debug)]
pub(crate) struct Bench {
    directory: PathBuf,
    postmaster: i32,
    subjects: HashMap<&'static str, Subject>,
    servers: Vec<Server>,
}

fn program() -> String {
    variable("BENCH_PROGRAM")
}

fn known(number: usize) -> String {
    report(number % KNOWN)
}

/// Returns the URL of a database in the cluster.
pub(crate) fn database(name: &str) -> String {
    variable("BENCH_POSTGRES").replace("/postgres?", &format!("/{name}?"))
}

/// Creates the databases of the service and the baselines. Returns the URLs of the SQLite ones.
async fn make_databases(directory: &Path) -> (String, String) {
    let mut cluster = PgConnection::connect(&variable("BENCH_POSTGRES"))
        .await
        .unwrap();
    for create in [
        "create database bench template template0 encoding 'UTF8'",
        "create database rivals template template0 encoding 'UTF8'",
    ] {
        cluster.execute(create).await.unwrap();
    }
    let file = |name: &str| format!("sqlite://{}", directory.join(name).display());
    let (sqlite, rival_sqlite) = (file("bench.db"), file("rivals.db"));
    for url in [&database("rivals"), &rival_sqlite] {
        let mut migrate = Command::new(program());
        let status = migrate
            .arg("migrate")
            .env("DATABASE_URL", url)
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }
    let mut rivals = PgConnection::connect(&database("rivals")).await.unwrap();
    rivals.execute(sql::POSITIONS).await.unwrap();
    (sqlite, rival_sqlite)
}

/// Starts a baseline on a database.
fn rival(directory: &Path, name: &str, url: &str, port: u16) -> (Server, Target) {
    let address = format!("127.0.0.1:{port}");
    let mut command = match name {
        "fastapi" => {
            let mut command = Command::new(variable("BENCH_PYTHON"));
            let port = port.to_string();
            command
                .args([
                    "-m",
                    "uvicorn",
                    "rival:app",
                    "--workers",
                    "2",
                    "--no-access-log",
                ])
                .args(["--log-level", "warning", "--port", &port])
                .current_dir("benches/rivals");
            command
        }
        "fastify" => {
            let mut command = Command::new("node");
            command
                .arg("benches/rivals/rival.mjs")
                .env("LISTEN", &address);
            command
        }
        _ => {
            let mut command = Command::new(variable("BENCH_RIVALS"));
            command.args([name, &address, url]);
            command
        }
    };
    command
        .env("PGHOST", directory.join("postgres"))
        .env("PGUSER", "postgres")
        .env("PGDATABASE", "rivals");
    let log = directory.join(format!("{port}.log"));
    let server = Server::start(&mut command, &address, &log);
    (server, Target::new(&address, "none", 0, report))
}

impl Bench {
    /// Creates the databases and starts all servers.
    pub(crate) async fn start() -> Self {
        let directory = PathBuf::from(variable("BENCH_DIRECTORY"));
        let mut bench = Self {
            postmaster: variable("BENCH_POSTMASTER").parse().unwrap(),
            subjects: HashMap::new(),
            servers: Vec::new(),
            directory: directory.clone(),
        };
        let (sqlite, rival_sqlite) = make_databases(&directory).await;
        let (address, token, server) = billables(&program(), &directory, &database("bench"), 18480);
        let sent = |first, body| Target::new(&address, &token, first, body);
        for (name, target, reports) in [
            ("postgres", sent(KNOWN, report), 1),
            ("duplicates", sent(0, known), 1),
            ("batch", sent(1_000_000, batch), BATCH),
        ] {
            let (server, is_on_postgres) = (server.id(), true);
            bench.subjects.insert(
                name,
                Subject {
                    server,
                    target,
                    is_on_postgres,
                    reports,
                },
            );
        }
        bench.servers.push(server);
        let (address, token, server) = billables(&program(), &directory, &sqlite, 18481);
        bench.add(
            "sqlite",
            server,
            Target::new(&address, &token, 0, report),
            false,
        );

        for (port, (name, url)) in (18482..).zip([
            ("empty", String::new()),
            ("insert", database("rivals")),
            ("fastapi", database("rivals")),
            ("fastify", database("rivals")),
            ("transaction", rival_sqlite),
        ]) {
            let (server, target) = rival(&directory, name, &url, port);
            bench.add(name, server, target, url.starts_with("postgres"));
        }
        // After this, all workers of the baselines run, and the repeated reports are stored.
        for name in ["fastapi", "fastify", "duplicates"] {
            bench.load(name, 64, None).await;
        }
        bench
    }

    fn add(&mut self, name: &'static str, server: Server, target: Target, is_on_postgres: bool) {
        let subject = Subject {
            server: server.id(),
            target,
            is_on_postgres,
            reports: 1,
        };
        self.subjects.insert(name, subject);
        self.servers.push(server);
    }

    /// Measures a subject over `connections` connections, at `rate` requests per second if it is
    /// given.
    pub(crate) async fn load(
        &self,
        subject: &str,
        connections: usize,
        rate: Option<f64>,
    ) -> Measured {
        let Subject {
            server,
            target,
            is_on_postgres,
            reports,
        } = &self.subjects[subject];
        target.load(connections, rate, WARM).await;
        let cpu = || (processor_time(*server), processor_time(self.postmaster));
        let before = cpu();
        let latencies = target.load(connections, rate, LASTS).await;
        let after = cpu();
        assert_eq!(
            (latencies.refused.len(), latencies.other),
            (0, 0),
            "{subject}: all are accepted"
        );
        let count = (latencies.accepted.len() * reports) as f64;
        Measured {
            rate: latencies.rate() * *reports as f64,
            server_cpu: Some((after.0 - before.0).as_secs_f64() / count),
            database_cpu: is_on_postgres.then(|| (after.1 - before.1).as_secs_f64() / count),
            ..times(&latencies)
        }
    }

    /// Measures a script with pgbench. The latencies are only meaningful with one client.
    pub(crate) async fn pgbench(&self, script: &str, clients: usize) -> Measured {
        let file = self.directory.join("pgbench.sql");
        std::fs::write(&file, script).unwrap();
        let prefix = self.directory.join("pgbench-log");
        let (clients, threads) = (clients.to_string(), clients.min(2).to_string());
        let seconds = LASTS.as_secs().to_string();
        let mut command = Command::new(variable("BENCH_PGBENCH"));
        command
            .args([
                "-n", "-M", "prepared", "-c", &clients, "-j", &threads, "-T", &seconds,
            ])
            .arg("-f")
            .arg(&file)
            .args(["--log", &format!("--log-prefix={}", prefix.display())])
            .arg(database("rivals"));
        let before = processor_time(self.postmaster);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        let cpu = processor_time(self.postmaster) - before;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        let figure = |name: &str| -> f64 {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let mut times = Vec::new();
        for entry in std::fs::read_dir(&self.directory).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("pgbench-log") {
                // client, transaction, time in µs, …
                let log = std::fs::read_to_string(&path).unwrap();
                let micros = log
                    .lines()
                    .map(|line| line.split(' ').nth(2).unwrap().parse().unwrap());
                times.extend(micros.map(Duration::from_micros));
                std::fs::remove_file(path).unwrap();
            }
        }
        times.sort_unstable();
        Measured {
            rate: figure("tps = "),
            p50: seconds_at(&times, 0.5),
            p99: seconds_at(&times, 0.99),
            server_cpu: None,
            database_cpu: Some(cpu.as_secs_f64() / times.len() as f64),
        }
    }

    /// Measures the statements of batches with psql.
    pub(crate) async fn psql(&self) -> Measured {
        let file = self.directory.join("psql.sql");
        std::fs::write(&file, sql::batches(PSQL_BATCHES, BATCH)).unwrap();
        let mut command = Command::new("psql");
        command
            .args(["-qX", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f"])
            .arg(file)
            .arg(database("rivals"));
        let (before, begun) = (processor_time(self.postmaster), Instant::now());
        let status = tokio::task::spawn_blocking(move || command.status())
            .await
            .unwrap();
        let took = begun.elapsed().as_secs_f64();
        assert!(status.unwrap().success());
        let cpu = processor_time(self.postmaster) - before;
        let count = (PSQL_BATCHES * BATCH) as f64;
        Measured {
            rate: count / took,
            database_cpu: Some(cpu.as_secs_f64() / count),
            ..Measured::default()
        }
    }

    /// Measures writing and flushing a page of a file, in the directory of the databases.
    pub(crate) fn fsync(&self) -> Measured {
        let mut file = File::create(self.directory.join("fsync")).unwrap();
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let begun = Instant::now();
                file.write_all(&[0; 8192]).unwrap();
                file.sync_data().unwrap();
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        Measured {
            p50: seconds_at(&times, 0.5),
            p99: seconds_at(&times, 0.99),
            ..Measured::default()
        }
    }

    /// Prints memory, idle and after many reports, and the time to start, for each database.
    pub(crate) async fn memory(self) {
        let Self {
            directory, servers, ..
        } = self;
        drop(servers);
        let count: usize = variable("BENCH_REPORTS").parse().unwrap();
        println!(
            "\n| | start to ready | idle RSS | RSS after {count} reports | peak RSS |\n|---|---|---|---|---|"
        );
        let mut cluster = PgConnection::connect(&variable("BENCH_POSTGRES"))
            .await
            .unwrap();
        cluster
            .execute("create database memory template template0 encoding 'UTF8'")
            .await
            .unwrap();
        let sqlite = format!("sqlite://{}", directory.join("memory.db").display());
        for (name, url) in [("PostgreSQL", database("memory")), ("SQLite", sqlite)] {
            // The first start creates the schema.
            drop(billables(&program(), &directory, &url, 18490));
            let (address, token, server) = billables(&program(), &directory, &url, 18491);
            until_ready(&address);
            tokio::time::sleep(Duration::from_secs(3)).await;
            let (idle, _) = resident(server.id());
            // One report in five is sent by itself, the others in batches.
            let one = Target::new(&address, &token, 0, report);
            let batches = Target::new(&address, &token, 1_000_000, batch);
            let mut sent = 0;
            let slice = Duration::from_secs(2);
            let mut alone = 0;
            while sent < count {
                if alone * 5 < sent {
                    let latencies = one.load(256, None, slice).await;
                    alone += latencies.accepted.len();
                    sent += latencies.accepted.len();
                } else {
                    sent += batches.load(4, None, slice).await.accepted.len() * BATCH;
                }
            }
            let (after, most) = resident(server.id());
            drop(server);
            let started = start_to_ready(&directory, &url);
            println!(
                "| {name} | {:.0} ms | {idle:.0} MiB | {after:.0} MiB | {most:.0} MiB |",
                started.as_secs_f64() * 1e3
            );
        }
    }
}

/// Returns the time from the start of the process to its first `200` for readiness: the median of
/// five starts.
fn start_to_ready(directory: &Path, url: &str) -> Duration {
    let mut all: Vec<_> = (18493..18498)
        .map(|port: u16| {
            let address = format!("127.0.0.1:{port}");
            let mut command = Command::new(program());
            command
                .args(["serve", "--listen", &address])
                .env("DATABASE_URL", url);
            let begun = Instant::now();
            let server = Server::start(&mut command, &address, &directory.join("start.log"));
            until_ready(&address);
            let took = begun.elapsed();
            drop(server);
            took
        })
        .collect();
    all.sort_unstable();
    all[2]
}

fn until_ready(address: &str) {
    loop {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let mut answer = String::new();
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            .unwrap();
        stream.read_to_string(&mut answer).unwrap();
        if answer.starts_with("HTTP/1.1 200") {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn times(latencies: &Latencies) -> Measured {
    Measured {
        p50: seconds_at(&latencies.accepted, 0.5),
        p99: seconds_at(&latencies.accepted, 0.99),
        ..Measured::default()
    }
}

fn seconds_at(times: &[Duration], part: f64) -> f64 {
    percentile(times, part).map_or(0.0, |time| time.as_secs_f64())
}
