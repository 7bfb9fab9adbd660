//! The cost of parsing, counted in instructions. Run with `scripts/test-cost`, which makes an
//! optimised build.
//!
//! - `growth`: the cost grows at most in proportion to the length of the input, for the worst
//!   inputs that we could think of.
//! - `ratchet`: no operation costs much more or less than `baseline.txt` says.
//! - `callgrind`: counts the instructions.
//! - `inputs`: the operations that `ratchet` counts.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and prints its counts"
)]

mod callgrind;
mod growth;
mod inputs;
mod ratchet;
