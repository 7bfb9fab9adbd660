//! Settings: flags and environment variables into checked values. Secrets are never flags.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::telemetry::LogFormat;
use crate::token::Secret;

/// The shortest admin token.
const MIN_ADMIN_TOKEN: usize = 32;

/// Which database, for every command.
#[derive(Clone, Args)]
pub struct DatabaseArgs {
    /// The database: sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME.
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite://billables.db",
        hide_env_values = true,
        global = true
    )]
    pub database_url: String,
}

/// The URL may hold a password.
impl fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseArgs(redacted)")
    }
}

/// Whether an argument of the command line is a URL with a password, which everybody on the machine
/// could see.
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

/// Where the server is to be found: for serving, and for asking whether it is ready.
#[derive(Clone, Debug, Args)]
pub struct ListenArgs {
    /// The address to listen on.
    #[arg(long, env = "BILLABLES_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Another address for /livez and /readyz, with a small limit of connections of its own:
    /// plain HTTP, and not to be reached by everybody.
    #[arg(long, env = "BILLABLES_ADMIN_LISTEN", value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// The certificate, and those that lead to its root: PEM. SIGHUP reads it and the key again.
    #[arg(long, env = "BILLABLES_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<OsString>,
}

impl ListenArgs {
    /// The address for probes, where it is another one. Empty counts as unset.
    pub fn admin_listen(&self) -> Option<&str> {
        self.admin_listen
            .as_deref()
            .filter(|address| !address.is_empty())
    }

    /// The certificate's file. Empty counts as unset.
    pub fn tls_cert(&self) -> Option<&Path> {
        file(self.tls_cert.as_deref())
    }
}

fn file(name: Option<&OsStr>) -> Option<&Path> {
    name.filter(|name| !name.is_empty()).map(Path::new)
}

/// The settings of `billables serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Where to listen, and with which certificate.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// The certificate's private key: PEM, without a passphrase.
    #[arg(long, env = "BILLABLES_TLS_KEY", value_name = "FILE")]
    tls_key: Option<OsString>,
    /// A proxy in front speaks TLS with the clients, so that plain HTTP on an address that is not
    /// this machine's own is no reason for a warning.
    #[arg(long, env = "BILLABLES_BEHIND_PROXY", default_value = "false", value_parser = BoolishValueParser::new())]
    pub behind_proxy: bool,
    /// Connections that are served at once; more wait to be accepted.
    #[arg(long, env = "BILLABLES_MAX_CONNECTIONS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Requests that are under way at once: so many reports, and as many others; more get 503.
    #[arg(long, env = "BILLABLES_MAX_REQUESTS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_requests: u32,
    /// Reports and batches that wait for a commit, in each partition; more get 503.
    #[arg(long, env = "BILLABLES_MAX_QUEUE", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_queue: u32,
    /// Database connections for reading.
    #[arg(long, env = "BILLABLES_READ_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub read_connections: u32,
    /// How long a request's head may take, from its first byte; the first one with the TLS
    /// handshake, from when the connection was made.
    #[arg(long, env = "BILLABLES_HEADER_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub header_timeout: Duration,
    /// How long a request may take, from its first byte to the first byte of the answer.
    #[arg(long, env = "BILLABLES_REQUEST_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,
    /// How long a connection may stay open between two requests.
    #[arg(long, env = "BILLABLES_IDLE_TIMEOUT", default_value = "75s", value_parser = duration)]
    pub idle_timeout: Duration,
    /// How long accepted work may take after SIGTERM or SIGINT.
    #[arg(long, env = "BILLABLES_SHUTDOWN_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub shutdown_timeout: Duration,
}

impl ServeArgs {
    /// The files of the certificate and of its key; `None` when neither is set.
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

/// How to log, for every command.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// How log lines are written.
    #[arg(
        long,
        env = "BILLABLES_LOG_FORMAT",
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,
}

/// A time span such as `30s`, `5m` or `90d`; at least a millisecond, at most 100 years.
///
/// # Errors
/// A sentence for the command line.
pub fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_millis(1) || duration > LONGEST {
        return Err("must be between 1ms and 100 years".to_owned());
    }
    Ok(duration)
}

/// The admin token of `BILLABLES_ADMIN_TOKEN` or of the file that `BILLABLES_ADMIN_TOKEN_FILE`
/// names; `None` when neither is set. Empty counts as unset.
///
/// # Errors
/// A sentence that does not contain the secret.
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
            "the admin token must have at least {MIN_ADMIN_TOKEN} characters; `openssl rand -hex 32` makes one"
        ));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "the admin token must be visible ASCII characters, because it travels in a header"
                .to_owned(),
        );
    }
    Ok(Some(Secret::new(token)))
}

/// The log filter of `RUST_LOG`. When it is unset or empty: `info`, without the notices that
/// PostgreSQL sends about tables that exist.
pub fn log_filter() -> String {
    let set = std::env::var("RUST_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    set.unwrap_or_else(|| "info,sqlx=warn".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_argument_is_seen() {
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
