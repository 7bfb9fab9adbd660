//! Starts servers for benchmarks, and measures the resources that processes use.

use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use procfs::process::{Process, all_processes};

/// A program that serves an address. It is terminated when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts the program, and returns when it accepts connections. Its stderr goes to a file.
    pub(crate) fn start(command: &mut Command, address: &str, log: &Path) -> Self {
        let log = File::create(log).expect("the log file can be created");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let server = Self { child };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{command:?} does not start"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        server
    }

    pub(crate) fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that a main process with several workers stops them, too.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.child.wait();
    }
}

/// Returns the processor time of a process and all its descendants.
pub(crate) fn processor_time(root: i32) -> Duration {
    let stats: Vec<_> = all_processes()
        .expect("/proc is readable")
        .filter_map(|process| process.ok()?.stat().ok())
        .collect();
    let mut family = vec![root];
    let mut ticks = 0;
    while let Some(id) = family.pop() {
        family.extend(
            stats
                .iter()
                .filter(|stat| stat.ppid == id)
                .map(|stat| stat.pid),
        );
        let of = stats.iter().find(|stat| stat.pid == id);
        ticks += of.map_or(0, |stat| {
            let of_ended = stat.cutime + stat.cstime;
            stat.utime + stat.stime + u64::try_from(of_ended).unwrap_or_default()
        });
    }
    Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64)
}

/// Returns the resident memory of a process, and its peak, in MiB.
pub(crate) fn resident(id: i32) -> (f64, f64) {
    let status = Process::new(id)
        .and_then(|process| process.status())
        .expect("the process runs");
    let mib = |kib: Option<u64>| kib.expect("the status has memory sizes") as f64 / 1024.0;
    (mib(status.vmrss), mib(status.vmhwm))
}

/// Returns a variable that the benchmark's script has set.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("the script sets {name}"))
}

/// Starts the service on a database. Returns its address, a token for it, and its process.
pub(crate) fn billables(
    program: &str,
    directory: &Path,
    url: &str,
    port: u16,
) -> (String, String, Server) {
    let create = [
        "token", "create", "--client", "bench", "--scope", "report", "read",
    ];
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("DATABASE_URL", url)
            .output()
            .unwrap()
    };
    run(&["migrate"]);
    let token = run(&create);
    assert!(
        token.status.success(),
        "{}",
        String::from_utf8_lossy(&token.stderr)
    );
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(program);
    command
        .args(["serve", "--listen", &address])
        .env("DATABASE_URL", url);
    let server = Server::start(
        &mut command,
        &address,
        &directory.join(format!("{port}.log")),
    );
    (address, token, server)
}

pub(crate) fn median(all: &[f64]) -> f64 {
    let mut all = all.to_vec();
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}
