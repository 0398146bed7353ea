"""Creations that may be repeated: the service is killed in the middle of them, and then everything is asked again."""

import random
import threading
from collections import Counter
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS
from tests.conftest import database_url
from tests.live import LiveService, bearer, environment, start_service
from tests.test_crash import listed, torn

KILLS = 3
CREATORS = 6

Answers = dict[str, bytes | None]
"""What was answered, by idempotency key; None where nothing was."""


def create(http: httpx.Client, key: str) -> bytes | None:
    """Ask for a key; give the body of the answer, or None when there was none."""
    try:
        response = http.post(KEYS, json={"name": key}, headers={"Idempotency-Key": key})
    except httpx.TransportError:
        return None
    assert response.status_code in (201, 503), response.text
    return response.content if response.status_code == 201 else None


def create_until_killed(service: LiveService, headers: dict[str, str], enough: int) -> Answers:
    """Create keys from several clients at once, each under a key of its own, and kill the service after *enough*."""
    answers: Answers = {}
    reached = threading.Event()

    def create_many() -> None:
        with httpx.Client(base_url=service.base_url, headers=headers, trust_env=False, timeout=20) as http:
            answer: bytes | None = b""
            while answer is not None:
                key = str(uuid4())
                # Known before it is sent, as a client has to.
                answers[key] = None
                answers[key] = answer = create(http, key)
                if len(answers) >= enough:
                    reached.set()

    creators = [threading.Thread(target=create_many) for _ in range(CREATORS)]
    for creator in creators:
        creator.start()
    reached.wait(30)
    service.kill()
    for creator in creators:
        creator.join()
    return answers


@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_kill_and_ask_again(store: str, issuer: DevIssuer, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """After kills every request that is repeated has one key, and the bytes that were answered are answered again."""
    url = database_url(store, tmp_path, request)
    settings = environment(issuer, database_url=url, metrics="off", log_level="warning")
    headers = bearer(issuer, "org_repeated")
    moments = random.Random(20261125)
    answers: Answers = {}
    for _ in range(KILLS):
        answers |= create_until_killed(start_service(settings), headers, moments.randint(5, 40))
    with (
        start_service(settings) as service,
        httpx.Client(base_url=service.base_url, headers=headers, trust_env=False, timeout=20) as http,
    ):
        done_before = listed(service, headers)
        again = {key: create(http, key) for key in answers}
        found = listed(service, headers)
    assert None in answers.values(), "no kill came in between a request and its answer"
    assert {key for key, body in answers.items() if body is not None and body != again[key]} == set()
    # Each was done exactly once, whether before a kill or now.
    assert Counter(key["name"] for key in found.values()) == Counter(list(answers))
    assert set(done_before) <= set(found)
    assert set(torn(url).values()) == {0}, torn(url)
