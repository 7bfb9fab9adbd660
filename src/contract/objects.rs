//! The objects that go in and out.

use super::types::{Location, Member, MemberKind, Type, always, maybe};

/// The id that the report of the examples gets.
pub const ID: &str = "4a9f3520-2c9d-8620-b8ed-069900bed70a";

pub const ACCOUNT_ID: Member = maybe("accountId", MemberKind::Text, "acc", "The account to bill");
pub const CUSTOMER_ID: Member = maybe(
    "customerId",
    MemberKind::Text,
    "cus",
    "The customer to bill",
);
pub const SESSION_ID: Member = maybe(
    "sessionId",
    MemberKind::Text,
    "S1",
    "The session that the call belongs to. Either this, or both accountId and customerId, is required",
);
pub const CALL_SID: Member = maybe(
    "callSid",
    MemberKind::Text,
    "CA1",
    "The call that is reported",
);
pub const OCCURRED_AT: Member = maybe(
    "occurredAt",
    MemberKind::Timestamp,
    "2026-03-01T08:30:00.000000Z",
    "When the call happened: from 1980 to 24 hours ahead. Now, when it is not given",
);

pub const BILLABLE_ID: Member = always(
    "id",
    MemberKind::Id,
    ID,
    "The billable's id, which is computed from what the report is recognised by",
);

const STATE: MemberKind = MemberKind::Choice(&["billable", "unattributed", "voided"]);

/// The state of billables as a filter.
pub const IN_STATE: Member =
    maybe("state", STATE, "billable", "Only billables in this state").within(Location::Query);

const BILLED_ACCOUNT: Member = maybe(
    "billedAccountId",
    MemberKind::Text,
    "acc",
    "The account that is billed; nothing while there is nobody to bill",
);
const BILLED_CUSTOMER: Member = maybe(
    "billedCustomerId",
    MemberKind::Text,
    "cus",
    "The customer that is billed",
);
const OCCURRED: Member = OCCURRED_AT.required().meaning("When the call happened");
const RECORDED: Member = always(
    "recordedAt",
    MemberKind::Timestamp,
    "2026-11-24T08:15:27.402113Z",
    "When it was stored",
);

const REPORTED_ACCOUNT: Member = ACCOUNT_ID.meaning("The account, as reported");
const REPORTED_CUSTOMER: Member = CUSTOMER_ID.meaning("The customer, as reported");
const REPORTED_SESSION: Member = SESSION_ID.meaning("The session, as reported");
const REPORTED_CALL: Member = CALL_SID.meaning("The call, as reported");

pub static BILLABLE: Type = Type {
    name: "Billable",
    text: "A billable, as it is stored, with its state",
    members: &[
        BILLABLE_ID,
        REPORTED_ACCOUNT,
        REPORTED_CUSTOMER,
        REPORTED_SESSION,
        REPORTED_CALL,
        always(
            "state",
            STATE,
            "billable",
            "billable; unattributed while there is nobody to bill; or voided",
        ),
        BILLED_ACCOUNT,
        BILLED_CUSTOMER,
        OCCURRED,
        RECORDED,
        maybe(
            "voidReason",
            MemberKind::Text,
            "a test call",
            "Why it is not to be billed",
        ),
        maybe(
            "replayed",
            MemberKind::Bool,
            "false",
            "In the answer to several reports: whether it was stored before",
        ),
    ],
};

const NEXT_CURSOR: Member = maybe(
    "nextCursor",
    MemberKind::String,
    "AQzR7dZ2PZ0",
    "Where the next page begins; the list ends where there is none",
);

/// A page of billables.
pub static LIST_OF_BILLABLE: Type = Type {
    name: "ListOfBillable",
    text: "A page of billables. As csv and ndjson, rows of everything that matches",
    members: &[
        always(
            "items",
            MemberKind::List(&BILLABLE),
            "",
            "The billables, newest first",
        ),
        NEXT_CURSOR,
    ],
};

/// What there is of an input.
pub static CHECKED_BILLABLE: Type = Type {
    name: "CheckedBillable",
    text: "What there is of a call or an id",
    members: &[
        always(
            "input",
            MemberKind::String,
            "CA1",
            "The call or id that was asked for",
        ),
        always(
            "state",
            MemberKind::Choice(&["present", "voided", "missing"]),
            "present",
            "present when any of its billables is not voided, voided when all are, missing when there are none",
        ),
        always("ids", MemberKind::Ids(usize::MAX), ID, "Its billables"),
    ],
};

/// What there is of inputs.
pub static LIST_OF_CHECKED_BILLABLE: Type = Type {
    name: "ListOfCheckedBillable",
    text: "What there is of each call and id",
    members: &[always(
        "items",
        MemberKind::List(&CHECKED_BILLABLE),
        "",
        "One for each input: the calls, then the ids",
    )],
};

/// An entry of the log.
pub static LOG_ENTRY: Type = Type {
    name: "LogEntry",
    text: "An entry of the log",
    members: &[
        always(
            "kind",
            MemberKind::Choice(&["recorded", "attributed", "voided"]),
            "recorded",
            "What happened to the billable",
        ),
        maybe(
            "partition",
            MemberKind::Number(0, i64::MAX),
            "0",
            "The partition of the log; left out for tokens that are limited to accounts",
        ),
        maybe(
            "position",
            MemberKind::Number(1, i64::MAX),
            "1",
            "The position within the partition, in the order of commits; left out likewise",
        ),
        BILLABLE_ID.meaning("The billable").renamed("billableId"),
        REPORTED_ACCOUNT,
        REPORTED_CUSTOMER,
        REPORTED_SESSION,
        REPORTED_CALL,
        BILLED_ACCOUNT,
        BILLED_CUSTOMER,
        OCCURRED,
        RECORDED.meaning("When this entry was stored"),
        maybe(
            "reason",
            MemberKind::Text,
            "a test call",
            "Why it was voided",
        ),
    ],
};

/// A page of the log.
pub static LIST_OF_LOG_ENTRY: Type = Type {
    name: "ListOfLogEntry",
    text: "A part of the log, in the order of commits. As csv and ndjson, its entries as rows",
    members: &[
        always("items", MemberKind::List(&LOG_ENTRY), "", "The entries"),
        NEXT_CURSOR
            .required()
            .meaning("Where to go on, as after. Also in the header Next-Cursor"),
    ],
};

/// Whom a session is billed to.
pub static SESSION: Type = Type {
    name: "Session",
    text: "Whom a session is billed to, which is decided once",
    members: &[
        SESSION_ID.required().meaning("The session"),
        ACCOUNT_ID.required().meaning("The account that is billed"),
        CUSTOMER_ID
            .required()
            .meaning("The customer that is billed"),
        RECORDED
            .meaning("When that was decided")
            .renamed("decidedAt"),
        always(
            "isComplete",
            MemberKind::Bool,
            "true",
            "Whether all billables of the session have the pair; if not, that goes on",
        ),
    ],
};

/// Totals of a customer.
pub static BILLING_CUSTOMER_INFO: Type = Type {
    name: "BillingCustomerInfo",
    text: "What a customer is billed for, in all or on a day",
    members: &[
        ACCOUNT_ID.meaning("The account, when totals are of all accounts"),
        CUSTOMER_ID.required().meaning("The customer"),
        maybe(
            "date",
            MemberKind::Date,
            "2026-03-01",
            "The day, with groupBy=day",
        ),
        always(
            "billableCount",
            MemberKind::Number(0, i64::MAX),
            "1",
            "Billables that are to be billed",
        ),
        always(
            "voidedCount",
            MemberKind::Number(0, i64::MAX),
            "1",
            "Billables that were voided",
        ),
    ],
};

pub static BILLING_INFO: Type = Type {
    name: "BillingInfo",
    text: "Totals of whole days by customer. As csv and ndjson, the customers as rows",
    members: &[
        ACCOUNT_ID.meaning("The account, when totals are of one"),
        START_DATE,
        END_DATE,
        TIME_ZONE.required(),
        always(
            "asOf",
            MemberKind::String,
            "AQzR7dZ2PZ0",
            "The position in the log where the totals are exact: the feed goes on from there",
        ),
        always(
            "customers",
            MemberKind::List(&BILLING_CUSTOMER_INFO),
            "",
            "The totals, of customers that have any",
        ),
        maybe(
            "unattributedCount",
            MemberKind::Number(0, i64::MAX),
            "0",
            "Billables that nobody is billed for yet; left out for tokens that are limited to accounts",
        ),
    ],
};

pub const START_DATE: Member = always(
    "startDate",
    MemberKind::Date,
    "2026-03-01",
    "The first day, from 1980-01-01 on",
);
pub const END_DATE: Member = always(
    "endDate",
    MemberKind::Date,
    "2026-03-31",
    "The last day, itself included",
);
/// The zone of days.
pub const TIME_ZONE: Member = maybe(
    "timeZone",
    MemberKind::String,
    "Europe/Rome",
    "Whose days they are: an IANA time zone. UTC, when it is not given",
);

/// How the process is.
pub static HEALTH: Type = Type {
    name: "Health",
    text: "That all is well",
    members: &[always("status", MemberKind::Choice(&["ok"]), "ok", "ok")],
};
