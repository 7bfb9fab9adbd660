//! `billables openapi`: prints the OpenAPI description of the HTTP API.

use crate::docs::openapi;

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) fn run() {
    print!("{}", openapi::text());
}
