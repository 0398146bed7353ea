"""A stranger opens connections and sends nothing, or an organization reads none of its answers: others are served."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from keywright.api.http.connections import MOST_UNREAD_BYTES, SURPLUS
from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS, Caller
from tests.api.raw import Connection, head, resident
from tests.api.verifier import Verifier, create_verifier
from tests.live import LiveService, environment, start_service

SLOW_READERS = 150
MEBIBYTE = 1024 * 1024
# What the system keeps of one connection is none of the process's memory.
EACH_BYTES = 64 * 1024
MOST = 16


def opened(service: LiveService, patience: float = 60) -> socket.socket:
    """A connection whose client has next to no buffer of its own."""
    url = urlsplit(service.base_url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.settimeout(patience)
    connection.connect((url.hostname, url.port))
    return connection


@pytest.fixture
def attacker(caller: Caller) -> Caller:
    """An organization whose list of keys is a megabyte long."""
    for _ in range(130):
        caller.create(metadata={"note": "x" * 8000})
    assert len(caller.http.get(f"{KEYS}?limit=130").content) > MEBIBYTE
    return caller


def test_slow_readers(attacker: Caller, verifier: Verifier) -> None:
    """
    Clients that read nothing of a megabyte cost a process no more than its bound, however many there are; meanwhile
    another organization gets every answer, a large one of its own included.
    """
    request = head(
        "Connection: close", method="GET", path=f"{KEYS}?limit=130", token=attacker.http.headers["Authorization"]
    )
    with attacker.another() as victim, ExitStack() as slow:
        key = victim.create()
        before = resident(attacker.service)
        for number in range(SLOW_READERS):
            connection = slow.enter_context(opened(attacker.service))
            connection.sendall(request)
            # The first bytes of the answer are there: it was made, and most of it waits.
            assert connection.recv(1) == b"H"
            if number % 10 == 0:
                assert victim.http.get(f"{KEYS}/{key['id']}").status_code == 200
                assert verifier.code(key["private_key"]) == "valid"
        grown = resident(attacker.service) - before
        assert grown < SLOW_READERS * EACH_BYTES + 2 * MOST_UNREAD_BYTES
        assert attacker.http.get(f"{KEYS}?limit=130").status_code == 200


@pytest.fixture
def small(issuer: DevIssuer) -> Iterator[LiveService]:
    """A service with room for few connections."""
    with start_service(environment(issuer, max_connections=str(MOST))) as service:
        service.await_ready()
        yield service


@contextmanager
def flood(service: LiveService, number: int) -> Iterator[list[Connection]]:
    """Connections that send nothing."""
    with ExitStack() as flooding:
        yield [flooding.enter_context(Connection(service.base_url)) for _ in range(number)]


def answer(service: LiveService, path: str) -> httpx.Response:
    return httpx.get(f"{service.base_url}{path}", trust_env=False, timeout=20)


def test_a_flood_of_connections(small: LiveService) -> None:
    """Past the bound a connection gets 503 with its first bytes and is closed; probes are answered all the same."""
    with flood(small, MOST):
        refused = answer(small, KEYS)
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_connections")
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
        for path in ("/livez", "/readyz"):
            probed = answer(small, path)
            assert (probed.status_code, probed.headers["connection"]) == (200, "close")
    # The places of those that hung up are free again.
    while answer(small, KEYS).status_code == 503:
        pass
    assert answer(small, KEYS).status_code == 401


def test_silent_connections_past_the_bound(small: LiveService) -> None:
    """Connections past the bound that send nothing are soon closed, and those past that bound, too, at once."""
    with flood(small, MOST + SURPLUS + 10) as connections:
        refused = connections[-1].read()
        assert refused.status == 503
        assert connections[MOST].read().status == 0
        assert answer(small, "/livez").status_code == 200


def test_the_feed_has_room(small: LiveService) -> None:
    """A verifier's feed opens past the bound, and takes no room of other connections."""
    credential = create_verifier(small, "edge")
    headers = [f"Authorization: Bearer {credential}"]
    path = "/api/v2/verifier/feed?name=a&session=00000000-0000-0000-0000-00000000000"
    with ExitStack() as feeds, flood(small, MOST):
        for number in range(3):
            feed = feeds.enter_context(Connection(small.base_url))
            feed.send(head(*headers, method="GET", path=f"{path}{number}"))
            assert feed.read().status == 200
