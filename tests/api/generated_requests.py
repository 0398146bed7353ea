"""Requests to verify, out of a seed: good ones, odd ones, and what is no request at all, cut into pieces anyhow."""

import json
from collections.abc import Sequence
from itertools import pairwise
from random import Random

VERIFY = "/api/v2/api-keys/verify"
BATCH = f"{VERIFY}/batch"
_TARGETS = [VERIFY] * 40 + [
    f"{VERIFY}/",
    f"{VERIFY}//",
    f"{VERIFY}?a=b",
    BATCH,
    f"{BATCH}/",
    "/api/v2/api-keys/verif%79",
    f"/{VERIFY}",
    f"http://localhost{VERIFY}",
    f"{VERIFY}#a",
    "/",
    "*",
    "/api/v2/api-keys/Verify",
    "localhost:80",
]
_METHODS = ["POST"] * 40 + ["GET", "HEAD", "PUT", "post", "OPTIONS", "CONNECT", "PRI", "POSTS"]
_VERSIONS = ["HTTP/1.1"] * 40 + [
    "HTTP/1.0",
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.2",
    "http/1.1",
    "HTTP/1.1 ",
    "",
]
_TYPES = ["application/json"] * 20 + [
    "application/json; charset=utf-8",
    "Application/JSON",
    "text/plain",
    "",
    "application/json ",
    "application/json;charset=latin-1",
]
_OTHERS = [
    "Accept: application/problem+json",
    "Accept: */*",
    "User-Agent: client/1.0",
    "X-Request-Id: 12345678",
    "Keywright-Facts: 1",
    "Keywright-Facts: 0",
    "Content-Encoding: gzip",
    "Content-Encoding: identity",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: Close",
    "Connection: keep-alive, close",
    "Connection: upgrade",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "Expect: 100-Continue",
    "Expect: nothing",
    "Cookie: a=b",
    "X-Long: " + "x" * 5000,
    "X-Large: " + "x" * 40_000,
    "Content-Type: application/json",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked",
    "Trailer: X",
    "X-\u00e9: \u00e9",
    "X-Empty:",
    "X-Tab:\tt\t",
    "X-Obs: a\r\n b",
    "X-Obs: a\r\n\tb",
    "NoColon",
    ": nameless",
    "X-Nul: a\0b",
    "X Space: a",
    "X-Space : a",
    "X-Bare: a\nX-Line: b",
    "X-Return: a\rb",
    "Content-Length: 0",
    "Content-Length: 5",
    "Host: another",
    "Keep-Alive: timeout=5",
    "Content-Length : 5",
    "Transfer_Encoding: chunked",
    "Authorization: Bearer x",
]


class Requests:
    """
    Makes connections' worth of requests.

    Args:
        chance: Decides everything.
        keys: Texts that are known as keys, and some that are not.
        credentials: What may be shown as a bearer.
    """

    def __init__(self, chance: Random, keys: Sequence[str], credentials: Sequence[str]) -> None:
        self._chance = chance
        self._keys = keys
        self._credentials = credentials

    def connection(self) -> tuple[int, list[bytes]]:
        """Give how many requests were made, and the pieces in which they are sent."""
        chance = self._chance
        # A client's requests are alike; so is one in two of them here.
        usual = self.plain_request()
        requests = [usual if chance.random() < 0.5 else self.request() for _ in range(chance.randint(1, 8))]
        if chance.random() < 0.1:
            requests.insert(
                chance.randint(0, len(requests)), chance.choice([b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b"x"])
            )
        manner = chance.random()
        if manner < 0.6:
            pieces = requests
        elif manner < 0.75:
            pieces = [part for request in requests for part in _at_the_head(request)]
        else:
            pieces = self._cut(b"".join(requests))
        return len(requests), pieces

    def plain_request(self) -> bytes:
        """A request as most clients send it."""
        target, body = (BATCH, self._batch()) if self._chance.random() < 0.15 else (VERIFY, self._good_body())
        lines = [
            f"POST {target} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {self._credentials[0]}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return _cased(lines, self._chance) + body

    def request(self) -> bytes:
        """A request of any kind."""
        chance = self._chance
        if chance.random() < 0.4:
            return self.plain_request()
        target = chance.choice(_TARGETS)
        body = self._good_body() if chance.random() < 0.6 else self._odd_body()
        if target == BATCH and chance.random() < 0.9:
            body = self._batch()
        lines = ["Host: localhost"]
        lines += [f"Authorization: {self._authorization()}" for _ in range(chance.choice([1] * 30 + [0, 2]))]
        lines += [f"Content-Type: {chance.choice(_TYPES)}" for _ in range(chance.choice([1] * 30 + [0, 2]))]
        lines += chance.sample(_OTHERS, chance.choice([0] * 10 + [1] * 8 + [2, 3]))
        framing, body = self._framed(body)
        lines += framing
        if chance.random() < 0.3:
            chance.shuffle(lines)
        first = f"{chance.choice(_METHODS)} {target} {chance.choice(_VERSIONS)}"
        whole = _cased([first, *lines], chance) + body
        if chance.random() < 0.03:
            place = chance.randrange(len(whole))
            whole = whole[:place] + chance.randbytes(chance.randint(0, 2)) + whole[place + chance.randint(0, 2) :]
        return whole

    def _authorization(self) -> str:
        usual = f"Bearer {self._chance.choice(self._credentials)}"
        return self._chance.choice(
            [usual] * 20 + [usual.lower(), f"{usual} ", "Basic YTpi", f"Bearer  {self._credentials[0]}", "Bearer"]
        )

    def _framed(self, body: bytes) -> tuple[list[str], bytes]:
        chance = self._chance
        length = f"Content-Length: {len(body)}"
        manner = chance.choice(
            ["length"] * 20 + ["chunked"] * 4 + ["both", "two", "odd", "none", "more", "less", "broken"]
        )
        if manner == "chunked":
            return ["Transfer-Encoding: chunked"], self._chunked(body)
        if manner == "both":
            return [length, "Transfer-Encoding: chunked"], self._chunked(body)
        if manner == "two":
            return [length, chance.choice([length, "Content-Length: 1"])], body
        if manner == "odd":
            return [
                f"Content-Length: {chance.choice(['+5', '-1', '0x5', '5, 5', '', ' ', '9' * 30, f'0{len(body)}'])}"
            ], body
        if manner == "none":
            return [], body
        if manner == "broken":
            return ["Transfer-Encoding: chunked"], chance.choice(
                [b"zz\r\n", b"5\nabcde\n0\n\n", b"-1\r\n", b"5\r\nabcdefg\r\n0\r\n\r\n"]
            )
        if manner == "length":
            return [length], body
        return [f"Content-Length: {max(0, len(body) + (3 if manner == 'more' else -3))}"], body

    def _chunked(self, body: bytes) -> bytes:
        chance = self._chance
        parts = self._cut(body) if body else []
        chunks = [b"%x%b\r\n%b\r\n" % (len(part), chance.choice([b"", b"", b";a=b"]), part) for part in parts]
        trailer = chance.choice(
            [b""] * 5 + [b"X-Trailer: 1\r\n", f"Authorization: Bearer {self._credentials[0]}\r\n".encode()]
        )
        return b"".join([*chunks, b"0\r\n", trailer, b"\r\n"])

    def _good_body(self) -> bytes:
        chance = self._chance
        asked: dict[str, object] = {"key": chance.choice(self._keys)}
        if chance.random() < 0.5:
            more = {
                "scopes": chance.choice([["orders:read"], ["no:such"], []]),
                "environment": chance.choice(["live", "sandbox"]),
                "client_ip": chance.choice(["192.0.2.7", "198.51.100.1", "2001:db8::1", "nonsense"]),
                "cost": chance.choice([0, 1, 2, 100]),
                "explain": chance.random() < 0.5,
                "method": "GET",
                "path": "/é",
            }
            asked |= {name: more[name] for name in chance.sample(sorted(more), chance.randint(1, 4))}
        if chance.random() < 0.1:
            asked = dict(reversed(asked.items()))
        separators = chance.choice([(",", ":"), (", ", ": ")])
        return json.dumps(asked, separators=separators, ensure_ascii=chance.random() < 0.5).encode()

    def _batch(self) -> bytes:
        chance = self._chance
        usual = self._good_body()
        bodies = [usual if chance.random() < 0.8 else self._good_body() for _ in range(chance.choice([1, 2, 5, 20]))]
        if chance.random() < 0.2:
            bodies.append(self._odd_body())
        return b'{"keys":%b[%b]}' % (chance.choice([b"", b" "]), chance.choice([b",", b", "]).join(bodies))

    def _odd_body(self) -> bytes:
        chance = self._chance
        good = self._good_body()
        place = chance.randrange(len(good))
        return chance.choice(
            [
                b"",
                b"{}",
                b"null",
                b"[]",
                good[:-1],
                good + b" ",
                b" " + good,
                good + b"x",
                good.replace(b'"key"', b'"k\\u0065y"'),
                good.replace(b"kw_", b"\\u006bw_"),
                good[:-1] + b',"key":"a"}',
                good[:-1] + b',"more":1}',
                good[:-1] + b',"cost":1e400}',
                good[:place] + chance.randbytes(1) + good[place + 1 :],
                b'{"key":"' + b"x" * chance.choice([511, 512, 513, 20_000]) + b'"}',
                b'{"keys":[' + good + b"," + good + b"]}",
                b"{" + b" " * chance.choice([100, 17_000]) + good[1:],
                b"\xef\xbb\xbf" + good,
            ]
        )

    def _cut(self, whole: bytes) -> list[bytes]:
        chance = self._chance
        places = sorted({0, len(whole), *(chance.randrange(len(whole) + 1) for _ in range(chance.randint(0, 4)))})
        return [whole[begin:end] for begin, end in pairwise(places)]


_QUESTIONS = ["/forward-auth"] * 30 + [
    "/forward-auth?scopes=orders:read",
    "/forward-auth?scopes=orders%3Aread,orders:write&environment=live",
    "/forward-auth?scopes=no:such&proxy=nginx",
    "/forward-auth?proxy=nginx",
    "/forward-auth?proxy=caddy",
    "/forward-auth?",
    "/forward-auth??",
    "/forward-auth?scopes=a#b",
    '/forward-auth?scopes="',
    "/forward-auth?environment=sandbox",
    "/forward-auth/",
    "/forward-authx",
    "/forward%2Dauth",
    "//forward-auth",
    "http://localhost/forward-auth",
    "/ext-authz",
    "/ext-authz/a/b?scopes=no:such",
    VERIFY,
]
_FORWARDED = ["198.51.100.7", "203.0.113.9, 10.0.0.9", "2001:db8::1", "10.0.0.1", "nonsense", "", "a, ", "1.2.3.4%a"]
_OF_PROXIES = [
    "X-Keywright-Require: scopes=no:such",
    "X-Keywright-Require: environment=live",
    "X-Keywright-Verifier: x",
    "X_API_Key: x",
    "X-API-Key:",
    "X-API-Key: a, b",
    "X-Forwarded-For: 10.0.0.2",
    "X-Forwarded-Proto: https",
    "User-Agent: other",
    "User-Agent: (",
    "Content-Length: 0",
    "Content-Length: 3",
    *_OTHERS,
]


class ProxyRequests(Requests):
    """Makes the questions of a proxy; *keys* and *credentials* are as for `Requests`."""

    def plain_request(self) -> bytes:
        """A question as most proxies ask it, on behalf of one client or another."""
        chance = self._chance
        key = chance.choice(self._keys)
        lines = [
            f"GET {chance.choice(_QUESTIONS[:33])} HTTP/1.1",
            "Host: localhost",
            f"X-Keywright-Verifier: {self._credentials[0]}",
            f"User-Agent: {chance.choice(['curl/8.1', 'Mozilla/5.0', ''])}",
            f"X-Forwarded-For: {chance.choice(_FORWARDED)}",
            chance.choice([f"Authorization: Bearer {key}", f"X-API-Key: {key}"]),
        ]
        return _cased(lines, chance)

    def request(self) -> bytes:
        """A question of any kind."""
        chance = self._chance
        if chance.random() < 0.4:
            return self.plain_request()
        lines = ["Host: localhost"]
        lines += [f"X-Keywright-Verifier: {chance.choice(self._credentials)}"] * chance.choice([1] * 20 + [0, 2])
        lines += [f"Authorization: {self._authorization()}" for _ in range(chance.choice([1] * 10 + [0, 0, 2]))]
        lines += [f"X-API-Key: {chance.choice(self._keys)}" for _ in range(chance.choice([0] * 4 + [1, 2]))]
        lines += chance.sample(_OF_PROXIES, chance.choice([0] * 5 + [1] * 8 + [2, 3]))
        chance.shuffle(lines)
        method = chance.choice(["GET"] * 20 + ["HEAD", "POST", "get", "PROPFIND"])
        whole = _cased([f"{method} {chance.choice(_QUESTIONS)} {chance.choice(_VERSIONS)}", *lines], chance)
        if chance.random() < 0.03:
            place = chance.randrange(len(whole))
            whole = whole[:place] + chance.randbytes(chance.randint(0, 2)) + whole[place + chance.randint(0, 2) :]
        return whole

    def _authorization(self) -> str:
        usual = f"Bearer {self._chance.choice(self._keys)}"
        return self._chance.choice([usual] * 20 + [usual.lower(), f"{usual} ", "Basic YTpi", "Bearer"])


def _at_the_head(request: bytes) -> list[bytes]:
    head, end, body = request.partition(b"\r\n\r\n")
    return [part for part in (head + end, body) if part]


def _cased(lines: list[str], chance: Random) -> bytes:
    """Write a head, its names in any case."""
    change = chance.choice([str, str, str, str.lower, str.upper])
    named = [line.partition(":") for line in lines[1:]]
    fields = [change(name) + colon + value for name, colon, value in named]
    return "\r\n".join([lines[0], *fields, "", ""]).encode("latin-1", "replace")
