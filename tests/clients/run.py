"""ServiceStack's Python client against a running server."""

import json
import os
import urllib.request
from dataclasses import dataclass
from typing import Optional

from dataclasses_json import LetterCase, Undefined, dataclass_json
from servicestack import IPost, IReturnVoid, JsonServiceClient, WebServiceException

URL, AWAY_URL, TOKEN = (os.environ[name] for name in ("BILLABLES_URL", "BILLABLES_AWAY_URL", "BILLABLES_TOKEN"))


# As ServiceStack's generator writes it for an operation that returns nothing.
@dataclass_json(letter_case=LetterCase.CAMEL, undefined=Undefined.EXCLUDE)
@dataclass
class NewBillable(IReturnVoid, IPost):
    account_id: Optional[str] = None
    customer_id: Optional[str] = None
    session_id: Optional[str] = None
    call_sid: Optional[str] = None


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


def is_stored(dto):
    """The very report is stored: sent once more, it is recognised."""
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
    raise AssertionError("the call succeeds")


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
    is_stored(dto)

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
        is_stored(dto)

# The page's own DTO has no marker that this client could send, so its users post to the path.
dto = report()
shown = client().post_url("/billables", body={"accountId": "acc", "customerId": "cus", "callSid": dto.call_sid})
equal((shown["state"], shown["callSid"]), ("billable", dto.call_sid), "post_url")
is_stored(dto)

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

away = rejection(lambda: client(AWAY_URL).post(report()))
equal((away.status_code, away.response_status.error_code), (503, "StoreUnavailable"), "503")

print(f"Python client: {calls} reports, every answer as expected")
