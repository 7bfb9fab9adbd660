//! Parses flags and environment variables into checked settings. Secrets are never flags.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::calendar::Zone;
use crate::telemetry::LogFormat;
use crate::token::Secret;

/// Minimum length of the admin token, in characters.
const MIN_ADMIN_TOKEN: usize = 32;

/// The database setting, which every command takes.
#[derive(Clone, Args)]
pub struct DatabaseArgs {
    /// URL of the database: sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME.
    ///
    /// Set a URL with a password in the environment, because other users can see arguments.
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite://billables.db",
        hide_env_values = true,
        global = true
    )]
    pub database_url: String,
}

/// Redacts the URL, which may hold a password.
impl fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseArgs(redacted)")
    }
}

/// Returns whether a command-line argument is a URL with a password, which other users of the
/// machine could see.
pub fn has_password(argument: &str) -> bool {
    let Some((_, rest)) = argument.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let mut parameters = query.split(['&', '#']);
    user.contains(':') || parameters.any(|parameter| parameter.starts_with("password="))
}

/// The addresses and the certificate of the server, for `serve` and `healthcheck`.
#[derive(Clone, Debug, Args)]
pub struct ListenArgs {
    /// Address and port that the server listens on.
    #[arg(long, env = "BILLABLES_LISTEN", default_value = "127.0.0.1:8080", value_parser = address)]
    pub listen: String,
    /// Separate private address for /livez, /readyz and /metrics: plain HTTP, no tokens, at most
    /// 64 connections.
    #[arg(long, env = "BILLABLES_ADMIN_LISTEN", value_name = "ADDRESS", value_parser = address_or_none)]
    admin_listen: Option<String>,
    /// PEM file with the certificate chain, the server's certificate first; SIGHUP reloads it.
    #[arg(long, env = "BILLABLES_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<OsString>,
}

impl ListenArgs {
    /// Returns the separate address for probes, if set. Empty counts as unset.
    pub fn admin_listen(&self) -> Option<&str> {
        self.admin_listen
            .as_deref()
            .filter(|address| !address.is_empty())
    }

    /// Returns the certificate's file, if set. Empty counts as unset.
    pub fn tls_cert(&self) -> Option<&Path> {
        file(self.tls_cert.as_deref())
    }
}

/// Checks that a text is a host and a port. The host's address is looked up when it is needed.
fn address(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once(':');
    let is_address =
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if is_address {
        return Ok(text.to_owned());
    }
    let port = text.trim_start_matches(':');
    let port = if port.parse::<u16>().is_ok() {
        port
    } else {
        "8080"
    };
    Err(format!(
        "must be an address and a port, such as 127.0.0.1:{port}, or 0.0.0.0:{port} for all IPv4 addresses"
    ))
}

/// Works like [`address`]. Empty counts as unset.
fn address_or_none(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    address(text)
}

/// Finds a time zone by its IANA name. Empty counts as UTC.
///
/// # Errors
/// There is no such zone.
pub fn zone(name: &str) -> Result<Zone, String> {
    if name.is_empty() {
        return Ok(Zone::utc());
    }
    Zone::find(name)
        .ok_or_else(|| "must be the name of an IANA time zone such as Europe/Rome".to_owned())
}

fn file(name: Option<&OsStr>) -> Option<&Path> {
    name.filter(|name| !name.is_empty()).map(Path::new)
}

/// The settings of `billables serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The addresses and the certificate.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// PEM file with the certificate's private key, without a passphrase; SIGHUP reloads it.
    #[arg(long, env = "BILLABLES_TLS_KEY", value_name = "FILE")]
    tls_key: Option<OsString>,
    /// Assume that a proxy terminates TLS: do not warn about plain HTTP on a non-loopback address,
    /// and show https URLs on pages.
    #[arg(long, env = "BILLABLES_BEHIND_PROXY", default_value = "false", value_parser = BoolishValueParser::new())]
    pub behind_proxy: bool,
    /// Start on an SQLite database in memory (tmpfs), for tests: a restart of the machine loses
    /// everything.
    #[arg(long, env = "BILLABLES_ALLOW_VOLATILE", default_value = "false", value_parser = BoolishValueParser::new())]
    pub allow_volatile: bool,
    /// Time zone of the days of a request that names none, such as Europe/Rome.
    #[arg(long, env = "BILLABLES_TIME_ZONE", value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    pub time_zone: Zone,
    /// Maximum number of concurrent connections; further connections wait to be accepted.
    #[arg(long, env = "BILLABLES_MAX_CONNECTIONS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Maximum number of concurrent requests, once for reports and once for all other requests;
    /// further requests get 503.
    #[arg(long, env = "BILLABLES_MAX_REQUESTS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_requests: u32,
    /// Maximum number of reports and batches per partition that wait for a commit; further ones get
    /// 503.
    #[arg(long, env = "BILLABLES_MAX_QUEUE", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_queue: u32,
    /// Number of database connections for reading.
    #[arg(long, env = "BILLABLES_READ_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub read_connections: u32,
    /// Maximum time from a request's first byte to the end of its headers; for a connection's
    /// first request, from the start of the connection, including the TLS handshake.
    #[arg(long, env = "BILLABLES_HEADER_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub header_timeout: Duration,
    /// Maximum time from a request's first byte to the first byte of the response; half of it is
    /// for receiving the body.
    #[arg(long, env = "BILLABLES_REQUEST_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,
    /// Maximum time that a connection may be idle between two requests.
    #[arg(long, env = "BILLABLES_IDLE_TIMEOUT", default_value = "75s", value_parser = duration)]
    pub idle_timeout: Duration,
    /// Maximum time, after SIGTERM or SIGINT, for requests to finish, then for commits, and then for
    /// closing the database: up to three times this in total.
    #[arg(long, env = "BILLABLES_SHUTDOWN_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub shutdown_timeout: Duration,
}

impl ServeArgs {
    /// Returns the files of the certificate and its key; `None` if neither is set.
    ///
    /// # Errors
    /// Only one of them is set.
    pub fn tls(&self) -> Result<Option<(&Path, &Path)>, String> {
        match (self.listen.tls_cert(), file(self.tls_key.as_deref())) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            _ => Err("set both BILLABLES_TLS_CERT and BILLABLES_TLS_KEY, or neither".to_owned()),
        }
    }
}

/// The log setting, which every command takes.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// Format of log lines.
    #[arg(
        long,
        env = "BILLABLES_LOG_FORMAT",
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,
}

/// Parses a time span such as `30s`, `5m` or `90d`, from 1 millisecond to 100 years.
///
/// # Errors
/// The text is not a duration, or the duration is out of range.
pub fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_millis(1) || duration > LONGEST {
        return Err("must be between 1ms and 100 years".to_owned());
    }
    Ok(duration)
}

/// Returns the admin token from `BILLABLES_ADMIN_TOKEN`, or from the file that
/// `BILLABLES_ADMIN_TOKEN_FILE` names; `None` if neither is set. Empty counts as unset.
///
/// # Errors
/// Both variables are set, one is not UTF-8, the file cannot be read, or the token is too short or
/// not visible ASCII; the message never contains the secret.
pub fn admin_token() -> Result<Option<Secret>, String> {
    let variable = |name: &str| match std::env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8")),
    };
    let token = match (
        variable("BILLABLES_ADMIN_TOKEN")?,
        variable("BILLABLES_ADMIN_TOKEN_FILE")?,
    ) {
        (Some(_), Some(_)) => {
            return Err(
                "set BILLABLES_ADMIN_TOKEN or BILLABLES_ADMIN_TOKEN_FILE, not both".to_owned(),
            );
        }
        (Some(token), None) => token,
        (None, Some(file)) => {
            let file = PathBuf::from(file);
            let content = std::fs::read_to_string(&file).map_err(|error| {
                format!(
                    "cannot read BILLABLES_ADMIN_TOKEN_FILE {}: {error}",
                    file.display()
                )
            })?;
            content.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) => return Ok(None),
    };
    if token.chars().count() < MIN_ADMIN_TOKEN {
        return Err(format!(
            "the admin token must have at least {MIN_ADMIN_TOKEN} characters; generate one with `openssl rand -hex 32`"
        ));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "the admin token must consist of visible ASCII characters, because it is sent in a header"
                .to_owned(),
        );
    }
    Ok(Some(Secret::new(token)))
}

/// Returns the log filter from `RUST_LOG` or, if that is unset or empty, `info,sqlx=warn`, which
/// hides PostgreSQL's notices about existing tables.
pub fn log_filter() -> String {
    let set = std::env::var("RUST_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let filter = set.unwrap_or_else(|| "info,sqlx=warn".to_owned());
    // It traces paths, in which a client may have put a secret.
    filter + ",tower_http=warn"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_37_an_address_to_listen_on_has_a_host_and_a_port() {
        for good in ["127.0.0.1:0", "localhost:8080", "[::]:80", "0.0.0.0:65535"] {
            assert_eq!(address(good), Ok(good.to_owned()));
        }
        for (bad, shown) in [
            ("8080", "127.0.0.1:8080"),
            (":9000", "127.0.0.1:9000"),
            ("localhost", "127.0.0.1:8080"),
            ("localhost:65536", "127.0.0.1:8080"),
            ("localhost:", "127.0.0.1:8080"),
            ("", "127.0.0.1:8080"),
        ] {
            let said = address(bad).expect_err("no address");
            assert!(said.contains(shown), "{said}");
        }
        assert_eq!(address_or_none(""), Ok(String::new()));
    }

    #[test]
    fn a_password_in_an_argument_is_detected() {
        for bad in [
            "postgres://user:secret@host/db",
            "--database-url=postgresql://user:secret@host:5432/db?sslmode=require",
            "postgres://host/db?user=u&password=secret",
            "postgres://user:s@crét@host",
        ] {
            assert!(has_password(bad), "{bad}");
        }
        for good in [
            "postgres://user@host:5432/db",
            "postgres://host:5432/a:b@c",
            "sqlite://billables.db",
            "token",
            "callSid=a:b@c",
        ] {
            assert!(!has_password(good), "{good}");
        }
    }
}
