"""Rate limits of keys that agents and the service count together in Redis."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.caller import Caller
from tests.api.verifier import Verifier, create_verifier
from tests.live import agent_environment, environment, start_agent, start_service
from tests.redis_server import RedisServer
from tests.waiting import eventually

LIMIT = 30
AN_HOUR = {"name": "hourly", "limit": LIMIT, "window_seconds": 3600}
Three = tuple[Caller, list[Verifier]]


@pytest.fixture
def three(issuer: DevIssuer, own_redis: RedisServer) -> Iterator[Three]:
    """A caller, and an API server each at the service and at two agents, all with one Redis."""
    with ExitStack() as held:
        service = held.enter_context(start_service(environment(issuer, redis_url=own_redis.url)))
        credential = create_verifier(service, "agents")
        env = agent_environment(service, credential, redis_url=own_redis.url)
        agents = [held.enter_context(start_agent(env)) for _ in range(2)]
        for agent in agents:
            agent.await_ready()
        verifiers = [held.enter_context(Verifier(live, f"Bearer {credential}")) for live in (service, *agents)]
        yield held.enter_context(Caller(service, issuer)), verifiers


def test_one_limit_for_all(three: Three, own_redis: RedisServer) -> None:
    """
    A key has its limit once, however its requests are spread over the service and its agents.

    Without Redis, as with `KEYWRIGHT_LIMITS_ON_OUTAGE=local`, each process counts alone and none refuses for that.
    """
    caller, verifiers = three
    key = caller.create(name="shared", rate_limits=[AN_HOUR])["private_key"]
    codes = Counter(verifier.code(key) for _ in range(LIMIT) for verifier in verifiers)
    assert codes == {"valid": LIMIT, "rate_limited": 2 * LIMIT}
    own_redis.kill()
    alone = caller.create(name="alone", rate_limits=[AN_HOUR])["private_key"]
    for verifier in verifiers:
        eventually(lambda verifier=verifier: verifier.code(alone) == "valid")  # type: ignore[misc]
