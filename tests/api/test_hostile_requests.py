"""Requests that mean harm: each is answered within the contract, with bounded memory, and echoes nothing."""

import json
from collections.abc import Iterator

import pytest

from tests.api.caller import KEYS, Caller
from tests.api.raw import endless, exchange, head, resident
from tests.conftest import on_any_store

pytestmark = on_any_store

CANARY = "xyzzy-canary"
MEMORY_BOUND = 24 * 1024 * 1024
GIBIBYTE = 1024**3

HOSTILE_BODIES = {
    "lone surrogate": (b'{"name": "xyzzy-canary\\ud800"}', 422),
    "NUL": (b'{"name": "xyzzy-canary\\u0000"}', 422),
    "NaN": (b'{"name": NaN, "x": "xyzzy-canary"}', 400),
    "Infinity": (b'{"name": Infinity}', 400),
    "1e400": (b'{"name": 1e400}', 400),
    "name given twice": (b'{"name": "xyzzy-canary", "name": "b"}', 400),
    "byte order mark": (b'\xef\xbb\xbf{"name": "xyzzy-canary"}', 400),
    "UTF-16": ('{"name": "xyzzy-canary"}'.encode("utf-16"), 400),
    "UTF-16 without mark": ('{"name": "xyzzy-canary"}'.encode("utf-16-le"), 400),
    "broken UTF-8": (b'{"name": "xyzzy-canary\xff"}', 400),
    "overlong UTF-8": (b'{"name": "\xc0\xaf"}', 400),
    "10 000 levels of arrays": (b'{"name": ' + b"[" * 10_000, 400),
    "5 000 levels of objects": (b'{"a":' * 3_000, 400),
    "5 000 digits": (b'{"name": ' + b"9" * 5_000 + b"}", 400),
    "array": (b'["xyzzy-canary"]', 400),
    "null": (b"null", 400),
    "text": (b'"xyzzy-canary"', 400),
    "empty": (b"", 400),
    "not JSON": (b"xyzzy-canary", 400),
    "form": (b"name=xyzzy-canary", 400),
    "trailing bytes": (b'{"name": "a"} xyzzy-canary', 400),
    "wrong type": (b'{"name": {"xyzzy-canary": 1}}', 422),
    "private key of others": (b'{"name": 1, "kw_sk_live_xyzzy-canary": 2}', 422),
    "17 KiB": (b'{"name": "a", "x": "' + b"x" * 17 * 1024 + b'"}', 413),
}


@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_hostile_bodies(caller: Caller, name: str) -> None:
    """A body that means harm gets its 4xx, with nothing of it told back, and creates nothing."""
    body, status = HOSTILE_BODIES[name]
    response = caller.post(body)
    assert response.status_code == status, response.text
    assert CANARY not in response.text
    assert response.headers["x-request-id"]
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert caller.http.get(KEYS).json() == []


@pytest.mark.parametrize(
    ("method", "path", "empty"),
    [("PATCH", "", 400), ("POST", "/rotate", 200), ("PUT", "/rotation", 400), ("PUT", "/revoke", 200)],
)
def test_hostile_bodies_to_a_key(caller: Caller, method: str, path: str, empty: int) -> None:
    """Whatever is done to a key, a body that means harm gets the same 4xx, and leaves the key as it was."""
    url = f"{KEYS}/{caller.create()['id']}"
    wrong = []
    for name, (body, status) in HOSTILE_BODIES.items():
        if body == b"":
            continue
        response = caller.http.request(method, url + path, content=body, headers={"Content-Type": "application/json"})
        if response.status_code != status or CANARY in response.text:
            wrong.append((name, response.status_code, response.text))
    assert wrong == []
    assert caller.http.get(url).headers["etag"] == '"1"'
    response = caller.http.request(method, url + path, content=b"", headers={"Content-Type": "application/json"})
    assert response.status_code == empty


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=utf-16",
    ],
)
def test_media_type(caller: Caller, content_type: str | None) -> None:
    """A body that does not say it is JSON in UTF-8 is not read as such."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = caller.http.post(KEYS, content=b'{"name": "a"}', headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8"])
def test_media_type_in_any_writing(caller: Caller, content_type: str) -> None:
    """The media type is read without regard to case, and may name UTF-8."""
    assert caller.post(b'{"name": "a"}', **{"Content-Type": content_type}).status_code == 201


def test_compressed_body(caller: Caller) -> None:
    """A compressed body is refused as such, since it could be of any size."""
    assert caller.post(b"\x1f\x8b", **{"Content-Encoding": "gzip"}).status_code == 415


def test_exactly_16_kib(caller: Caller) -> None:
    """A body of just the limit is read; one more byte is too many, whether or not its length was announced."""
    frame = json.dumps({"name": "a"}).encode()
    fitting = frame + b" " * (16 * 1024 - len(frame))
    assert caller.post(fitting).status_code == 201
    assert caller.post(fitting + b" ").status_code == 413
    assert (
        caller.http.post(KEYS, content=iter([fitting, b" "]), headers={"Content-Type": "application/json"}).status_code
        == 413
    )


@pytest.mark.parametrize("framing", ["announced", "chunked"])
@pytest.mark.parametrize("token", ["good token", "no token"])
def test_a_gibibyte_is_not_read(caller: Caller, framing: str, token: str) -> None:
    """A body of 1 GiB is turned down after its first bytes, and the process does not grow."""
    lines = ["Content-Type: application/json"]
    piece = b"x" * 65536
    if framing == "announced":
        lines.append(f"Content-Length: {GIBIBYTE}")
        sent = endless(piece, GIBIBYTE)
    else:
        lines.append("Transfer-Encoding: chunked")
        sent = endless(b"10000\r\n" + piece + b"\r\n", GIBIBYTE)
    before = resident(caller.service)
    request = head(*lines, token=caller.http.headers["Authorization"] if token == "good token" else None)

    def chunks() -> Iterator[bytes]:
        yield request
        yield from sent

    answer = exchange(caller.service.base_url, chunks())
    assert answer.status in ((413,) if token == "good token" else (401,))
    assert resident(caller.service) - before < MEMORY_BOUND
    assert caller.http.get(KEYS).status_code == 200


@pytest.mark.parametrize("shape", ["one header", "many headers", "target"])
def test_twenty_megabytes_of_head(caller: Caller, shape: str) -> None:
    """A head of 20 MB answers 431 or is cut off, long before it is whole, and the process does not grow."""
    total = 20 * 1024 * 1024
    before = resident(caller.service)

    def chunks() -> Iterator[bytes]:
        if shape == "target":
            yield f"GET {KEYS}?".encode()
            yield from endless(b"x" * 65536, total)
            return
        yield f"GET {KEYS} HTTP/1.1\r\nHost: localhost\r\n".encode()
        if shape == "one header":
            yield b"X-Large: "
            yield from endless(b"x" * 65536, total)
        else:
            yield from endless(b"X-Header: " + b"x" * 1014 + b"\r\n", total)

    answer = exchange(caller.service.base_url, chunks())
    assert answer.status in (0, 431)
    if answer.status == 431:
        assert json.loads(answer.body)["code"] == "headers_too_large"
        assert answer.headers["x-request-id"] == json.loads(answer.body)["request_id"]
    assert resident(caller.service) - before < MEMORY_BOUND
    assert caller.http.get(KEYS).status_code == 200


def test_head_up_to_its_limit(caller: Caller) -> None:
    """A head just below 32 KiB is served; one just above answers 431, in one piece or in many."""
    token = caller.http.headers["Authorization"]
    plain = len(head("Connection: close", method="GET", token=token))
    for size, status in ((31 * 1024, 200), (34 * 1024, 431)):
        request = head("X-Fill: " + "x" * (size - plain), "Connection: close", method="GET", token=token)
        assert exchange(caller.service.base_url, [request]).status == status
        pieces = [request[start : start + 1000] for start in range(0, len(request), 1000)]
        assert exchange(caller.service.base_url, pieces).status == status


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /api/v2/api-keys\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
        b"POST /api/v2/api-keys HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v2/api-keys HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v2/api-keys HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_what_is_not_http(caller: Caller, request_: bytes) -> None:
    """Bytes that are not HTTP, or could be read as two different requests, answer a 4xx and end the connection."""
    answer = exchange(caller.service.base_url, [request_])
    assert answer.status in (0, 400, 401, 415)
    assert answer.status == 0 or answer.headers["x-request-id"]
    assert caller.http.get(KEYS).status_code == 200
