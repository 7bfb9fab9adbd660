//! A fuzz target: see `laws.rs` for what is checked, `scripts/fuzz` for how it is run.

#![no_main]

mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::check(env!("CARGO_BIN_NAME"), data));
