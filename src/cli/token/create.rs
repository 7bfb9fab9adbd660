//! The arguments of `billables token create`.

use crate::cli::arguments::base_url;
use crate::cli::senders::MappingArgs;
use crate::issuing::TokenRequest;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateArgs {
    /// Name of the client that the token belongs to: 1 to 64 of the characters A-Z a-z 0-9 . _ -
    ///
    /// Idempotency keys belong to the client, so use the same name for a client's next token.
    #[arg(long)]
    client: String,
    /// What the token may do: report, read, bill or admin; only report if omitted.
    #[arg(long = "scope", value_name = "SCOPE", num_args = 1..)]
    scopes: Vec<String>,
    /// Accounts that the client is limited to, for a client's first token; no limit if omitted.
    ///
    /// The limit holds for all tokens of the client. `billables client accounts` changes it.
    #[arg(long = "account", value_name = "ID", num_args = 1..)]
    accounts: Vec<String>,
    /// Time from now until the token expires, such as 90d; never if omitted.
    #[arg(long)]
    expires: Option<String>,
    /// Maximum rate of requests to each server, such as 100/s, 6000/m or 1000/h; no limit if
    /// omitted.
    ///
    /// That many requests may also come in one burst. A batch is one request.
    #[arg(long)]
    rate: Option<String>,
    #[command(flatten)]
    sender: SenderArgs,
}

/// How the token's reports are read.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sender")]
struct SenderArgs {
    /// Sender whose profile reads the reports, such as twilio; see `billables senders list`.
    #[arg(long, value_name = "NAME")]
    sender: Option<String>,
    #[command(flatten)]
    mapping: MappingArgs,
    /// Customer of every report, whose account is the client's only one; with a sender or a mapping.
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Refuse reports without callSid and Idempotency-Key, whose repeats cannot be detected.
    #[arg(long)]
    require_identity: bool,
    /// Print a URL instead of a token, for a sender that can set no header. A client that knows it can report.
    #[arg(long)]
    hook: bool,
    /// Address of the service in the URL of a hook, such as `https://billables.example.com`.
    #[arg(long, value_name = "BASE", requires = "hook", value_parser = base_url)]
    url: Option<String>,
}

impl CreateArgs {
    /// Returns the request, and the address of the service in the URL of a hook.
    pub(super) fn request(self) -> (TokenRequest, Option<String>) {
        let given = |items: Vec<String>| (!items.is_empty()).then_some(items);
        let SenderArgs {
            sender,
            mapping,
            customer,
            require_identity,
            hook,
            url,
        } = self.sender;
        let request = TokenRequest {
            client: Some(self.client),
            scopes: given(self.scopes),
            accounts: given(self.accounts),
            expires: self.expires,
            rate: self.rate,
            sender,
            map: given(mapping.maps),
            only: given(mapping.only),
            answered: Some(mapping.answered),
            time_format: mapping.time_format,
            time_zone: mapping.time_zone,
            customer,
            require_identity: Some(require_identity),
            hook: Some(hook),
        };
        (request, url)
    }
}
