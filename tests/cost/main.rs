//! What parsing costs, counted in instructions. Run with `scripts/test-cost`, which builds it
//! optimised.
//!
//! - `growth`: the cost grows with the length of the input and no faster, for the nastiest
//!   inputs that we could think of.
//! - `ratchet`: no operation costs much more than `baseline.txt` says it did.
//!
//! - `callgrind`: how they count. `inputs`: what `ratchet` counts.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise, and says what it counted"
)]

mod callgrind;
mod growth;
mod inputs;
mod ratchet;
