"""One fetch of the key set: its requests, and the answers that are accepted or refused."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from keywright.auth.key_source import MAX_BODY_BYTES, FetchFailed, KeySource, is_on_this_machine, read_key_set
from tests.auth.fakes import DISCOVERY, KEY_SET, FakeProvider
from tests.auth.issuer import ISSUER, Issuer
from tests.listening import Serve, serving


async def fetch(provider: FakeProvider, issuer: str = ISSUER) -> list[str]:
    source = KeySource(issuer, transport=provider.transport, deadline=5)
    try:
        return sorted(await source.fetch())
    finally:
        await source.close()


async def failure_of(provider: FakeProvider, issuer: str = ISSUER) -> str:
    with pytest.raises(FetchFailed) as failed:
        await fetch(provider, issuer)
    return failed.value.code


def answering(status: int = 200, **parts: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(status, **parts)


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


async def test_by_discovery(provider: FakeProvider) -> None:
    """The keys are those at the address that the discovery document gives; two requests in all."""
    provider.discover({"issuer": ISSUER, "jwks_uri": "https://keys.example/set"})
    provider.answers["/set"] = provider.answers.pop(KEY_SET)
    assert await fetch(provider) == ["key-1"]
    assert [str(request.url) for request in provider.requests] == [
        "https://acme.eu.auth0.com/.well-known/openid-configuration",
        "https://keys.example/set",
    ]


@pytest.mark.parametrize("address", ["https://login.example/realms/acme", "https://login.example/realms/acme/"])
async def test_issuer_with_a_path(provider: FakeProvider, address: str) -> None:
    """The documents stand below the issuer's address, whether it ends in a slash or not."""
    provider.answers = {"/realms/acme" + path: answer for path, answer in provider.answers.items()}
    provider.answers["/realms/acme" + DISCOVERY] = answering(404)
    assert await fetch(provider, address) == ["key-1"]


@pytest.mark.parametrize(
    "answer",
    [
        answering(404),
        answering(301, headers={"Location": "https://evil.example/"}),
        answering(500),
        answering(200, content=b"<html>"),
        answering(200, content=b"{}"),
        answering(200, content=b'{"jwks_uri":"https://a.example/","jwks_uri":"https://b.example/"}'),
    ],
)
async def test_no_discovery_document(provider: FakeProvider, answer: Callable[[httpx.Request], httpx.Response]) -> None:
    """An issuer without a discovery document has its keys at the usual address, and no other is requested."""
    provider.answers[DISCOVERY] = answer
    assert await fetch(provider) == ["key-1"]
    assert {request.url.host for request in provider.requests} == {"acme.eu.auth0.com"}
    assert len(provider.requests) == 2


@pytest.mark.parametrize("name", ["https://acme.eu.auth0.com", "https://ACME.eu.auth0.com/", "", None, [ISSUER]])
async def test_discovery_document_of_another_issuer(provider: FakeProvider, name: Any) -> None:
    """A document that names another issuer, by as much as a slash, is not used."""
    provider.discover({"issuer": name, "jwks_uri": f"{ISSUER}.well-known/jwks.json"})
    assert await failure_of(provider) == "issuer"
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://acme.eu.auth0.com/.well-known/jwks.json",
        "http://127.0.0.1/jwks.json",
        "http://localhost/jwks.json",
        "file:///etc/passwd",
        "ftp://acme.eu.auth0.com/jwks.json",
        "//acme.eu.auth0.com/jwks.json",
        "/.well-known/jwks.json",
        "https://user:password@acme.eu.auth0.com/jwks.json",
        "https://",
        "https://[::1",
        "https://a.example:99999/",
        "",
        7,
        None,
        ["https://acme.eu.auth0.com/jwks.json"],
    ],
)
async def test_address_of_keys_that_is_not_asked(provider: FakeProvider, address: Any) -> None:
    """Keys are fetched by https only, and never from loopback for an issuer elsewhere."""
    provider.discover({"issuer": ISSUER, "jwks_uri": address})
    assert await failure_of(provider) == "jwks_uri"
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://acme.eu.auth0.com/",
        "http://10.0.0.1/",
        "http://localhost.evil.example/",
        "ftp://localhost/",
        "x",
        "",
        "//",
    ],
)
def test_issuer_that_may_not_be_asked(address: str) -> None:
    """An issuer that is neither https nor on this machine cannot be configured."""
    with pytest.raises(ValueError, match="https"):
        KeySource(address, transport=None, deadline=5)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://localhost:8080/", True),
        ("http://LOCALHOST/", True),
        ("http://127.0.0.1/", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]:1/", True),
        ("http://0.0.0.0/", False),
        ("http://127.0.0.1.example/", False),
        ("http://localhost@example.com/", False),
        ("http://[::1", False),
    ],
)
def test_loopback(address: str, expected: bool) -> None:
    """This machine is `localhost`, 127.0.0.0/8 and ::1, and nothing that only looks like it."""
    assert is_on_this_machine(address) is expected


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (answering(404), "status"),
        (answering(301, headers={"Location": "https://acme.eu.auth0.com/keys"}), "status"),
        (answering(307, headers={"Location": "https://evil.example/keys"}), "status"),
        (answering(500, content=key_set()), "status"),
        (answering(204), "status"),
        (answering(200, content=b""), "not_json"),
        (answering(200, content=b"<html>"), "not_json"),
        (answering(200, content=b"[]"), "not_json"),
        (answering(200, content=b'{"keys":{}}'), "not_json"),
        (answering(200, content=b'{"keys":[],"keys":[]}'), "not_json"),
        (answering(200, content=b'\xef\xbb\xbf{"keys":[]}'), "not_json"),
        (answering(200, content=b'{"keys":[' + b"[" * 100_000), "not_json"),
        (answering(200, content=b'{"keys":[{"kid":NaN}]}'), "not_json"),
        (answering(200, content=b" " * (MAX_BODY_BYTES + 1)), "too_large"),
        (answering(200, content=key_set()), "no_usable_key"),
        (answering(200, content=key_set(*[{}] * 33)), "too_many_keys"),
        (answering(200, content=gzip.compress(key_set()), headers={"Content-Encoding": "gzip"}), "encoding"),
    ],
)
async def test_answer_that_is_no_key_set(
    provider: FakeProvider, answer: Callable[[httpx.Request], httpx.Response], code: str
) -> None:
    """A redirect, an error, too much, or anything but a strict key set is a failed fetch with a code."""
    provider.answers[KEY_SET] = answer
    assert await failure_of(provider) == code
    assert len(provider.requests) == 2


async def test_unreachable(provider: FakeProvider) -> None:
    """A provider that cannot be reached is a failed fetch, after one request."""
    provider.fail()
    assert await failure_of(provider) == "network"
    assert len(provider.requests) == 1


def test_keys_that_are_not_for_us(issuer: Issuer) -> None:
    """Keys of other kinds and uses, and members that are no keys, are passed over."""
    others: list[Any] = [
        {"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "oct", "kid": "secret", "k": "AA"},
        issuer.jwk(kid="enc", use="enc"),
        issuer.jwk(kid="oaep", alg="RSA-OAEP"),
        issuer.jwk(kid="small", n="AQAB"),
        issuer.jwk(kid=None),
        issuer.jwk(kid=7),
        issuer.jwk(kid="k" * 129),
        issuer.jwk(kid=""),
        None,
        "key",
        [],
    ]
    assert list(read_key_set(key_set(*others, issuer.jwk()))) == ["key-1"]


def test_weak_key() -> None:
    """A key of 1024 bits is not used."""
    with pytest.raises(FetchFailed, match="no_usable_key"):
        read_key_set(key_set(Issuer("key-1", bits=1024).jwk()))


@pytest.mark.parametrize("other", [{}, {"use": "enc"}, {"kty": "EC"}, {"n": "AQAB"}])
def test_kid_that_appears_twice(issuer: Issuer, other_issuer: Issuer, other: dict[str, Any]) -> None:
    """A name of two keys is a name of none, in either order and whatever the second key is."""
    twins = [issuer.jwk(), other_issuer.jwk(**other)]
    alone = issuer.jwk(kid="key-2")
    assert list(read_key_set(key_set(*twins, alone))) == ["key-2"]
    assert list(read_key_set(key_set(*reversed(twins), alone))) == ["key-2"]


def test_as_many_keys_as_allowed(issuer: Issuer) -> None:
    """A set of 32 keys is read."""
    assert len(read_key_set(key_set(*(issuer.jwk(kid=f"key-{n}") for n in range(32))))) == 32


# From here on: real connections.


@asynccontextmanager
async def http_server(serve: Serve) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass

    async with serving(handle) as port:
        yield f"http://127.0.0.1:{port}/"


def responding(head: str, body: bytes = b"") -> Serve:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return serve


async def real_failure(serve: Serve, deadline: float = 5) -> str:
    async with http_server(serve) as issuer:
        source = KeySource(issuer, transport=None, deadline=deadline)
        try:
            with pytest.raises(FetchFailed) as failed:
                await source.fetch()
        finally:
            await source.close()
    return failed.value.code


async def test_real_server(issuer: Issuer) -> None:
    """Over a real connection the keys of an issuer on this machine are fetched, by plain http."""
    async with http_server(responding("HTTP/1.1 200 OK\nConnection: close", key_set(issuer.jwk()))) as address:
        source = KeySource(address, transport=None, deadline=5)
        assert list(await source.fetch()) == ["key-1"]
        await source.close()


async def test_proxy_of_the_environment_is_not_for_this_machine(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An issuer on loopback is requested directly, although the environment has a proxy."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    await test_real_server(issuer)


async def test_real_redirect(issuer: Issuer) -> None:
    """A redirect is not followed, not even to an address that has the keys."""
    async with http_server(responding("HTTP/1.1 200 OK\nConnection: close", key_set(issuer.jwk()))) as address:
        serve = responding(f"HTTP/1.1 302 Found\nLocation: {address}\nContent-Length: 0\nConnection: close")
        assert await real_failure(serve) == "status"


async def test_real_endless_body() -> None:
    """A body without end is given up after its first megabyte."""
    sent = 0

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()
            sent += 65536

    assert await real_failure(serve) == "too_large"
    assert sent < 20 * MAX_BODY_BYTES


async def test_real_slow_body() -> None:
    """A body that comes drop by drop is given up at the deadline, though every drop is in time."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    assert await real_failure(serve, deadline=0.3) == "timeout"


async def test_real_silence() -> None:
    """A server that does not answer is given up at the deadline."""

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    assert await real_failure(serve, deadline=0.2) == "timeout"


@pytest.mark.parametrize(
    "serve",
    [
        responding("ICY 200 OK"),
        responding("\x00\x01\x02"),
        responding("HTTP/1.1 200 OK\nContent-Length: 100", b"short"),
        responding("HTTP/1.1 200 OK\nContent-Length: x", b""),
        responding("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"zz\r\n"),
        responding("HTTP/1.1 200 OK\nX: " + "x" * 1_000_000, b""),
        responding("HTTP/1.1 200 OK\nContent-Encoding: gzip\nConnection: close", b"not gzip"),
    ],
)
async def test_real_broken_answer(serve: Serve) -> None:
    """What is not HTTP, or breaks off, is a failed fetch and nothing worse."""
    assert await real_failure(serve) in {"network", "encoding"}


async def test_real_nobody_there() -> None:
    """An address without a server is a failed fetch."""
    async with http_server(responding("HTTP/1.1 200 OK")) as address:
        pass
    source = KeySource(address, transport=None, deadline=5)
    with pytest.raises(FetchFailed, match="network"):
        await source.fetch()
    await source.close()
