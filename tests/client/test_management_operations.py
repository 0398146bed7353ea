"""Each operation of both management clients: the request, and the reading of its answer."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import httpx
import pytest

from keywright.client import (
    UNCHANGED,
    ApiKeyResponse,
    KeywrightError,
    RateLimit,
    RateLimitResponse,
    Refused,
    RevocationReason,
    Status,
    UnexpectedAnswer,
)
from tests.client.both_clients import BASE, kind_of_client, new_client
from tests.client.fake_service import problem
from tests.client.key_answers import EVENT, FIELDS, KEY_ID, NEW, OPTIONS, PAIR, RECEIPT, SECRET, TOKEN, USAGE

__all__ = ["kind_of_client"]

KEYS = "/api/v2/api-keys"
ONE = f"{KEYS}/{KEY_ID}"
NOON = datetime(2027, 1, 31, 13, 0, tzinfo=timezone(timedelta(hours=1)))


class Recorder:
    """A client whose service gives one answer to everything, and the requests to it."""

    def __init__(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.seen: list[httpx.Request] = []
        self._answer = (status, body, headers)
        self.keys = new_client(BASE, TOKEN, transport=httpx.MockTransport(self._take), pauses=())

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        status, body, headers = self._answer
        return httpx.Response(status, json=body, headers=headers)

    @property
    def asked(self) -> tuple[str, str, Any]:
        """The one request: its method, path and body."""
        (request,) = self.seen
        return request.method, request.url.path, json.loads(request.content) if request.content else None

    @property
    def parameters(self) -> dict[str, str]:
        """The query of the one request."""
        return dict(self.seen[0].url.params)


def test_create_with_everything() -> None:
    """Every field is sent in the contract's words; a moment as UTC, an empty list not at all."""
    recorder = Recorder(NEW, 201)
    recorder.keys.create(
        "Billing export",
        description="Nightly",
        environment="sandbox",
        expires_at=NOON,
        scopes={"reports:read"},
        allowed_ips=["192.0.2.7"],
        rate_limits=[RateLimit("minute", 100, 60)],
        external_id="customer-1742",
        metadata={"plan": "team", "Größe": 1},
    )
    method, path, body = recorder.asked
    assert (method, path) == ("POST", KEYS)
    assert body == {
        "name": "Billing export",
        "description": "Nightly",
        "environment": "sandbox",
        "expires_at": "2027-01-31T12:00:00Z",
        "scopes": ["reports:read"],
        "allowed_ips": ["192.0.2.7"],
        "rate_limits": [{"name": "minute", "limit": 100, "window_seconds": 60}],
        "external_id": "customer-1742",
        "metadata": {"plan": "team", "Größe": 1},
    }


def test_a_key_is_read_whole() -> None:
    """Every field arrives with its type, and the entity tag with it; during a rotation both pairs are there."""
    old = {**SECRET, "retires_at": "2026-12-01T00:00:00Z", "retire_when_idle_seconds": 3600}
    used = {**SECRET, "last_used_at": "2026-11-24T00:00:00Z"}
    recorder = Recorder({**FIELDS, "secrets": [used, old]}, headers={"ETag": '"7"'})
    key = recorder.keys.get(KEY_ID)
    assert recorder.asked == ("GET", ONE, None)
    assert (key.status, key.revocation_reason, key.etag) == (Status.ACTIVE, None, '"7"')
    assert (key.scopes, key.allowed_ips) == (("invoices:read",), ("192.0.2.0/24",))
    assert key.rate_limits == (RateLimitResponse("minute", 100, 60),)
    assert (key.external_id, key.metadata) == ("customer-1742", {"plan": "team"})
    current, retiring = key.secrets
    assert current.retires_at is None
    assert current.last_used_at == datetime(2026, 11, 24, tzinfo=UTC)
    assert key.retiring is retiring
    assert (retiring.retires_at, retiring.retire_when_idle_seconds) == (datetime(2026, 12, 1, tzinfo=UTC), 3600)
    assert hash(key) == hash(recorder.keys.get(KEY_ID))


def test_update_sends_what_is_given() -> None:
    """Only the given fields are sent; None clears one, an empty list a list; the tag becomes a condition."""
    recorder = Recorder(FIELDS)
    recorder.keys.update(KEY_ID, description=None, scopes=(), rate_limits=[], name="New", metadata={}, if_match='"7"')
    assert recorder.asked == (
        "PATCH",
        ONE,
        {"description": None, "scopes": [], "rate_limits": [], "name": "New", "metadata": {}},
    )
    assert recorder.seen[0].headers["If-Match"] == '"7"'


def test_rate_limits_of_an_answer() -> None:
    """The rate limits of one key can be given to another one as they were read."""
    recorder = Recorder(FIELDS)
    recorder.keys.update(KEY_ID, rate_limits=recorder.keys.get(KEY_ID).rate_limits)
    assert json.loads(recorder.seen[1].content) == {"rate_limits": FIELDS["rate_limits"]}


def test_update_of_nothing() -> None:
    """Without a field an empty change is sent, without a condition."""
    recorder = Recorder(FIELDS)
    recorder.keys.update(UUID(KEY_ID), name=UNCHANGED)
    assert recorder.asked == ("PATCH", ONE, {})
    assert "If-Match" not in recorder.seen[0].headers
    assert repr(UNCHANGED) == "UNCHANGED"


def test_rotate() -> None:
    """A rotation is a POST with the times that were given, and gives the new private key."""
    recorder = Recorder(NEW, headers={"ETag": '"8"', "Idempotency-Replayed": "true"})
    rotated = recorder.keys.rotate(KEY_ID, overlap_seconds=0, if_match="*")
    assert recorder.asked == ("POST", f"{ONE}/rotate", {"overlap_seconds": 0})
    assert recorder.seen[0].headers["If-Match"] == "*"
    assert (rotated.private_key, rotated.etag, rotated.replayed) == (PAIR.private, '"8"', True)


def test_rotate_until_quiet() -> None:
    """Times that are not given are the service's to choose."""
    recorder = Recorder(NEW)
    assert not recorder.keys.rotate(KEY_ID, retire_when_idle_seconds=3600).replayed
    assert recorder.asked == ("POST", f"{ONE}/rotate", {"retire_when_idle_seconds": 3600})


def test_set_overlap() -> None:
    """The end of the old pair is set in seconds from now."""
    recorder = Recorder(FIELDS)
    assert isinstance(recorder.keys.set_overlap(KEY_ID, overlap_seconds=60), ApiKeyResponse)
    assert recorder.asked == ("PUT", f"{ONE}/rotation", {"overlap_seconds": 60})


@pytest.mark.parametrize(
    ("reason", "body"),
    [
        (None, None),
        ("superseded", {"reason": "superseded"}),
        (RevocationReason.KEY_COMPROMISE, {"reason": "key_compromise"}),
    ],
)
def test_revoke(reason: str | None, body: Any) -> None:
    """A reason is sent as JSON; without one there is no body at all."""
    recorder = Recorder({**FIELDS, "is_revoked": True, "status": "revoked", "revocation_reason": "superseded"})
    key = recorder.keys.revoke(KEY_ID, reason=reason)
    assert recorder.asked == ("PUT", f"{ONE}/revoke", body)
    assert ("Content-Type" in recorder.seen[0].headers) is (body is not None)
    assert (key.status, key.revocation_reason) == (Status.REVOKED, RevocationReason.SUPERSEDED)


def test_list_filters() -> None:
    """Each filter is a parameter; those that are not given are not sent."""
    recorder = Recorder([FIELDS])
    page = recorder.keys.list(
        limit=5, cursor="c", status="expiring", q="Bi", environment="live", external_id="x&y=z", unused_since=NOON
    )
    assert recorder.parameters == {
        "limit": "5",
        "cursor": "c",
        "status": "expiring",
        "q": "Bi",
        "environment": "live",
        "external_id": "x&y=z",
        "unused_since": "2027-01-31T12:00:00Z",
    }
    assert page.api_keys[0].etag is None
    plain = Recorder([])
    assert list(plain.keys.iterate(page_size=7, status="active")) == []
    assert plain.parameters == {"limit": "7", "status": "active"}


def test_events() -> None:
    """A page of the trail is read whole, newest first, with the cursor of the next."""
    link = {"Link": '</api/v2/api-key-events?limit=1&cursor=next>; rel="next"'}
    recorder = Recorder([EVENT], headers=link)
    page = recorder.keys.events(limit=1, key_id=KEY_ID, type="api_key.updated", actor="auth0|x", since=NOON, until=NOON)
    assert recorder.asked == ("GET", "/api/v2/api-key-events", None)
    assert recorder.parameters == {
        "limit": "1",
        "key_id": KEY_ID,
        "type": "api_key.updated",
        "actor": "auth0|x",
        "since": "2027-01-31T12:00:00Z",
        "until": "2027-01-31T12:00:00Z",
    }
    (event,) = page.events
    assert page.next == "next"
    assert (event.type, event.key_id, event.position, event.hash) == ("api_key.updated", UUID(KEY_ID), 17, "5f" * 32)
    assert (event.actor.subject, event.actor.client_id) == ("auth0|6543210fedcba", None)
    assert event.data["after"] == {"scopes": ["invoices:read"]}
    # The same cursor again ends the iteration.
    assert len(list(recorder.keys.iterate_events())) == 2


def test_events_without_a_place() -> None:
    """An event older than the chain has no position in it."""
    recorder = Recorder([{**EVENT, "position": None, "hash": None}])
    (event,) = recorder.keys.key_events(KEY_ID, limit=5).events
    assert (event.position, event.hash) == (None, None)
    assert recorder.asked == ("GET", f"{ONE}/events", None)
    assert recorder.parameters == {"limit": "5"}


def test_usage() -> None:
    """Usage is read by period, source and pair; it has the cursor of the next page of pairs, None on the last."""
    recorder = Recorder(USAGE)
    usage = recorder.keys.usage(KEY_ID, period="hour", since=NOON)
    assert recorder.asked == ("GET", f"{ONE}/usage", None)
    assert recorder.parameters == {"limit": "20", "period": "hour", "since": "2027-01-31T12:00:00Z"}
    assert usage.next is None
    link = {"Link": f'<{ONE}/usage?limit=1&cursor=next>; rel="next"'}
    assert Recorder(USAGE, headers=link).keys.usage(KEY_ID, limit=1).next == "next"
    second = Recorder(USAGE)
    second.keys.usage(KEY_ID, limit=1, cursor="next")
    assert second.parameters == {"limit": "1", "cursor": "next", "period": "day"}
    assert (usage.counts[0].count, usage.sources[0].network, usage.sources[0].agent) == (3, "192.0.2.0/24", None)
    assert usage.sources[0].public_key == usage.secrets[0].public_key == PAIR.public.text
    assert usage.counts[0].refused == {"revoked": 5}
    assert (usage.refusals[0].code, usage.refusals[0].count, usage.refusals[0].agent) == ("revoked", 5, "curl")


def test_all_pages_of_usage() -> None:
    """Iterating gives page after page of a key's pairs, by the cursor of the page before."""
    recorder = Recorder(USAGE, headers={"Link": f'<{ONE}/usage?limit=1&cursor=next>; rel="next"'})
    pages = list(recorder.keys.iterate_usage(KEY_ID, page_size=1, period="hour"))
    # The same cursor again ends the iteration.
    assert [page.next for page in pages] == ["next", "next"]
    assert [dict(request.url.params) for request in recorder.seen] == [
        {"limit": "1", "period": "hour"},
        {"limit": "1", "cursor": "next", "period": "hour"},
    ]


def test_receipt() -> None:
    """A receipt has the acknowledgements, and the latest moment at which others may accept the key."""
    recorder = Recorder(RECEIPT)
    receipt = recorder.keys.receipt(KEY_ID)
    assert recorder.asked == ("GET", f"{ONE}/revocation", None)
    assert (receipt.confirmed, receipt.pending, len(receipt.verifiers)) == (1, 1, 1)
    assert receipt.verifiers[0].may_accept_until == receipt.may_accept_until


def test_options() -> None:
    """The options of new keys are read completely; without a list of scopes they are None."""
    recorder = Recorder(OPTIONS)
    options = recorder.keys.options()
    assert recorder.asked == ("GET", "/api/v2/api-key-options", None)
    assert options.environments == ("live", "sandbox")
    assert options.scopes is not None
    assert (options.scopes[0].scope, options.scopes[0].description) == ("reports:read", "Read reports")
    assert options.policy.max_life_seconds == 86_400
    assert options.policy.expiry_required
    assert Recorder({**OPTIONS, "scopes": None}).keys.options().scopes is None


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (lambda keys: keys.get(KEY_ID), {**FIELDS, "status": "sleeping"}),
        (lambda keys: keys.get(KEY_ID), {**FIELDS, "secrets": [{}]}),
        (lambda keys: keys.get(KEY_ID), {**FIELDS, "metadata": []}),
        (lambda keys: keys.get(KEY_ID), {**FIELDS, "rate_limits": [{"name": "x", "limit": 0, "window_seconds": 1}]}),
        (lambda keys: keys.get(KEY_ID), {**FIELDS, "scopes": "all"}),
        (lambda keys: keys.events(), {}),
        (lambda keys: keys.events(), [{**EVENT, "actor": None}]),
        (lambda keys: keys.usage(KEY_ID), {**USAGE, "counts": [{"start": "2026-11-23T21:00:00Z", "count": -1}]}),
        (lambda keys: keys.receipt(KEY_ID), {**RECEIPT, "confirmed": True}),
        (lambda keys: keys.options(), {**OPTIONS, "policy": {}}),
    ],
)
def test_answers_that_are_none(call: Callable[[Any], Any], body: Any) -> None:
    """An answer beyond the contract is an UnexpectedAnswer."""
    with pytest.raises(UnexpectedAnswer):
        call(Recorder(body).keys)


NESTED: list[Any] = []
NESTED.append(NESTED)
DEEP: Any = 1
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("call", "flaw"),
    [
        (lambda keys: keys.create("n", expires_at=datetime(2027, 1, 1)), "^expires_at: the datetime has no zone"),  # noqa: DTZ001 - that is the flaw
        (lambda keys: keys.create("n", metadata={"x": float("nan")}), "^metadata: the dict has a value that JSON"),
        (lambda keys: keys.create("n", metadata={"x": object()}), "^metadata: JSON has no object"),
        (lambda keys: keys.create("n", metadata={"x": NESTED}), "^metadata: the dict has a value that JSON"),
        (lambda keys: keys.create("n", metadata={"x": DEEP}), "^metadata: the dict is nested too deep"),
        (lambda keys: keys.create("n", metadata={(): 1}), "^metadata: the dict has a value that JSON"),
        (lambda keys: keys.update(KEY_ID, name="\ud800"), "^name: the str has half of a surrogate pair"),
        (lambda keys: keys.update(KEY_ID, name="n", if_match='"7"\r\nX: y'), "if_match"),
        (lambda keys: keys.list(unused_since=datetime(2027, 1, 1)), "^unused_since: the datetime has no zone"),  # noqa: DTZ001
        (lambda keys: keys.rotate(KEY_ID, idempotency_key="short"), "idempotency key"),
        (lambda keys: keys.create("n", idempotency_key="x" * 22 + " "), "idempotency key"),
        (lambda keys: keys.events(key_id="\ud800"), "^key_id: the str has half of a surrogate pair"),
    ],
)
def test_what_cannot_be_sent(call: Callable[[Any], Any], flaw: str) -> None:
    """A value that JSON cannot represent is an error before anything is sent; it names the field and the type."""
    recorder = Recorder(FIELDS)
    with pytest.raises(KeywrightError, match=flaw):
        call(recorder.keys)
    assert recorder.seen == []


@pytest.mark.parametrize("field", ["scopes", "allowed_ips"])
def test_one_string_is_no_list(field: str) -> None:
    """One string in place of a list is an error, not a list of letters."""
    recorder = Recorder(NEW, 201)
    with pytest.raises(TypeError, match=field):
        recorder.keys.create("n", **{field: "reports:read"})
    with pytest.raises(TypeError, match=field):
        recorder.keys.update(KEY_ID, **{field: "reports:read"})
    assert recorder.seen == []


def test_a_condition_that_does_not_hold() -> None:
    """A key that was changed meanwhile is a refusal with a code of its own."""
    with pytest.raises(Refused) as caught:
        Recorder(problem("precondition_failed"), 412).keys.update(KEY_ID, name="n", if_match='"1"')
    assert (caught.value.code, caught.value.status) == ("precondition_failed", 412)


def test_the_services_clock() -> None:
    """After an answer with a date the client has the time of the service's clock."""
    recorder = Recorder(FIELDS, headers={"Date": "Tue, 24 Nov 2026 12:00:00 GMT"})
    assert recorder.keys.service_time is None
    recorder.keys.get(KEY_ID)
    assert recorder.keys.service_time == datetime(2026, 11, 24, 12, tzinfo=UTC)
    other = Recorder(FIELDS, headers={"Date": "noon"})
    other.keys.get(KEY_ID)
    assert other.keys.service_time is None
