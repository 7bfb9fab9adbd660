"""ServiceStack's Python client against a running server, with the DTOs that the server serves."""

import json
import os
import urllib.request
from urllib.parse import parse_qs, urlsplit

from dtos import (
    AttributeSession,
    Billable,
    BillingCustomerInfo,
    CheckBillables,
    GetBillable,
    GetBilling,
    GetSession,
    ListBillables,
    ListOfBillable,
    NewBillable,
    ReadLog,
    VoidBillable,
)
from servicestack import JsonServiceClient, WebServiceException

URL, LOCKED_URL, TOKEN = (os.environ[name] for name in ("BILLABLES_URL", "BILLABLES_LOCKED_URL", "BILLABLES_TOKEN"))


calls = 0


def report():
    global calls
    calls += 1
    return NewBillable(account_id="acc", customer_id="cus", call_sid=f"PY{calls}")


def client(base=URL, base_path=None):
    client = JsonServiceClient(base)
    client.set_bearer_token(TOKEN)
    if base_path is not None:
        client.set_base_path(base_path)
    return client


def equal(found, expected, what):
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def assert_stored(dto):
    """Check that exactly this report is stored: a repeat is recognised."""
    body = json.dumps({"accountId": dto.account_id, "customerId": dto.customer_id, "callSid": dto.call_sid})
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/billables", body.encode(), headers)
    with urllib.request.urlopen(request) as response:
        equal((response.status, response.headers["Idempotent-Replayed"]), (200, "true"), body)


def rejection(call):
    try:
        call()
    except WebServiceException as error:
        return error
    raise AssertionError("the call must fail, but it succeeded")


def with_credentials(dto):
    client = JsonServiceClient(URL)
    client.set_credentials("anyone", TOKEN)
    return client.post(dto)


for way, send in {
    "post": lambda dto: client().post(dto),
    "send": lambda dto: client().send(dto),
    "post without base path": lambda dto: client(base_path="").post(dto),
    "credentials": with_credentials,
}.items():
    dto = report()
    equal(send(dto), None, way)
    assert_stored(dto)

for way, send, expected in [
    ("send_all", lambda dtos: client().send_all(dtos), [None, None]),
    ("send_all without base path", lambda dtos: client(base_path="").send_all(dtos), [None, None]),
    ("send_all_oneway", lambda dtos: client().send_all_oneway(dtos), None),
    ("send_all_oneway without base path", lambda dtos: client(base_path="").send_all_oneway(dtos), None),
]:
    dtos = [report(), report()]
    result = send(dtos)
    if expected is not None:
        equal(result, expected, way)
    for dto in dtos:
        assert_stored(dto)

# Evo Voice's DTO lacks the interface `IReturn` or `IReturnVoid`, without which this client cannot send it, so users of
# that DTO post to the path.
dto = report()
shown = client().post_url("/billables", body={"accountId": "acc", "customerId": "cus", "callSid": dto.call_sid})
equal((shown["state"], shown["callSid"]), ("billable", dto.call_sid), "post_url")
assert_stored(dto)

invalid = rejection(lambda: client().post(NewBillable(call_sid="CA1")))
equal((invalid.status_code, invalid.response_status.error_code), (400, "NotEmpty"), "field errors")
equal(invalid.response_status.errors[0].field_name, "SessionId", "field errors")

batch = rejection(lambda: client().send_all([report(), NewBillable(call_sid="CA1")]))
equal((batch.status_code, batch.response_status.error_code), (400, "NotEmpty"), "a batch's errors")
equal(batch.response_status.meta, {"AutoBatchIndex": "1"}, "a batch's errors")

stranger = client()
stranger.set_bearer_token("bil_nobody")
refused = rejection(lambda: stranger.post(report()))
equal((refused.status_code, refused.response_status.error_code), (401, "Unauthorized"), "401")

keyed = client()
keyed.headers["Idempotency-Key"] = "py"
keyed.post(report())
conflict = rejection(lambda: keyed.post(report()))
equal((conflict.status_code, conflict.response_status.error_code), (422, "IdempotencyConflict"), "422")
equal(conflict.response_status.errors[0].field_name, "CallSid", "422")

locked = rejection(lambda: client(LOCKED_URL).post(report()))
equal((locked.status_code, locked.response_status.error_code), (503, "StoreUnavailable"), "503")


def items_between(start, end):
    """Return the session's billables in a time range, and the query that was sent for them."""
    asked = client()
    urls = []
    asked.request_filter = lambda info: urls.append(info.url)
    page = asked.get(ListBillables(session_id="py-session", from_=start, to=end))
    equal(type(page), ListOfBillable, "ListBillables")
    return page.items, parse_qs(urlsplit(urls[0]).query)


# Every operation, beginning with a call of a session that is not attributed yet.
occurred_at = "2026-03-01T08:30:00.123456Z"
client().post(NewBillable(session_id="py-session", call_sid="py-round", occurred_at=occurred_at))
found, query = items_between("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z")
expected = {"sessionId": ["py-session"], "from": ["2026-03-01T00:00:00Z"], "to": ["2026-04-01T00:00:00Z"]}
equal(query, expected, "the query of ListBillables")
[billable] = found
equal(type(billable), Billable, "an item")
equal((billable.state, billable.occurred_at, billable.billed_account_id), ("unattributed", occurred_at, None), "an item")
equal(items_between("2026-04-01T00:00:00Z", None)[0], [], "from")
equal(items_between(None, "2026-03-01T00:00:00Z")[0], [], "to")
# Only one billable says who reported it.
one = client().get(GetBillable(id=billable.id))
equal(type(one.client), str, "GetBillable")
one.client = None
equal(one, billable, "GetBillable")
checked = client().post(CheckBillables(call_sids=["py-round", "py-none"], ids=[billable.id]))
equal([item.state for item in checked.items], ["present", "missing", "present"], "CheckBillables")
equal(checked.items[0].ids, [billable.id], "CheckBillables")

session = client().put(AttributeSession(session_id="py-session", account_id="py-acc", customer_id="py-cus"))
equal((session.account_id, session.customer_id, session.is_complete), ("py-acc", "py-cus", True), "AttributeSession")
equal(client().get(GetSession(session_id="py-session")), session, "GetSession")
billing = client().get(GetBilling(
    account_id="py-acc", start_date="2026-03-01", end_date="2026-03-31", time_zone="Europe/Rome", group_by="day"))
equal((billing.account_id, billing.time_zone), ("py-acc", "Europe/Rome"), "GetBilling")
row = BillingCustomerInfo(customer_id="py-cus", date="2026-03-01", billable_count=1, voided_count=0)
equal(billing.customers, [row], "GetBilling")

voided = client().post(VoidBillable(id=billable.id, reason="a test call"))
equal((voided.id, voided.state, voided.void_reason), (billable.id, "voided", "a test call"), "VoidBillable")
log = client().get(ReadLog(after=billing.as_of, limit=10, wait=0))
equal([(entry.kind, entry.billable_id, entry.reason) for entry in log.items], [("voided", billable.id, "a test call")], "ReadLog")
equal(client().get(ReadLog(after=log.next_cursor)).items, [], "ReadLog")

print(f"Python client: {calls} reports, all operations called, all responses as expected")
