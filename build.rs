//! Gives the program the time of its commit, before which no clock can be right.

use std::env;
use std::process::Command;

/// The time of a build without git history and without `SOURCE_DATE_EPOCH`: 2026-11-30.
const FIRST: &str = "1795996800";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let is_number = |text: &String| text.parse::<u32>().is_ok();
    let given = env::var("SOURCE_DATE_EPOCH").ok().filter(is_number);
    let seconds = given.or_else(|| commit_time().filter(is_number));
    let seconds = seconds.as_deref().unwrap_or(FIRST);
    println!("cargo::rustc-env=BILLABLES_COMMIT_TIME={seconds}");
}

/// Returns the time of the commit that is checked out, in seconds since 1970.
fn commit_time() -> Option<String> {
    let shown = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .output()
        .ok()?;
    let text = String::from_utf8(shown.stdout).ok()?;
    Some(text.trim().to_owned())
}
