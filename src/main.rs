//! The `billables` program: see [`billables::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    billables::cli::main()
}
