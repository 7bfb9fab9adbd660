//! The objects of requests and responses.

mod listing;
mod running;
mod tokens;

use super::types::{Location, Member, MemberKind, Type, always, maybe};
pub use listing::{ACCOUNT, LIST_OF_ACCOUNT, LIST_OF_UNDECIDED_SESSION, UNDECIDED_SESSION};
pub use running::{HEALTH, LIST_OF_REFUSAL, READINESS, REFUSAL};
pub use tokens::{
    CURRENT_TOKEN, ISSUED_TOKEN, LIST_OF_TOKEN, NEW_SECRET, NEW_TOKEN, TOKEN, TOKEN_OF_PATH,
};

/// The id of the billable in the examples.
pub const ID: &str = "d1719a49-b256-8620-b8ed-069900bed70a";

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
    "The session that the call belongs to. Either sessionId, or both accountId and customerId, is required",
);
pub const CALL_SID: Member = maybe("callSid", MemberKind::Text, "CA1", "The call to report");
pub const OCCURRED_AT: Member = maybe(
    "occurredAt",
    MemberKind::Timestamp,
    "2026-03-01T08:30:00.000000Z",
    "When the call happened: from 1980 to 24 hours from now. Defaults to now",
);

pub const BILLABLE_ID: Member = always(
    "id",
    MemberKind::Id,
    ID,
    "The billable's id, derived from the Idempotency-Key or the call; random if the report has neither",
);

const STATE: MemberKind = MemberKind::Choice(&["billable", "unattributed", "voided"]);

/// The filter by state.
pub const IN_STATE: Member =
    maybe("state", STATE, "billable", "Only billables in this state").within(Location::Query);

const BILLED_ACCOUNT: Member = maybe(
    "billedAccountId",
    MemberKind::Text,
    "acc",
    "The account that is billed; absent until it is known",
);
const BILLED_CUSTOMER: Member = maybe(
    "billedCustomerId",
    MemberKind::Text,
    "cus",
    "The customer that is billed; absent until it is known",
);
const OCCURRED: Member = OCCURRED_AT.required().meaning("When the call happened");
const RECORDED: Member = always(
    "recordedAt",
    MemberKind::Timestamp,
    "2026-11-24T08:15:27.402113Z",
    "When the report was stored",
);

const CLIENT: Member = maybe("client", MemberKind::String, "default", "The client");
const IDEMPOTENCY_KEY: Member = maybe(
    "idempotencyKey",
    MemberKind::String,
    "correction-1",
    "The key",
);

const REPORTED_ACCOUNT: Member = ACCOUNT_ID.meaning("The account, as reported");
const REPORTED_CUSTOMER: Member = CUSTOMER_ID.meaning("The customer, as reported");
const REPORTED_SESSION: Member = SESSION_ID.meaning("The session, as reported");
const REPORTED_CALL: Member = CALL_SID.meaning("The call, as reported");

pub static IGNORED_EVENT: Type = Type {
    name: "IgnoredEvent",
    text: "An event of a batch that is not stored, because the sender's profile says that it is not billed",
    members: &[always(
        "ignored",
        MemberKind::Choice(&["answered", "only"]),
        "only",
        "only: it is none that bills a call; answered: the call was not answered",
    )],
};

pub static BILLABLE: Type = Type {
    name: "Billable",
    text: "A stored billable with its state",
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
            "voided, unattributed (as long as no account and customer are known) or billable",
        ),
        BILLED_ACCOUNT,
        BILLED_CUSTOMER,
        OCCURRED,
        RECORDED,
        maybe(
            "voidReason",
            MemberKind::Text,
            "a test call",
            "Why the billable was voided",
        ),
        maybe(
            "replayed",
            MemberKind::Bool,
            "false",
            "In the response to a batch: whether the billable was already stored",
        ),
        CLIENT.meaning("The client that reported it; only of one billable, and omitted for account-limited tokens"),
        IDEMPOTENCY_KEY.meaning("The Idempotency-Key of the report; only of one billable, and omitted for account-limited tokens"),
        RECORDED
            .meaning("When it was attributed; only of one billable, and omitted for account-limited tokens")
            .optional()
            .renamed("attributedAt"),
        RECORDED
            .meaning("When it was voided; only of one billable, and omitted for account-limited tokens")
            .optional()
            .renamed("voidedAt"),
        CLIENT
            .meaning("The client that voided it; only of one billable, and omitted for account-limited tokens")
            .renamed("voidedBy"),
    ],
};

const NEXT_CURSOR: Member = maybe(
    "nextCursor",
    MemberKind::String,
    "AQzR7dZ2PZ0",
    "The cursor of the next page; absent on the last page",
);

pub static LIST_OF_BILLABLE: Type = Type {
    name: "ListOfBillable",
    text: "A page of billables. In csv and ndjson, all matching billables as rows",
    members: &[
        always(
            "items",
            MemberKind::List(&BILLABLE),
            "",
            "The billables, newest first",
        ),
        NEXT_CURSOR,
        maybe(
            "asOf",
            MemberKind::String,
            "AQzR7dZ2PZ0",
            "The cut of the log that the list is of, as in the header As-Of",
        ),
    ],
};

pub static CHECKED_BILLABLE: Type = Type {
    name: "CheckedBillable",
    text: "The state of a call or an id",
    members: &[
        always(
            "input",
            MemberKind::String,
            "CA1",
            "The callSid or id from the request",
        ),
        always(
            "state",
            MemberKind::Choice(&["present", "voided", "missing"]),
            "present",
            "present if any of its billables is not voided, voided if all are, missing if it has none",
        ),
        always(
            "ids",
            MemberKind::Ids(usize::MAX),
            ID,
            "The ids of its billables",
        ),
    ],
};

pub static LIST_OF_CHECKED_BILLABLE: Type = Type {
    name: "ListOfCheckedBillable",
    text: "The state of each call and id",
    members: &[always(
        "items",
        MemberKind::List(&CHECKED_BILLABLE),
        "",
        "One item for each input: the calls, then the ids",
    )],
};

pub static DECIDED: Type = Type {
    name: "Decided",
    text: "What became of an item",
    members: &[
        always(
            "input",
            MemberKind::String,
            ID,
            "The billable or the session",
        ),
        always(
            "outcome",
            MemberKind::Choice(&[
                "voided", "replayed", "missing", "decided", "same", "conflict", "pending",
            ]),
            "voided",
            "Of a void: voided; replayed if it was voided before; missing if there is no such billable. Of a session: decided; same if it was decided like this before; conflict if it is billed to another account or customer; pending if it is decided, and its billables are still being attributed",
        ),
    ],
};

pub static LIST_OF_DECIDED: Type = Type {
    name: "ListOfDecided",
    text: "What became of each item",
    members: &[always(
        "items",
        MemberKind::List(&DECIDED),
        "",
        "One for each item, in their order",
    )],
};

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
            "The partition of the log; omitted for account-limited tokens",
        ),
        maybe(
            "position",
            MemberKind::Number(1, i64::MAX),
            "1",
            "The position within the partition, in commit order; omitted for account-limited tokens",
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
            "Why the billable was voided",
        ),
        CLIENT.meaning("The client that made the entry; omitted for account-limited tokens"),
        IDEMPOTENCY_KEY
            .meaning("The Idempotency-Key of the report; omitted for account-limited tokens"),
    ],
};

pub static LIST_OF_LOG_ENTRY: Type = Type {
    name: "ListOfLogEntry",
    text: "A page of the log, in commit order. In csv and ndjson, its entries as rows",
    members: &[
        always("items", MemberKind::List(&LOG_ENTRY), "", "The entries"),
        NEXT_CURSOR.meaning("The value for the parameter after of the next request, also sent in the header Next-Cursor; absent in the history of a billable"),
    ],
};

pub static SESSION: Type = Type {
    name: "Session",
    text: "The account and customer that a session is billed to, which are set only once",
    members: &[
        SESSION_ID.required().meaning("The session"),
        ACCOUNT_ID.required().meaning("The account that is billed"),
        CUSTOMER_ID
            .required()
            .meaning("The customer that is billed"),
        RECORDED
            .meaning("When the session was attributed")
            .renamed("decidedAt"),
        always(
            "isComplete",
            MemberKind::Bool,
            "true",
            "Whether all billables of the session are attributed; false while the attribution is in progress",
        ),
    ],
};

pub static SESSION_PAIR: Type = Type {
    name: "SessionPair",
    text: "A session, and the account and customer that it is to be billed to",
    members: &[
        SESSION_ID.required().meaning("The session"),
        ACCOUNT_ID.required().meaning("The account to bill"),
        CUSTOMER_ID.required().meaning("The customer to bill"),
    ],
};

pub static BILLING_CUSTOMER_INFO: Type = Type {
    name: "BillingCustomerInfo",
    text: "The totals of a customer, for the whole period or for one day",
    members: &[
        ACCOUNT_ID.meaning("The account, if the totals cover all accounts"),
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
            "The number of billables that are not voided",
        ),
        always(
            "voidedCount",
            MemberKind::Number(0, i64::MAX),
            "1",
            "The number of voided billables",
        ),
    ],
};

pub static BILLING_INFO: Type = Type {
    name: "BillingInfo",
    text: "Totals of whole days by customer. In csv and ndjson, the customers as rows",
    members: &[
        ACCOUNT_ID.meaning("The account, if the totals cover one account"),
        START_DATE,
        END_DATE,
        TIME_ZONE.required(),
        always(
            "asOf",
            MemberKind::String,
            "AQzR7dZ2PZ0",
            "The log position up to which the totals are exact; ReadLog continues there if this value is given as the parameter after",
        ),
        always(
            "customers",
            MemberKind::List(&BILLING_CUSTOMER_INFO),
            "",
            "The totals; customers without billables are omitted",
        ),
        maybe(
            "unattributedCount",
            MemberKind::Number(0, i64::MAX),
            "0",
            "The number of unattributed billables; omitted for account-limited tokens, and for an account with asOf",
        ),
    ],
};

pub const START_DATE: Member = always(
    "startDate",
    MemberKind::Date,
    "2026-03-01",
    "The first day, from 1980-01-01 to 2999-12-31",
);
pub const END_DATE: Member = always(
    "endDate",
    MemberKind::Date,
    "2026-03-31",
    "The last day, inclusive",
);
pub const TIME_ZONE: Member = maybe(
    "timeZone",
    MemberKind::String,
    "Europe/Rome",
    "The IANA time zone of the days. Defaults to the server's setting, which is UTC unless set",
);
