//! No operation costs much more or much less than `baseline.txt` says.
//!
//! An improvement that is not recorded could be lost again unnoticed. The compiler chooses the
//! instructions, so the baseline is for one compiler and one target.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use crate::callgrind::{count, measured};
use crate::inputs;

/// The environment variable that `scripts/test-cost renew` sets. It causes the baseline to be
/// rewritten before the comparison.
const RENEW: &str = "BILLABLES_COST_RENEW";

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cost/baseline.txt");

/// The number of runs of each operation; the lowest count is used.
///
/// The first run also initialises statics. The cost of growing a string varies with the memory
/// after the string.
const RUNS: usize = 5;

#[test]
fn no_operation_costs_much_more_or_less_than_the_baseline_says() {
    let operations = inputs::operations();
    let counts = count(
        "ratchet::no_operation_costs_much_more_or_less_than_the_baseline_says",
        || {
            for (_, operation) in &operations {
                for _ in 0..RUNS {
                    measured(operation);
                }
            }
        },
    );
    let Some(counts) = counts else { return };
    assert_eq!(counts.len(), RUNS * operations.len());
    let names = operations.iter().map(|(name, _)| &**name);
    let least = counts.chunks(RUNS).map(|runs| *runs.iter().min().unwrap());
    let counts: BTreeMap<_, _> = names.zip(least).collect();

    if std::env::var_os(RENEW).is_some() {
        std::fs::write(BASELINE, written(&compiler(), &counts)).unwrap();
    }
    let baseline = std::fs::read_to_string(BASELINE).unwrap();
    let wrong = differences(&baseline, &compiler(), &counts);
    assert!(
        wrong.is_empty(),
        "\n{wrong}If this is intended, renew tests/cost/baseline.txt: scripts/test-cost renew\n"
    );
}

/// Returns the compiler and the target, as in the first line of a baseline.
fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    format!("{} for {}", text.lines().next().unwrap(), host.unwrap())
}

fn written(compiler: &str, counts: &BTreeMap<&str, u64>) -> String {
    let mut text = format!("{compiler}\n");
    for (name, count) in counts {
        writeln!(text, "{count:>10} {name}").unwrap();
    }
    text
}

/// Returns the differences from the baseline, one per line.
fn differences(baseline: &str, compiler: &str, counts: &BTreeMap<&str, u64>) -> String {
    let (counted_with, rows) = baseline.split_once('\n').unwrap();
    if counted_with != compiler {
        return format!("The baseline is for {counted_with}, but this is {compiler}.\n");
    }
    let mut known: BTreeMap<_, u64> = rows
        .lines()
        .map(|row| row.trim_start().split_once(' ').unwrap())
        .map(|(count, name)| (name, count.parse().unwrap()))
        .collect();
    let mut wrong = String::new();
    for (name, &count) in counts {
        match known.remove(name) {
            None => writeln!(wrong, "{name}: not in the baseline").unwrap(),
            Some(before) => {
                let ratio = count as f64 / before as f64;
                println!("{name}: {count} {before} {ratio:.3}");
                let judged = match ratio {
                    1.1.. => "more than 10 % worse",
                    ..=0.9 => "more than 10 % better",
                    _ => continue,
                };
                writeln!(
                    wrong,
                    "{name}: {judged}, {count} instructions, {ratio:.2} times the {before} of the baseline"
                )
                .unwrap();
            }
        }
    }
    for name in known.keys() {
        writeln!(wrong, "{name}: in the baseline, but not measured").unwrap();
    }
    wrong
}

#[test]
fn every_difference_from_the_baseline_is_reported() {
    let counts = BTreeMap::from([("a", 1101), ("b", 1099), ("c", 901), ("d", 899), ("e", 1)]);
    let baseline = "rustc 1\n1000 a\n1000 b\n1000 c\n1000 d\n1000 f\n";
    assert_eq!(
        differences(baseline, "rustc 1", &counts),
        "a: more than 10 % worse, 1101 instructions, 1.10 times the 1000 of the baseline\n\
         d: more than 10 % better, 899 instructions, 0.90 times the 1000 of the baseline\n\
         e: not in the baseline\n\
         f: in the baseline, but not measured\n"
    );
    assert_eq!(
        differences(baseline, "rustc 2", &counts),
        "The baseline is for rustc 1, but this is rustc 2.\n"
    );
    assert_eq!(
        differences(&written("rustc 2", &counts), "rustc 2", &counts),
        ""
    );
}
