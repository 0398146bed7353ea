"""What one connection may do: one request after the other, within bounds, each answered at most once."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.api.caller import KEYS, Caller
from tests.api.raw import Answer, Connection, converse, endless, exchange, head, resident
from tests.conftest import on_any_store

pytestmark = on_any_store

MEMORY_BOUND = 24 * 1024 * 1024
TWENTY_MEGABYTES = 20 * 1024 * 1024
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
BODY = b'{"name": "a key"}'
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED_BODY = b"%x\r\n%b\r\n" % (len(BODY), BODY)
LAST_CHUNK = b"0\r\n"
PLAIN_READ = head("Connection: close", method="GET", path="/livez")


@pytest.fixture
def token(caller: Caller) -> str:
    return caller.http.headers["Authorization"]


def statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]


def assert_ends_with_it(answer: Answer) -> None:
    """The answer says that the connection ends with it."""
    assert answer.headers["connection"] == "close"


def test_a_trailer_does_not_authenticate(caller: Caller, token: str) -> None:
    """A token behind the body is nobody's, on this request and on the next of the connection; nothing is created."""
    request = head(JSON, CHUNKED) + CHUNKED_BODY + LAST_CHUNK + f"Authorization: {token}\r\n\r\n".encode()
    answers = converse(caller.service.base_url, request, head("Connection: close", method="GET"))
    assert statuses(answers) == [401, 401]
    assert caller.http.get(KEYS).json() == []


def test_a_trailer_does_not_describe_the_body(caller: Caller, token: str) -> None:
    """A media type behind the body comes too late."""
    request = head(CHUNKED, token=token) + CHUNKED_BODY + LAST_CHUNK + f"{JSON}\r\n\r\n".encode()
    assert exchange(caller.service.base_url, [request]).status == 415
    assert caller.http.get(KEYS).json() == []


def test_a_trailer_is_allowed(caller: Caller, token: str) -> None:
    """A request with a small trailer is served like one without, and so is the next."""
    request = head(JSON, CHUNKED, token=token) + CHUNKED_BODY + LAST_CHUNK + b"X-Checksum: 1\r\n\r\n"
    assert statuses(converse(caller.service.base_url, request, request, PLAIN_READ)) == [201, 201, 200]


@pytest.mark.parametrize("shape", ["one trailer", "many trailers", "chunk extension"])
@pytest.mark.parametrize("kind", ["good token", "no token"])
def test_endless_trailers(caller: Caller, token: str, shape: str, kind: str) -> None:
    """What stands around a body is cut off like a head, answered 413 at most, and the process does not grow."""
    before = resident(caller.service)

    def pieces() -> Iterator[bytes]:
        yield head(JSON, CHUNKED, token=token if kind == "good token" else None)
        if shape == "chunk extension":
            yield b"5;x="
            yield from endless(b"x" * 65536, TWENTY_MEGABYTES)
        elif shape == "one trailer":
            yield CHUNKED_BODY + LAST_CHUNK + b"X-Large: "
            yield from endless(b"x" * 65536, TWENTY_MEGABYTES)
        else:
            yield CHUNKED_BODY + LAST_CHUNK
            yield from endless(b"X: y\r\n" * 8192, TWENTY_MEGABYTES)

    with Connection(caller.service.base_url) as connection:
        assert not connection.send(*pieces())
        answers = connection.read_to_the_end()
    assert statuses(answers) in ([], [413] if kind == "good token" else [401])
    assert resident(caller.service) - before < MEMORY_BOUND
    assert caller.http.get(KEYS).json() == []


def test_a_hundred_thousand_requests_at_once(caller: Caller) -> None:
    """A client that sends one request after the other and reads nothing is cut off; others are served all the while."""
    before = resident(caller.service)
    with Connection(caller.service.base_url) as connection:
        connection.send(*endless(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" * 1000, 100_000 * 28))
        assert caller.http.get(KEYS).status_code == 200
        assert resident(caller.service) - before < MEMORY_BOUND
        answers = connection.read_to_the_end()
    assert set(statuses(answers)) <= {404}
    assert len(answers) < 1000


def test_a_line_of_requests(caller: Caller, token: str) -> None:
    """Requests sent without waiting for answers are answered in their order."""
    create = head(JSON, LENGTH, token=token) + BODY
    listing = head(method="GET", token=token)
    answers = converse(caller.service.base_url, listing + create + listing + create + listing + PLAIN_READ)
    assert statuses(answers) == [200, 201, 200, 201, 200, 200]
    assert [len(json.loads(answer.body)) for answer in answers[:5:2]] == [0, 1, 2]


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED])
@pytest.mark.parametrize("split", [False, True], ids=["in one piece", "in pieces"])
def test_an_upgrade_with_a_body_is_ignored(caller: Caller, token: str, upgrade: str, framing: str, split: bool) -> None:
    """A request that asks to upgrade is served as if it had not, body and all; what follows it is not a request."""
    body = BODY if framing == LENGTH else CHUNKED_BODY + LAST_CHUNK + b"\r\n"
    lines = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABk", JSON, framing]
    pieces = [head(*lines, token=token), body, PLAIN_READ]
    with Connection(caller.service.base_url) as connection:
        for piece in pieces if split else [b"".join(pieces)]:
            connection.send(piece)
        answers = connection.read_to_the_end()
    assert statuses(answers) == [201]
    assert_ends_with_it(answers[0])
    assert len(caller.http.get(KEYS).json()) == 1


@pytest.mark.parametrize("split", [False, True], ids=["in one piece", "in pieces"])
def test_a_request_inside_an_upgrade(caller: Caller, token: str, split: bool) -> None:
    """A request that is the body of a request to upgrade stays a body: one request, one answer."""
    inner = head(method="GET", token=token)
    outer = head("Connection: Upgrade", "Upgrade: h2c", JSON, f"Content-Length: {len(inner)}", token=token)
    with Connection(caller.service.base_url) as connection:
        for piece in (outer, inner) if split else (outer + inner,):
            connection.send(piece)
        answers = connection.read_to_the_end()
    assert statuses(answers) == [400]
    assert json.loads(answers[0].body)["code"] == "invalid_json"
    assert_ends_with_it(answers[0])


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_an_upgrade_without_a_body(caller: Caller, upgrade: str) -> None:
    """A request to upgrade without a body is answered plainly, and the connection ends with the answer."""
    request = head("Connection: Upgrade", f"Upgrade: {upgrade}", method="GET", path="/livez")
    answers = converse(caller.service.base_url, request + PLAIN_READ)
    assert statuses(answers) == [200]
    assert_ends_with_it(answers[0])


@pytest.mark.parametrize("target", ["example.com:443", KEYS])
@pytest.mark.parametrize("lines", [[], [LENGTH]], ids=["without a body", "with a body"])
def test_no_tunnels(caller: Caller, target: str, lines: list[str]) -> None:
    """CONNECT answers 400 and ends the connection, whatever follows."""
    answers = converse(caller.service.base_url, head(*lines, method="CONNECT", path=target) + PLAIN_READ)
    assert statuses(answers) == [400]
    assert_ends_with_it(answers[0])


def test_expect_answered_before_the_body(caller: Caller) -> None:
    """A client that waited for "100 Continue" and got its answer may send the body or not: no bytes of it are read."""
    with Connection(caller.service.base_url) as connection:
        connection.send(head("Expect: 100-continue", JSON, f"Content-Length: {len(PLAIN_READ)}"))
        answer = connection.read()
        assert answer.status == 401
        assert_ends_with_it(answer)
        connection.send(PLAIN_READ, PLAIN_READ)
        assert connection.read_to_the_end() == []


def test_expect(caller: Caller, token: str) -> None:
    """A client that waits for "100 Continue" gets it before its body is read, and then its answer."""
    with Connection(caller.service.base_url) as connection:
        connection.send(head("Expect: 100-continue", JSON, LENGTH, token=token))
        assert connection.read().status == 100
        connection.send(BODY)
        answer = connection.read()
        assert answer.status == 201
        assert_ends_with_it(answer)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
    ],
    ids=["no request", "a bad head", "a large head"],
)
@pytest.mark.parametrize("count", [1, 3])
def test_garbage_behind_good_requests(caller: Caller, token: str, garbage: bytes, count: int) -> None:
    """Whole requests are carried out and answered, though what follows them ends the connection."""
    create = head(JSON, LENGTH, token=token) + BODY
    answers = converse(caller.service.base_url, create * count + garbage)
    assert statuses(answers) == [201] * count
    assert_ends_with_it(answers[-1])
    assert len(caller.http.get(KEYS).json()) == count


def test_a_broken_body_behind_a_good_request(caller: Caller, token: str) -> None:
    """A whole request is answered before one that breaks in its body behind it, and both are."""
    create = head(JSON, LENGTH, token=token) + BODY
    answers = converse(caller.service.base_url, create + create + head(JSON, CHUNKED, token=token) + b"ZZ\r\n")
    assert statuses(answers) == [201, 201, 400]
    assert_ends_with_it(answers[-1])
    assert len(caller.http.get(KEYS).json()) == 2


BROKEN_FRAMES = [
    b"ZZ\r\n",
    b"0x11\r\n" + BODY,
    b"11 \r\n" + BODY,
    b"-11\r\n" + BODY,
    b"11\n" + BODY + b"\n0\n\n",
    b"10000000000000011\r\n" + BODY,
    b"11\r\n" + BODY + b"0\r\n\r\n",
    b"11\r\n" + BODY + b"\r\n0\r\nBad Trailer: x\r\n\r\n",
]


@pytest.mark.parametrize("frame", BROKEN_FRAMES, ids=repr)
@pytest.mark.parametrize("split", [False, True], ids=["in one piece", "in pieces"])
def test_broken_chunks(caller: Caller, token: str, frame: bytes, split: bool) -> None:
    """A body whose chunks are broken answers 400 once, ends the connection and creates nothing."""
    pieces = [head(JSON, CHUNKED, token=token), *(bytes([byte]) for byte in frame)]
    answers = converse(caller.service.base_url, *(pieces if split else [b"".join(pieces)]), PLAIN_READ)
    assert statuses(answers) == [400]
    assert json.loads(answers[0].body)["code"] == "invalid_request"
    assert answers[0].headers["x-request-id"] == json.loads(answers[0].body)["request_id"]
    assert_ends_with_it(answers[0])
    assert caller.http.get(KEYS).json() == []


def test_chunks_that_break_after_the_answer(caller: Caller) -> None:
    """A request that was answered before its body gets no second answer when the body breaks."""
    with Connection(caller.service.base_url) as connection:
        connection.send(head(JSON, CHUNKED))
        assert connection.read().status == 401
        connection.send(b"ZZ\r\n", PLAIN_READ)
        assert connection.read_to_the_end() == []


def test_a_connection_survives_an_unread_body(caller: Caller, token: str) -> None:
    """After an answer that did not need the body, the rest of a small one is skipped and the connection serves on."""
    with Connection(caller.service.base_url) as connection:
        for _ in range(3):
            connection.send(head(JSON, LENGTH))
            assert connection.read().status == 401
            connection.send(BODY)
        connection.send(head(JSON, LENGTH, token=token) + BODY, PLAIN_READ)
        assert statuses(connection.read_to_the_end()) == [201, 200]


def test_empty_lines_between_requests(caller: Caller) -> None:
    """Empty lines before a request, which old clients send, are skipped."""
    request = head(method="GET", path="/livez")
    answers = converse(caller.service.base_url, b"\r\n" + request + b"\r\n\r\n" + request, b"\r\n", PLAIN_READ)
    assert statuses(answers) == [200] * 3


@pytest.mark.parametrize("lines", ["", "Connection: keep-alive\r\n"], ids=["plain", "asking to keep it open"])
def test_http_1_0(caller: Caller, token: str, lines: str) -> None:
    """A client of HTTP/1.0 gets one answer, and the connection ends with it."""
    create = f"POST {KEYS} HTTP/1.0\r\n{lines}Authorization: {token}\r\n{JSON}\r\n{LENGTH}\r\n\r\n".encode() + BODY
    answers = converse(caller.service.base_url, create)
    assert statuses(answers) == [201]
    assert_ends_with_it(answers[0])


def test_a_client_that_leaves_in_the_middle_of_its_body(caller: Caller, token: str) -> None:
    """A body whose end never comes because the client left creates nothing, and is no error of ours."""
    with Connection(caller.service.base_url) as connection:
        connection.send(head(JSON, "Content-Length: 99", "X-Request-Id: left-in-the-middle", token=token), b'{"name"')
        # Its answer shows that the service reads the first one's body by then.
        assert httpx.get(f"{caller.service.base_url}/livez", trust_env=False).status_code == 200
    line = caller.service.await_log_line(request_id="left-in-the-middle", event="request")
    assert line["status"] == 400
    assert [entry for entry in caller.service.log() if "exception" in entry] == []
    assert caller.http.get(KEYS).json() == []
