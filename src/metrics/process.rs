//! Process metrics from Linux, under the standard names of Prometheus clients.

use procfs::WithCurrentSystemInfo;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads the process metrics at each scrape.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // Without /proc these metrics are left out.
        let Ok(read) = read() else { return Ok(()) };
        let mut metric = |name, help, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        metric(
            "process_cpu_seconds",
            "Total user and system CPU time",
            &ConstCounter::new(read.cpu_seconds),
        )?;
        metric(
            "process_start_time_seconds",
            "Start time of the process, in seconds since 1970",
            &ConstGauge::new(read.start_time),
        )?;
        metric(
            "process_resident_memory_bytes",
            "Resident memory size",
            &ConstGauge::new(read.resident_bytes),
        )?;
        metric(
            "process_open_fds",
            "Number of open file descriptors",
            &ConstGauge::new(read.open_fds),
        )?;
        metric(
            "process_max_fds",
            "Maximum number of open file descriptors",
            &ConstGauge::new(read.max_fds),
        )
    }
}

struct Read {
    cpu_seconds: f64,
    start_time: f64,
    resident_bytes: u64,
    open_fds: u64,
    max_fds: u64,
}

fn read() -> procfs::ProcResult<Read> {
    let process = procfs::process::Process::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second();
    let boot = procfs::boot_time_secs()?;
    let max_fds = match process.limits()?.max_open_files.soft_limit {
        procfs::process::LimitValue::Value(value) => value,
        procfs::process::LimitValue::Unlimited => u64::MAX,
    };
    Ok(Read {
        cpu_seconds: seconds(stat.utime + stat.stime, ticks),
        start_time: seconds(boot * ticks + stat.starttime, ticks),
        resident_bytes: stat.rss_bytes().get(),
        open_fds: u64::try_from(process.fd_count()?).unwrap_or(u64::MAX),
        max_fds,
    })
}

/// Converts clock ticks to seconds.
fn seconds(ticks: u64, a_second: u64) -> f64 {
    std::time::Duration::from_millis(ticks * 1000 / a_second).as_secs_f64()
}
