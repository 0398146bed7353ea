"""
Changes beside a load: keys are created, shown once, so that they are cached, and revoked a second later.

They come at fixed times on one connection, from the load's core. The service's CPU time contains them.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

EACH_SECOND = 20
_LEAST_SHARE = 0.5


@contextmanager
def changing(url: str, token: str, credential: str) -> Iterator[None]:
    """
    Create and revoke `EACH_SECOND` keys a second until the block ends.

    Raises:
        RuntimeError: Fewer than half of them could be made in time, or a request was refused.
    """
    over, failures, made = threading.Event(), list[BaseException](), list[str]()

    def change() -> None:
        try:
            _change(url, token, credential, over, made)
        except httpx.HTTPError as error:
            failures.append(error)

    thread = threading.Thread(target=change, daemon=True)
    began = time.perf_counter()
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    wanted = EACH_SECOND * (time.perf_counter() - began)
    if failures or len(made) < _LEAST_SHARE * wanted - EACH_SECOND:
        raise RuntimeError(f"{len(made)} of {wanted:.0f} changes were made: {failures}")


def _change(url: str, token: str, credential: str, over: threading.Event, made: list[str]) -> None:
    as_owner, as_verifier = ({"Authorization": f"Bearer {secret}"} for secret in (token, credential))
    waiting: deque[str] = deque()
    with httpx.Client(base_url=f"{url}/api/v2/api-keys", trust_env=False, timeout=60) as client:
        due = time.perf_counter()
        while not over.wait(max(0.0, due - time.perf_counter())):
            due += 1 / EACH_SECOND
            created = client.post("", headers=as_owner, json={"name": "changed"}).raise_for_status().json()
            shown = {"key": created["private_key"]}
            client.post("/verify", headers=as_verifier, json=shown).raise_for_status()
            made.append(created["id"])
            waiting.append(created["id"])
            if len(waiting) > EACH_SECOND:
                client.put(f"/{waiting.popleft()}/revoke", headers=as_owner).raise_for_status()
