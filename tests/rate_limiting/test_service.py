"""Rate limits as a product has them: over HTTP, with several services, with and without their Redis."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from keywright.dev.issuer import DevIssuer
from tests.live import PATIENCE_SECONDS, LiveService, bearer, environment, start_service
from tests.redis_server import RedisServer

TEN_A_MONTH = {"name": "month", "limit": 10, "window_seconds": 31 * 86_400}


def create(service: LiveService, issuer: DevIssuer, limits: Sequence[Mapping[str, Any]] = (TEN_A_MONTH,)) -> str:
    """Create a key with limits, and give its private key."""
    body = {"name": "limited", "rate_limits": list(limits)}
    answer = httpx.post(f"{service.base_url}/api/v2/api-keys", json=body, headers=bearer(issuer))
    assert answer.status_code == 201, answer.text
    private_key: str = answer.json()["private_key"]
    return private_key


def verify(service: LiveService, issuer: DevIssuer, key: str) -> httpx.Response:
    return httpx.post(
        f"{service.base_url}/api/v2/api-keys/verify",
        json={"key": key},
        headers=bearer(issuer, permissions=["verify:api_keys"]),
    )


def await_recovery(service: LiveService, issuer: DevIssuer, key: str) -> None:
    """Ask until the key is let through."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not verify(service, issuer, key).json().get("valid"):
        assert time.monotonic() < deadline, "Redis was not found again"


def uncounted(service: LiveService) -> float:
    assert service.metrics_url is not None
    lines = httpx.get(service.metrics_url).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("keywright_limits_uncounted_total"))


def two_services(issuer: DevIssuer, folder: Path, **settings: str) -> tuple[LiveService, LiveService]:
    """Start two services on one database."""
    env = environment(issuer, database_url=f"sqlite:///{folder}/keywright.db", **settings)
    return start_service(env), start_service(env)


def test_services_count_together(issuer: DevIssuer, own_redis: RedisServer, tmp_path: Path) -> None:
    """
    Two services on one Redis let through what the limit says, together.

    Without Redis they go on from where they were, and say so in a metric; when it is back they count together again.
    """
    one, other = two_services(issuer, tmp_path, redis_url=own_redis.url)
    with one, other:
        key = create(one, issuer)
        answers: list[Any] = [verify(service, issuer, key).json() for _ in range(6) for service in (one, other)]
        assert [answer["code"] for answer in answers] == ["valid"] * 10 + ["rate_limited"] * 2
        assert [answer["rate_limits"][0]["remaining"] for answer in answers] == [*range(9, -1, -1), 0, 0]
        assert (uncounted(one), uncounted(other)) == (0, 0)
        own_redis.kill()
        assert {verify(service, issuer, key).json()["code"] for service in (one, other)} == {"rate_limited"}
        assert (uncounted(one), uncounted(other)) == (1, 1)
        own_redis.start()
        # It came back empty, so that a key that is refused by whoever counts alone is valid again.
        for service in (one, other):
            await_recovery(service, issuer, key)
        answers = [verify(service, issuer, key).json() for _ in range(5) for service in (one, other)]
        assert [answer["code"] for answer in answers] == ["valid"] * 8 + ["rate_limited"] * 2


def test_refusing(issuer: DevIssuer, own_redis: RedisServer, tmp_path: Path) -> None:
    """With `refuse`, keys with limits are 503 while Redis is unavailable, and keys without go on."""
    url = f"sqlite:///{tmp_path}/keywright.db"
    env = environment(issuer, database_url=url, redis_url=own_redis.url, limits_on_outage="refuse")
    with start_service(env) as service:
        limited, unlimited = create(service, issuer), create(service, issuer, limits=[])
        own_redis.kill()
        refused = verify(service, issuer, limited)
        assert (refused.status_code, refused.json()["code"]) == (503, "limits_unavailable")
        assert refused.headers["Retry-After"] == "1"
        assert verify(service, issuer, unlimited).json()["valid"]
        own_redis.start()
        await_recovery(service, issuer, limited)


def test_the_service_with_redis(issuer: DevIssuer, redis_server: RedisServer) -> None:
    """The service connects before it takes requests, and lets go of Redis when it ends."""
    with start_service(environment(issuer, redis_url=f"{redis_server.url}/7")) as service:
        service.await_log_line(event="limits of keys are counted in Redis")
        assert "db=7" in redis_server.execute("CLIENT", "LIST").decode()
        assert service.stop() == 0
        assert "db=7" not in redis_server.execute("CLIENT", "LIST").decode()


def test_the_service_without_its_redis(issuer: DevIssuer, own_redis: RedisServer) -> None:
    """The service starts without Redis, is ready, logs that once, and connects once Redis is there."""
    own_redis.kill()
    with start_service(environment(issuer, redis_url=own_redis.url)) as service:
        service.await_ready()
        service.await_log_line(level="warning", logger="keywright.rate_limiting.shared")
        own_redis.start()
        service.await_log_line(event="limits of keys are counted in Redis")
        warned = [line for line in service.log() if line["logger"] == "keywright.rate_limiting.shared"]
        assert [line["level"] for line in warned] == ["warning", "info"]
