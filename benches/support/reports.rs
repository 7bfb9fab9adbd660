//! The reports that are sent.

/// In a batch.
pub(crate) const BATCH: usize = 1000;

/// A report like those of a telephone exchange: few accounts, more customers, each call its own.
pub(crate) fn report(number: usize) -> String {
    let (account, customer) = (number % 50, number % 1000);
    format!(
        r#"{{"accountId":"account-{account}","customerId":"customer-{account}-{customer}","callSid":"CA{number:032x}"}}"#
    )
}

/// Reports in one request.
pub(crate) fn batch(number: usize) -> String {
    let first = number * BATCH;
    let reports: Vec<_> = (first..first + BATCH).map(report).collect();
    format!("[{}]", reports.join(","))
}
