"""Creations and rotations whose answer is lost: sent again with the same key, a few times, and never without need."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from keywright.client import KeywrightError, Refused, ServiceUnavailable, UnexpectedAnswer
from keywright.client._retries import LONGEST_PAUSE
from tests.client.both_clients import BASE, fresh, kind_of_client, new_client
from tests.client.fake_service import problem
from tests.client.key_answers import KEY_ID, NEW, PAIR, TOKEN

__all__ = ["kind_of_client"]

OWN_KEY = "order-1742-created-by-the-shop"

Result = httpx.Response | httpx.TransportError


class Line:
    """
    A service that creates before its answer is lost: it keeps what it did by idempotency key.

    `results` are what becomes of each answer, the last one for ever: one of a gateway, an error, or None to arrive.
    """

    def __init__(self, *results: Result | None) -> None:
        self.results = list(results)
        self.made: set[str] = set()
        self.sent: list[str] = []
        self.bodies: set[bytes] = set()
        self.waited: list[float] = []
        self.keys = new_client(
            BASE, TOKEN, transport=httpx.MockTransport(self._take), pauses=(1.0, 2.0, 4.0), sleep=self.waited.append
        )

    def _take(self, request: httpx.Request) -> httpx.Response:
        key = request.headers["Idempotency-Key"]
        self.sent.append(key)
        self.bodies.add(request.content)
        replayed = {"Idempotency-Replayed": "true"} if key in self.made else {}
        self.made.add(key)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, httpx.TransportError):
            raise result
        status = 201 if request.url.path.endswith("api-keys") else 200
        return fresh(result) if result else httpx.Response(status, json=NEW, headers=replayed)


def create(keys: Any, **more: Any) -> Any:
    return keys.create("Billing export", **more)


def rotate(keys: Any, **more: Any) -> Any:
    return keys.rotate(KEY_ID, **more)


Operation = Callable[..., Any]
both = pytest.mark.parametrize("operation", [create, rotate])


def lost_answers() -> list[Result]:
    in_use = httpx.Response(409, json=problem("idempotency_key_in_use"), headers={"Retry-After": "1"})
    return [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("cut"),
        httpx.Response(503, json=problem("storage_unavailable")),
        httpx.Response(502, html="<h1>Bad gateway</h1>"),
        in_use,
    ]


@both
@pytest.mark.parametrize("lost", range(len(lost_answers())))
def test_a_lost_answer_is_asked_for_again(operation: Operation, lost: int) -> None:
    """However an answer is lost, the same request with the same key brings it, and one key is made."""
    line = Line(lost_answers()[lost], None)
    created = operation(line.keys)
    assert created.private_key == PAIR.private
    assert created.replayed
    assert len(line.sent) == 2
    assert len(line.made) == len(line.bodies) == 1


@both
def test_the_keys_of_the_client_cannot_be_guessed(operation: Operation) -> None:
    """Each request has a key of its own: 32 url-safe characters."""
    line = Line(None)
    assert not operation(line.keys).replayed
    operation(line.keys)
    assert len(line.made) == 2
    assert all(re.fullmatch("[A-Za-z0-9_-]{32}", key) for key in line.made)
    assert line.waited == []


@both
def test_it_is_given_up_after_a_while(operation: Operation) -> None:
    """An unavailable service is tried four times, with growing pauses; the error has the idempotency key."""
    line = Line(httpx.ConnectError("refused"))
    with pytest.raises(ServiceUnavailable) as caught:
        operation(line.keys)
    assert len(line.sent) == 4
    assert [low <= waited <= 1.5 * low for low, waited in zip((1, 2, 4), line.waited, strict=True)] == [True] * 3
    assert {caught.value.idempotency_key} == line.made
    line.results = [None]
    assert operation(line.keys, idempotency_key=caught.value.idempotency_key).replayed
    assert len(line.made) == 1


@both
@pytest.mark.parametrize(
    ("result", "error"),
    [
        (httpx.Response(422, json=problem("validation_failed", [])), Refused),
        (httpx.Response(409, json=problem("too_many_keys")), Refused),
        (httpx.Response(401, json=problem("invalid_token")), Refused),
        (httpx.Response(500, json=problem("internal")), Refused),
        (httpx.Response(200, html="<h1>Welcome</h1>"), UnexpectedAnswer),
    ],
)
def test_an_answer_is_an_answer(operation: Operation, result: httpx.Response, error: type[KeywrightError]) -> None:
    """A request that the service answered is not retried."""
    line = Line(result)
    with pytest.raises(error):
        operation(line.keys)
    assert len(line.sent) == 1


def test_a_key_of_ones_own() -> None:
    """A caller may name the request itself, so that it is done once though the caller, too, forgets."""
    line = Line(None)
    first, second = (create(line.keys, idempotency_key=OWN_KEY) for _ in range(2))
    assert (first.replayed, second.replayed) == (False, True)
    assert line.sent == [OWN_KEY, OWN_KEY]


def test_the_service_says_when() -> None:
    """The service's own time to try again is kept to, within reason."""
    line = Line(
        httpx.Response(503, json=problem("storage_unavailable"), headers={"Retry-After": "5"}),
        httpx.Response(503, json=problem("storage_unavailable"), headers={"Retry-After": "86400"}),
        None,
    )
    create(line.keys)
    assert line.waited == [5, LONGEST_PAUSE]


def test_nothing_else_is_tried_twice() -> None:
    """A change without a key may have been made, and is not made again."""
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.method)
        assert "Idempotency-Key" not in request.headers
        raise httpx.ReadTimeout("slow")

    keys = new_client(BASE, TOKEN, transport=httpx.MockTransport(handler))
    for call in (keys.get, keys.revoke, keys.delete, keys.update):
        with pytest.raises(ServiceUnavailable) as caught:
            call(KEY_ID)
        assert caught.value.idempotency_key is None
    assert seen == ["GET", "PUT", "DELETE", "PATCH"]
