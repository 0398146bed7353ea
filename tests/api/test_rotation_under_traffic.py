"""Rotation under constant traffic with both secrets, over HTTP and inside an API server: no good secret is refused."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from keywright import client
from keywright.keys.cache import BOUND_SECONDS
from tests.api.caller import KEYS, Caller
from tests.api.verifier import Verifier

OVERLAP_SECONDS = 3
ENOUGH = 20

Check = Callable[[str], str]


class Seen(NamedTuple):
    """One verification: when it began and ended, in seconds since the epoch, and its verdict."""

    began: float
    ended: float
    code: str


@dataclass
class Traffic:
    """Verifies keys without a pause, each in every way there is, until it is over."""

    checks: list[Check]
    seen: dict[str, list[list[Seen]]] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))
    futures: list["Future[None]"] = field(default_factory=list)

    def begin(self, key: str) -> None:
        """Begin to verify a key, too."""
        self.seen[key] = [[] for _ in self.checks]
        for check, seen in zip(self.checks, self.seen[key], strict=True):
            self.futures.append(self.pool.submit(self._go_on, check, key, seen))

    def wait_for_more(self, key: str) -> None:
        """Return when every way has verified a key some more times."""
        wanted = [len(seen) + ENOUGH for seen in self.seen[key]]
        while any(len(seen) < most for seen, most in zip(self.seen[key], wanted, strict=True)):
            assert not any(future.done() for future in self.futures), [f for f in self.futures if f.done()]
            time.sleep(0.01)

    def all_of(self, key: str) -> list[Seen]:
        """Give every verification of a key."""
        return [each for seen in self.seen[key] for each in seen]

    def _go_on(self, check: Check, key: str, seen: list[Seen]) -> None:
        while not self.over.is_set():
            began = time.time()
            code = check(key)
            seen.append(Seen(began, time.time(), code))

    @contextmanager
    def running(self) -> Iterator["Traffic"]:
        """Have it over at the end; whatever a verification raised is raised then."""
        try:
            yield self
        finally:
            self.over.set()
            self.pool.shutdown()
        for future in self.futures:
            future.result()


@pytest.fixture
def traffic(verifier: Verifier, credential: str) -> Iterator[Traffic]:
    """Traffic over HTTP, and inside an API server."""
    with client.Verifier(verifier.service.base_url, credential) as inside:
        checks: list[Check] = [verifier.code, lambda key: inside.verify(key).code.value]
        with Traffic(checks).running() as traffic:
            yield traffic


def rotated(caller: Caller, created: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Rotate a key and give the answer."""
    response = caller.http.post(f"{KEYS}/{created['id']}/rotate", json={"overlap_seconds": seconds})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def held(traffic: Traffic, old: str, new: str, retired: float, told: float) -> None:
    """
    Hold what was seen to the promise.

    Args:
        traffic: What was seen, all of it.
        old: The secret that was replaced, used since before the rotation.
        new: The one that replaced it, used since the rotation was acknowledged.
        retired: Until when the old one works.
        told: From when on everybody may be expected to know that.
    """
    assert {each.code for each in traffic.all_of(new)} == {"valid"}
    assert {each.code for each in traffic.all_of(old) if each.ended < retired} == {"valid"}
    assert {each.code for each in traffic.all_of(old) if each.began > told + BOUND_SECONDS} == {"replaced"}


def test_the_overlap_ends(caller: Caller, traffic: Traffic) -> None:
    """Neither secret is refused before the old one retires, and the old one never passes later than the bound after."""
    created = caller.create()
    old = created["private_key"]
    traffic.begin(old)
    traffic.wait_for_more(old)
    answer = rotated(caller, created, OVERLAP_SECONDS)
    traffic.begin(answer["private_key"])
    retires = datetime.fromisoformat(answer["secrets"][1]["retires_at"]).timestamp()
    while time.time() < retires + BOUND_SECONDS:
        time.sleep(0.05)
    traffic.wait_for_more(old)
    traffic.over.set()
    held(traffic, old, answer["private_key"], retires, retires)


def test_the_old_secret_is_ended(caller: Caller, traffic: Traffic) -> None:
    """The old secret passes until its end is asked for, and never later than the bound after that was acknowledged."""
    created = caller.create()
    old = created["private_key"]
    traffic.begin(old)
    answer = rotated(caller, created, 3600)
    traffic.begin(answer["private_key"])
    traffic.wait_for_more(answer["private_key"])
    asked = time.time()
    response = caller.http.put(f"{KEYS}/{created['id']}/rotation", json={"overlap_seconds": 0})
    acknowledged = time.time()
    assert response.status_code == 200
    while time.time() < acknowledged + BOUND_SECONDS:
        time.sleep(0.05)
    traffic.wait_for_more(old)
    traffic.over.set()
    held(traffic, old, answer["private_key"], asked, acknowledged)
