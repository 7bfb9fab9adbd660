//! The number of rows of an import by what became of them.

use crate::telemetry::print_line;

/// The number of rows by outcome. A voided row is also counted as new or known.
#[derive(Debug, Default)]
pub(super) struct ImportCounts {
    pub(super) new: u64,
    pub(super) known: u64,
    pub(super) voided: u64,
    /// Rows that repeat the header, and those that a condition does not want.
    pub(super) left_out: u64,
    /// Rows with blanks around a value, which were taken off.
    pub(super) trimmed: u64,
    /// Rows with a local time that the zone's clocks show twice or never.
    pub(super) ambiguous: u64,
}

impl ImportCounts {
    /// Prints what the sender of a file may want to know.
    pub(super) fn print_notes(&self) {
        if self.trimmed > 0 {
            print_line(&format!(
                "blanks around values were taken off in {} row(s); --no-trim keeps them",
                self.trimmed
            ));
        }
        if self.ambiguous > 0 {
            print_line(&format!(
                "{} row(s) have a local time that the clocks of the time zone show twice or never: the first of two was taken, and for none the time after the gap",
                self.ambiguous
            ));
        }
    }
}
