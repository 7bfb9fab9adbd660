//! The reports that the benchmarks send.

/// The number of reports in a batch.
pub(crate) const BATCH: usize = 1000;

/// Returns a report like those of a telephone exchange: few accounts, more customers, unique calls.
pub(crate) fn report(number: usize) -> String {
    let (account, customer) = (number % 50, number % 1000);
    format!(
        r#"{{"accountId":"account-{account}","customerId":"customer-{account}-{customer}","callSid":"CA{number:032x}"}}"#
    )
}

/// Returns a batch of reports.
pub(crate) fn batch(number: usize) -> String {
    let first = number * BATCH;
    let reports: Vec<_> = (first..first + BATCH).map(report).collect();
    format!("[{}]", reports.join(","))
}
