"""Both management clients against a fake transport with good answers and with broken ones."""

import copy
import json
import pickle
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from keywright.client import (
    ApiKeyResponse,
    AsyncManagementClient,
    CreatedApiKeyResponse,
    KeywrightError,
    ManagementClient,
    Refused,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from keywright.client.address import service_address
from tests.client.both_clients import BASE, fresh, kind_of_client, new_client
from tests.client.fake_service import problem
from tests.client.key_answers import FIELDS, KEY_ID, NEW, PAIR, TOKEN

__all__ = ["kind_of_client"]

Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, base_url: str = BASE) -> Any:
    return new_client(base_url, TOKEN, transport=httpx.MockTransport(handler), pauses=())


def answering(status: int, body: Any, headers: dict[str, str] | None = None) -> Any:
    return client(lambda _request: httpx.Response(status, json=body, headers=headers))


def test_create_sends_the_contracts_request() -> None:
    """A creation is a POST of JSON with the bearer token; an absent description is not sent."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json=NEW)

    with client(handler) as keys:
        keys.create("Billing export")
        keys.create("Billing export", description="Nightly")
    first, second = seen
    assert (first.method, str(first.url)) == ("POST", f"{BASE}/api/v2/api-keys")
    assert first.headers["Authorization"] == f"Bearer {TOKEN}"
    assert first.headers["Content-Type"] == "application/json"
    assert json.loads(first.content) == {"name": "Billing export"}
    assert json.loads(second.content) == {"name": "Billing export", "description": "Nightly"}


def test_created_key_is_read_whole() -> None:
    """Every field of a new key arrives with its type, the private key as the guarded type."""
    created = answering(201, NEW).create("Billing export")
    assert isinstance(created, CreatedApiKeyResponse)
    assert created.id == UUID(KEY_ID)
    assert created.created_at == datetime(2026, 11, 23, 21, 48, 5, 120340, tzinfo=UTC)
    assert created.private_key == PAIR.private


def test_private_key_is_guarded() -> None:
    """No printed or pickled form of a new key shows its private half."""
    created = answering(201, NEW).create("Billing export")
    forms = [repr(created), str(created), repr(copy.deepcopy(created)), str(pickle.dumps(created))]
    assert all(PAIR.private.reveal() not in form for form in forms)
    assert PAIR.private.display in repr(created)


def test_a_missing_member() -> None:
    """An answer that lacks a member of the contract is an error that names the member and its place."""
    with pytest.raises(UnexpectedAnswer, match="missing required field `private_key`"):
        answering(201, FIELDS).create("Billing export")
    lacking = {name: value for name, value in FIELDS.items() if name != "secrets"}
    with pytest.raises(UnexpectedAnswer, match=r"missing required field `secrets` - at `\$\[1\]`"):
        answering(200, [FIELDS, lacking]).list()


def test_a_time_without_a_zone() -> None:
    """A time without a zone is an error that names the flaw."""
    with pytest.raises(UnexpectedAnswer, match=r"timezone component - at `\$\.created_at`"):
        answering(200, {**FIELDS, "created_at": "2026-11-23T21:48:05"}).get(KEY_ID)


def test_no_value_is_repeated() -> None:
    """The error for a wrong value names its location, and does not quote it."""
    body = {**FIELDS, "status": "kw_sk_live_` - at `x\nfor nobody"}
    with pytest.raises(UnexpectedAnswer, match=r"Invalid enum value - at `\$\.status`\.$") as caught:
        answering(200, body).get(KEY_ID)
    assert "nobody" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("text", [PAIR.public.text, PAIR.private.reveal()[:-1], 5])
def test_unreadable_private_key(text: Any) -> None:
    """A malformed private key is an unexpected answer, and the error does not quote it."""
    with pytest.raises(UnexpectedAnswer) as caught:
        answering(201, {**FIELDS, "private_key": text}).create("Billing export")
    told = "".join(traceback.format_exception(caught.value))
    assert str(text) not in told or text == 5


def test_unknown_fields_are_passed_over() -> None:
    """A newer service may add fields."""
    key = answering(200, {**FIELDS, "added_later": 1}).get(KEY_ID)
    assert type(key) is ApiKeyResponse


def test_get_revoke_and_delete_address_the_key() -> None:
    """Each operation is its own method and path; an id is accepted as UUID and as text."""
    seen: list[tuple[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.path))
        return httpx.Response(204) if request.method == "DELETE" else httpx.Response(200, json=FIELDS)

    with client(handler) as keys:
        keys.get(KEY_ID)
        keys.revoke(UUID(KEY_ID))
        keys.delete(KEY_ID)
    path = f"/api/v2/api-keys/{KEY_ID}"
    assert seen == [("GET", path), ("PUT", f"{path}/revoke"), ("DELETE", path)]


@pytest.mark.parametrize("key_id", ["", "..", f"{KEY_ID}/revoke", "../../livez", "kw_sk_live_x"])
def test_malformed_id_is_not_sent(key_id: str) -> None:
    """An id that is no UUID reaches no route, and is not echoed."""
    keys = client(lambda _request: pytest.fail("something was sent"))
    with pytest.raises(KeywrightError) as caught:
        keys.get(key_id)
    assert not key_id or key_id not in str(caught.value)


def test_pages_are_followed_by_cursor() -> None:
    """Iterating requests every page by the cursor of the link before, at the client's own address only."""
    seen: list[httpx.URL] = []
    links = {
        None: '<https://evil.example/api/v2/api-keys?limit=2&cursor=one>; rel="next"',
        "one": '</api/v2/api-keys?limit=2&cursor=two>; rel="next"',
    }

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        cursor = request.url.params.get("cursor")
        keys = [{**FIELDS, "name": f"{cursor}-{number}"} for number in (1, 2)]
        return httpx.Response(200, json=keys, headers={"Link": links[cursor]} if cursor in links else {})

    with client(handler, f"{BASE}/prefix/") as keys:
        names = [key.name for key in keys.iterate(page_size=2)]
    assert names == ["None-1", "None-2", "one-1", "one-2", "two-1", "two-2"]
    assert {url.copy_with(query=None) for url in seen} == {httpx.URL(f"{BASE}/prefix/api/v2/api-keys")}
    assert {url.params["limit"] for url in seen} == {"2"}


def test_repeated_cursor_ends_the_iteration() -> None:
    """Iterating ends when a service repeats a cursor."""
    link = '</api/v2/api-keys?cursor=same>; rel="next"'
    keys = answering(200, [FIELDS], {"Link": link})
    assert len(list(keys.iterate())) == 2


def test_refusal() -> None:
    """An answer that is no carries code, status, sentence and request id."""
    with pytest.raises(Refused) as caught:
        answering(404, problem("not_found", "There is no such resource.")).get(KEY_ID)
    error = caught.value
    assert (error.code, error.status, error.detail, error.request_id) == (
        "not_found",
        404,
        "There is no such resource.",
        "req-12345678",
    )
    assert str(error) == "There is no such resource."
    assert error.errors == ()


def test_field_errors() -> None:
    """A refused field has location, sentence and word; the text of the error names the field."""
    flaw = {"loc": ["body", "name"], "msg": "String should have at most 100 characters", "type": "string_too_long"}
    with pytest.raises(Refused) as caught:
        answering(422, problem("validation_failed", [flaw])).create("x" * 101)
    (error,) = caught.value.errors
    assert (error.loc, error.type) == (("body", "name"), "string_too_long")
    assert str(caught.value) == "name: String should have at most 100 characters"


@pytest.mark.parametrize("status", [503, 502, 504])
def test_unavailable(status: int) -> None:
    """An unavailable service or gateway is an error with the seconds until a retry."""
    with pytest.raises(ServiceUnavailable) as caught:
        answering(status, problem("storage_unavailable"), {"Retry-After": "7"}).list()
    assert caught.value.retry_after == 7
    html = client(lambda _request: httpx.Response(status, html="<h1>Bad gateway</h1>"))
    with pytest.raises(ServiceUnavailable) as caught:
        html.list()
    assert caught.value.retry_after is None


@pytest.mark.parametrize("error", [httpx.ConnectError("[Errno 111] Connection refused"), httpx.ReadTimeout("slow")])
def test_unreachable(error: httpx.TransportError) -> None:
    """The error for a missing answer names the address, and never the token."""

    def handler(_request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(ServiceUnavailable) as caught:
        client(handler).list()
    assert BASE in str(caught.value)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, html="<h1>Welcome</h1>"),
        httpx.Response(200, json={"keys": []}),
        httpx.Response(200, json=[{"id": KEY_ID}]),
        httpx.Response(200, json=[{**FIELDS, "id": "no"}]),
        httpx.Response(200, json=[{**FIELDS, "created_at": "2026-11-23T21:48:05"}]),
        httpx.Response(200, json=[{**FIELDS, "is_revoked": "no"}]),
        httpx.Response(200, json=[FIELDS], headers={"Link": '</x?limit=1>; rel="next"'}),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(302, headers={"Location": "https://login.example/"}),
        httpx.Response(404, html="<h1>Not found</h1>"),
        httpx.Response(401, json={"message": "no"}),
    ],
)
def test_something_else_answers(response: httpx.Response) -> None:
    """An answer beyond the contract is an error with the address and without the body."""
    with pytest.raises(UnexpectedAnswer, match=f"{BASE}/api/v2/api-keys answered {response.status_code}"):
        client(lambda _request: fresh(response)).list()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "keys.acme.example",
        "ftp://keys.acme.example",
        "https://",
        "https://me:secret@keys.acme.example",
        "http://[::1",
        "http://keys.acme.example:70000",
    ],
)
def test_bad_address(address: str) -> None:
    """An address that cannot be one is refused before anything is sent, and not echoed."""
    with pytest.raises(KeywrightError) as caught:
        client(lambda _request: pytest.fail("something was sent"), address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://keys.acme.example", "HTTP://10.0.0.7:8080", "http://127.0.0.1.acme.example", "http://0.0.0.0"]
)
def test_http_to_another_machine(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """An address that sends the token in clear text is refused, unless the caller or the environment allows it."""
    monkeypatch.delenv("KEYWRIGHT_ALLOW_HTTP", raising=False)
    with pytest.raises(KeywrightError, match="allow_http"):
        service_address(address)
    for value in ("", "0", "true"):
        monkeypatch.setenv("KEYWRIGHT_ALLOW_HTTP", value)
        with pytest.raises(KeywrightError, match="KEYWRIGHT_ALLOW_HTTP=1"):
            client(lambda _request: pytest.fail("something was sent"), address)
    assert service_address(address, allow_http=True) == address.lower()
    monkeypatch.setenv("KEYWRIGHT_ALLOW_HTTP", "1")
    assert service_address(address) == address.lower()


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1", "http://127.9.9.9"])
def test_http_to_this_machine(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """An address on this machine needs no encryption."""
    monkeypatch.delenv("KEYWRIGHT_ALLOW_HTTP", raising=False)
    assert service_address(address) == address


@pytest.mark.parametrize("kind", [ManagementClient, AsyncManagementClient])
def test_allowed_http(monkeypatch: pytest.MonkeyPatch, kind: type[ManagementClient]) -> None:
    """Both clients pass on that their caller allows it."""
    monkeypatch.delenv("KEYWRIGHT_ALLOW_HTTP", raising=False)
    transport = httpx.MockTransport(lambda _request: pytest.fail("something was sent"))
    with pytest.raises(KeywrightError):
        kind("http://keys.acme.example", "token", transport=transport)
    kind("http://keys.acme.example", "token", transport=transport, allow_http=True)


@pytest.mark.parametrize("token", ["", "a b", "line\nbreak", "tök"])
def test_bad_token(token: str) -> None:
    """A text that cannot be a token is refused and not quoted."""
    with pytest.raises(KeywrightError) as caught:
        new_client(BASE, token, transport=httpx.MockTransport(lambda _request: httpx.Response(200)))
    assert not token or token not in "".join(traceback.format_exception(caught.value))


def test_text_that_is_not_utf8() -> None:
    """A name out of undecodable bytes of a command line is an error of the tree, not a crash."""
    keys = client(lambda _request: pytest.fail("something was sent"))
    with pytest.raises(KeywrightError):
        keys.create("\udcff")
    with pytest.raises(KeywrightError):
        keys.list(q="\udcff")
