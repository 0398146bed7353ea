"""The expression for the heads of proxies reads what the parser of all requests reads, or nothing."""

import os
from collections.abc import Sequence
from random import Random

import httptools
import pytest

from keywright.api.http.principal import bearer_of
from keywright.api.verify.proxy_head import LONGEST_HEAD, Question, is_ext_authz, query_of, read_question
from keywright.keys.usage import agent_family
from tests.api.checking_plane import CREDENTIAL, KEY
from tests.api.mutated_heads import mutated

# A run by hand takes more: PROXY_HEADS=300000.
HEADS = int(os.environ.get("PROXY_HEADS", "20000"))
FIRST = "GET /forward-auth HTTP/1.1"
ENVOY = "POST /ext-authz/orders/7?a=1 HTTP/1.1"
BASE = [f"X-Keywright-Verifier: {CREDENTIAL.reveal()}", "X-Forwarded-For: 203.0.113.9", "Host: a"]
MOZILLA = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
BEARER = f"Authorization: Bearer {KEY}"
WHOLE = [
    [FIRST, *BASE, BEARER],
    [FIRST, *BASE, f"X-API-Key: {KEY}", "User-Agent: curl/8.1", "Accept: */*"],
    [
        "GET /forward-auth?scopes=orders:read&proxy=nginx HTTP/1.1", *BASE, BEARER, f"User-Agent: {MOZILLA}",
        "Connection: keep-alive", "Cookie: a=b; c=d", "X-Forwarded-Uri: /orders/7?a=1&b=2", "X-Forwarded-Proto: https",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Request-Id: 7",
    ],
    [ENVOY, *BASE, BEARER, "Content-Length: 0", "X-Keywright-Require: scopes=orders:read", "x-envoy-internal: true"],
    [FIRST, "Host: a", BEARER, "X-Forwarded-For: 6.6.6.6,2001:DB8::1"],
]  # fmt: skip


class Parsed:
    """What the parser of all requests reads of a question, with nothing behind it."""

    def __init__(self, data: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.complete = 0
        self.kept_alive = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)
        self.method, self.version = self._parser.get_method(), self._parser.get_http_version()

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.kept_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.complete += 1

    def all(self, name: str) -> list[str]:
        """Give the values of all headers of a name."""
        return [value.decode("latin-1") for each, value in self.fields if each == name.encode()]

    def one(self, name: str) -> str | None:
        """Give the value of the header of a name that stands there at most once."""
        values = self.all(name)
        assert len(values) <= 1, name
        return values[0] if values else None


def written(lines: Sequence[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def check(data: bytes, question: Question) -> None:
    """Hold a question to what the parser reads."""
    parsed = Parsed(data)
    assert (parsed.complete, parsed.kept_alive, parsed.version) == (1, True, "1.1")
    assert len(parsed.all("host")) == 1
    for name in ("transfer-encoding", "expect", "upgrade"):
        assert parsed.all(name) == []
    assert parsed.one("content-length") in (None, "0")
    authorization, api_key = parsed.one("authorization"), parsed.one("x-api-key")
    assert (authorization is None) != (api_key is None)
    assert text(question.key) == (api_key if authorization is None else bearer_of([authorization]))
    assert b"," not in question.key
    assert text(question.credential) == parsed.one("x-keywright-verifier")
    assert text(question.required) == parsed.one("x-keywright-require")
    assert question.forwarded == parsed.one("x-forwarded-for")
    assert question.agent == agent_family(parsed.one("user-agent"))
    query = query_of(question.line)
    if query is not None:
        assert (parsed.method, parsed.target.partition(b"?")[::2]) == (b"GET", (b"/forward-auth", query))
    if is_ext_authz(question.line):
        assert query is None
        assert parsed.target.startswith((b"/ext-authz/", b"/ext-authz?")) or parsed.target == b"/ext-authz"


@pytest.mark.parametrize("lines", WHOLE, ids=lambda lines: lines[0])
def test_a_plain_question(lines: list[str]) -> None:
    """The question of a proxy is plain, and is read as the parser reads it."""
    question = read_question(written(lines))
    assert question is not None
    check(written(lines), question)
    assert text(question.key) == KEY
    assert (query_of(question.line) is None) == is_ext_authz(question.line)


def test_mutated_questions() -> None:
    """Of thousands of heads with bytes, lines and names changed, what the expression reads is what the parser reads."""
    chance = Random(20261201)
    plain = 0
    for _ in range(HEADS):
        data = mutated(written(chance.choice(WHOLE)), chance)
        question = read_question(data)
        if question is not None and (query_of(question.line) is not None or is_ext_authz(question.line)):
            check(data, question)
            plain += 1
    assert HEADS / 10 < plain < HEADS * 9 / 10


@pytest.mark.parametrize(
    "line",
    [
        "Host: b", BEARER, f"X-API-Key: {KEY}", BASE[0], BASE[1], "x-forwarded-for: 1", "Connection: close",
        "Connection: keep-alive, upgrade", "Upgrade: h2c", "Expect: 100-continue", "Transfer-Encoding: chunked",
        "transfer-encoding: identity", "Content-Length: 1", "Content-Length: 00", "Content-Length:", "no colon",
        "Proxy-Connection: close", ": a", " folded", "a : b", "a: \x00", "a: \x7f", "a: b\rc", "a: b\nc", "é: a",
        "User-Agent: \x85curl", "User-Agent: \xa0curl", "authorization: Basic YTpi", "X-Long: " + "x" * LONGEST_HEAD,
    ],
)  # fmt: skip
def test_not_plain(line: str) -> None:
    """A second header of importance, one that changes how a request is read, and a flaw are for the parser."""
    assert read_question(written([FIRST, *BASE, BEARER])) is not None
    assert read_question(written([FIRST, *BASE, BEARER, line])) is None
    assert read_question(written([FIRST, line, *BASE, BEARER])) is None


def test_missing() -> None:
    """A question without a host, without a key, not whole, or with something behind it is for the parser."""
    whole = written([FIRST, *BASE, BEARER])
    for data in (
        written([FIRST, *BASE]),
        written([FIRST, *BASE[:2], BEARER]),
        whole[:-1],
        whole + b"G",
        whole[:9],
        b"",
    ):
        assert read_question(data) is None


@pytest.mark.parametrize(
    ("line", "query", "is_envoys"),
    [
        ("GET /forward-auth HTTP/1.1", b"", False),
        ("GET /forward-auth? HTTP/1.1", b"", False),
        ("GET /forward-auth?a=%20 HTTP/1.1", b"a=%20", False),
        ("GET /forward-auth?a=b#c HTTP/1.1", None, False),
        ("GET /forward-auth/ HTTP/1.1", None, False),
        ("GET /Forward-auth HTTP/1.1", None, False),
        ("POST /forward-auth HTTP/1.1", None, False),
        ("GET /forward-auth HTTP/1.0", None, False),
        ("GET /forward-auth http/1.1", None, False),
        ("GET /ext-authz HTTP/1.1", None, True),
        ("PATCH /ext-authz?a HTTP/1.1", None, True),
        ("DELETE /ext-authz/../%2e//a?b=c?d HTTP/1.1", None, True),
        ("CONNECT /ext-authz/ HTTP/1.1", None, False),
        ("GET /ext-authz/#a HTTP/1.1", None, False),
        ("GET /ext-authzx HTTP/1.1", None, False),
        ("GET /ext-authz/ a HTTP/1.1", None, False),
    ],
)
def test_first_lines(line: str, query: bytes | None, is_envoys: bool) -> None:
    """Only the two paths, in their own spelling, are asked in a first line; their options are told apart."""
    assert (query_of(line.encode()), is_ext_authz(line.encode())) == (query, is_envoys)
