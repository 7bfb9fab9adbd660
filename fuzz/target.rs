//! A fuzz target: see `properties.rs` for what is checked, `scripts/fuzz` for how it is run.

#![no_main]

mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::check(env!("CARGO_BIN_NAME"), data));
