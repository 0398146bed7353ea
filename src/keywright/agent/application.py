"""The wiring of an agent: `service.checking` over the keys of a service, behind the routes of `api.verify`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import Lifespan

from keywright import shared_wiring
from keywright.agent.callers import LocalCallers
from keywright.agent.followed import Followed
from keywright.agent.health import Health
from keywright.agent.remote_keys import RemoteKeys
from keywright.agent.session import AgentSession
from keywright.agent.settings import AgentSettings
from keywright.api.http.connections import Connections
from keywright.api.measures import Measures
from keywright.api.verify.fast_path import FastPath
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.routes import ServiceApp
from keywright.client.verifier._calls import USUAL_TIMING, Service, ServiceCalls, process_name
from keywright.keys.usage import MOST_SOURCES, UsageBook
from keywright.rate_limiting.engine import RunningLimiter
from keywright.service.checking.verification import Checker
from keywright.service.turns import Turns
from keywright.system import boot_seconds


@dataclass(frozen=True, slots=True)
class AgentParts:
    """The parts of an agent that start and end."""

    followed: Followed
    keys: RemoteKeys
    session: AgentSession
    limiter: RunningLimiter
    measures: Measures


def create_app(settings: AgentSettings) -> ServiceApp:
    """
    Build the application of an agent.

    Raises:
        KeywrightError: The address or the credential of the service cannot be used.
    """
    service = Service(settings.url, settings.verifier.get_secret_value(), settings.key_brand, settings.allow_http)
    calls = ServiceCalls(service, USUAL_TIMING, None)
    cache, usage = shared_wiring.key_cache(settings), UsageBook(most_records=2 * MOST_SOURCES)
    followed = Followed(cache, usage, monotonic=boot_seconds, wall=time.time)
    keys = RemoteKeys(calls, USUAL_TIMING.answer)
    limiter = shared_wiring.rate_limiter(settings, monotonic=boot_seconds)
    session = AgentSession(
        followed,
        calls,
        USUAL_TIMING,
        name=settings.agent_name or process_name(),
        outage_seconds=settings.outage_seconds,
        heard=keys.heard,
    )
    checker = shared_wiring.checker(
        settings,
        keys,
        cache,
        usage,
        limiter,
        counters=shared_wiring.metric_counters(),
        now=followed.now,
        monotonic=boot_seconds,
        # Each is a request: without a bound they would take the connections of the feed and of reports.
        turns=Turns(boot_seconds, most=8, alone=8, together=8, longest=1024, longest_of_share=1024),
    )
    connections = shared_wiring.connections(settings.max_connections)
    measures = Measures(
        followed_since=lambda: followed.since, keys_age=None, connections=connections, monotonic=boot_seconds
    )
    return _application(settings, checker, connections, AgentParts(followed, keys, session, limiter, measures))


def _application(settings: AgentSettings, checker: Checker, connections: Connections, parts: AgentParts) -> ServiceApp:
    callers = LocalCallers(settings.credential, brand=settings.key_brand, monotonic=boot_seconds)
    forward_auth = None
    if settings.forward_auth == "on":
        forward_auth = ForwardAuth(
            checker,
            callers.verifiers,
            who="open" if callers.anonymous else "verifier",
            trusted=settings.proxy_networks,
            admitted=settings.forward_auth_networks,
        )
    health = Health(
        synced=lambda: parts.followed.since is not None,
        metrics=settings.metrics == "path",
        lifespan=_lifespan(parts),
    )
    return ServiceApp(
        health,
        checker,
        callers,
        forward_auth=forward_auth,
        fast_path=FastPath(checker, callers, forward_auth),
        connections=connections,
    )


def _lifespan(parts: AgentParts) -> Lifespan[Any]:
    @asynccontextmanager
    async def running(_app: object) -> AsyncIterator[None]:
        await parts.limiter.start()
        parts.session.start()
        parts.measures.start()
        try:
            yield
        finally:
            await parts.measures.close()
            await parts.keys.close()
            await parts.session.close()
            await parts.limiter.close()

    return running
