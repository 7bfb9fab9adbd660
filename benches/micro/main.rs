//! How long each parser takes for a report and for a batch, and the identity for a report:
//! `cargo bench --bench micro`. `tests/cost/ratchet.rs` counts the instructions of the same
//! operations.

mod inputs;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, operation) in inputs::operations() {
        criterion.bench_function(&name, |bencher| bencher.iter(&operation));
    }
    criterion.final_summary();
}
