"""The wiring: builds the application from the settings, and starts and stops its parts."""

import os
import secrets
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Lifespan

from keywright import __version__, config, telemetry
from keywright.api.feed import FeedParts, FeedRoutes
from keywright.api.health import HealthRoutes, MetricsRoutes
from keywright.api.http.access_log import AccessLog
from keywright.api.http.routing import Routes, Trust
from keywright.api.keys.events import EventRoutes
from keywright.api.keys.options import OptionsRoutes
from keywright.api.keys.rotation import RotationRoutes
from keywright.api.keys.routes import KeyRoutes
from keywright.api.keys.usage import ReceiptRoutes, UsageRoutes
from keywright.api.openapi import DocumentRoute
from keywright.api.verify.callers import Callers
from keywright.api.verify.fast_path import FastPath
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.routes import ServiceApp
from keywright.auth.access_token import AccessTokens, VerifiedTokens
from keywright.auth.jwks import KeySet
from keywright.config import Settings
from keywright.keys.cache import KeyCache
from keywright.keys.usage import UsageBook
from keywright.keys.verdict import Code
from keywright.rate_limiting.engine import RunningLimiter, open_limiter
from keywright.service.background_tasks import KeyTasks, ProcessTasks
from keywright.service.change_follower import ChangeFollower
from keywright.service.checking.ports import Seconds
from keywright.service.checking.verification import Checker, FailureLimit, Verification
from keywright.service.management.commands import Policy
from keywright.service.management.idempotency import Idempotency
from keywright.service.management.management import Management
from keywright.service.management.usage_reports import UsageReports
from keywright.service.organizations import Organizations, TenantAuthenticator
from keywright.service.ports import Authenticator, Clock, Entropy, NewId
from keywright.service.verifier_sessions import Session
from keywright.service.verifiers import VerifierCache, Verifiers
from keywright.storage.engine import RunningStore, open_store
from keywright.system import boot_seconds, new_id, utc_now

CORS_EXPOSED = ("Link", "ETag", "Location", "Retry-After", "Idempotency-Replayed", "X-Request-Id")
CORS_ALLOWED = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-Id")


class SigningKeys(Protocol):
    """The issuer's signing keys, refreshed in the background."""

    async def start(self) -> None:
        """Begin to refresh them in the background; wait for no fetch."""
        ...

    async def close(self) -> None:
        """Stop refreshing them."""
        ...

    def present(self) -> bool:
        """Return whether there are keys to verify tokens with."""
        ...


@dataclass(frozen=True, slots=True)
class Plugs:
    """The parts that reach outside the process. Tests replace these and nothing else."""

    store: RunningStore
    limiter: RunningLimiter
    authenticator: Authenticator
    signing_keys: SigningKeys
    clock: Clock
    entropy: Entropy
    new_id: NewId
    now: Seconds
    monotonic: Seconds


def plugs_of(settings: Settings) -> Plugs:
    """Build the parts that *settings* select; no connection is opened yet."""
    key_set = KeySet(settings.issuer, on_fetch=lambda outcome: telemetry.key_set_fetches.labels(outcome).inc())
    return Plugs(
        store=open_store(settings.database_url.get_secret_value(), on_batch=telemetry.commit_batch.observe),
        limiter=open_limiter(
            None if settings.redis_url is None else settings.redis_url.get_secret_value(),
            monotonic=boot_seconds,
            capacity=settings.cached_keys,
            on_outage=settings.limits_on_outage,
            on_uncounted=telemetry.limits_uncounted.inc,
        ),
        authenticator=AccessTokens(
            issuer=settings.issuer,
            audience=settings.audience,
            key_set=key_set,
            clock=utc_now,
            org_claim=settings.org_claim,
            permissions=settings.permissions,
            org_format=settings.org_claim_format,
            grantable_claim=settings.grantable_scopes_claim,
            verified=VerifiedTokens(),
        ),
        signing_keys=key_set,
        clock=utc_now,
        entropy=secrets.token_bytes,
        new_id=new_id,
        now=time.time,
        monotonic=boot_seconds,
    )


def create_app(settings: Settings, *, change: Callable[[Plugs], Plugs] = lambda plugs: plugs) -> ServiceApp:
    """
    Build the application: verifications are answered first, the other routes come after them.

    Args:
        settings: All settings of the service.
        change: Replaces some of the parts.
    """
    plugs = change(plugs_of(settings))
    tenants = TenantAuthenticator(plugs.authenticator, Organizations(plugs.store))
    plugs = replace(plugs, authenticator=tenants)
    checking = _checking(settings, plugs)
    edge = _edge(settings, plugs, checking)
    return _in_front(edge, settings, checking)


def _edge(settings: Settings, plugs: Plugs, checking: "_CheckingParts") -> ASGIApp:
    """Build all routes but verifications, with the access log and CORS."""
    trust = Trust(authenticator=plugs.authenticator, callers=checking.callers, proxies=settings.proxy_networks)
    edge: ASGIApp = Routes(_groups(settings, plugs, checking), trust, lifespan=_lifespan(plugs, checking.background))
    if settings.cors_origins:
        edge = CORSMiddleware(
            edge,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=CORS_ALLOWED,
            expose_headers=CORS_EXPOSED,
            max_age=600,
        )
    return AccessLog(edge)


def _groups(settings: Settings, plugs: Plugs, checking: "_CheckingParts") -> list[object]:
    """Build the classes that have the operations."""
    management = _management(settings, plugs)
    usage = UsageReports(plugs.store, plugs.clock)
    documented = [
        KeyRoutes(management, usage),
        RotationRoutes(management),
        ReceiptRoutes(management),
        UsageRoutes(usage),
        EventRoutes(management),
        OptionsRoutes(management),
    ]
    follower = checking.feed.follower
    health = HealthRoutes(
        plugs.store,
        signing_keys_present=plugs.signing_keys.present,
        changes_followed=lambda: follower.since is not None,
    )
    document = DocumentRoute(documented, version=__version__, environments=settings.environments)
    metrics = [MetricsRoutes()] if settings.metrics == "path" else []
    return [*documented, FeedRoutes(checking.feed), health, document, *metrics]


def _management(settings: Settings, plugs: Plugs) -> Management:
    return Management(
        store=plugs.store,
        clock=plugs.clock,
        entropy=plugs.entropy,
        new_id=plugs.new_id,
        brand=settings.key_brand,
        policy=_policy(settings),
        idempotency=Idempotency(plugs.store, clock=plugs.clock, entropy=plugs.entropy),
    )


def _policy(settings: Settings) -> Policy:
    return Policy(
        environments=settings.environments,
        max_life=None if settings.max_life_days is None else timedelta(days=settings.max_life_days),
        expiry_required=settings.require_expiry,
        max_active=settings.max_active_keys,
        scopes=settings.scopes,
    )


@dataclass(frozen=True, slots=True)
class _CheckingParts:
    """The parts of verification: the checkers, the change feed, and the background tasks."""

    checker: Checker
    callers: Callers
    feed: FeedParts
    background: tuple[ChangeFollower, ProcessTasks, KeyTasks]


def _checking(settings: Settings, plugs: Plugs) -> _CheckingParts:
    cache, verifier_cache = KeyCache(settings.cached_keys), VerifierCache(10_000)
    follower = ChangeFollower(plugs.store, [cache, verifier_cache], monotonic=plugs.monotonic)
    usage = UsageBook()
    verifiers = Verifiers(
        store=plugs.store,
        cache=verifier_cache,
        clock=plugs.clock,
        monotonic=plugs.monotonic,
        entropy=plugs.entropy,
        new_id=plugs.new_id,
        brand=settings.key_brand,
        outage_seconds=settings.outage_seconds,
    )
    callers = Callers(verifiers, plugs.authenticator, brand=settings.key_brand)
    verification = Verification(
        plugs.store,
        cache,
        brand=settings.key_brand,
        now=plugs.now,
        monotonic=plugs.monotonic,
        outage_seconds=settings.outage_seconds,
    )
    return _CheckingParts(
        Checker(
            verification=verification,
            usage=usage,
            failures=FailureLimit(),
            limiter=plugs.limiter,
            counters={code: telemetry.verdicts.labels(code.value).inc for code in Code},
            now=plugs.now,
            monotonic=plugs.monotonic,
        ),
        callers,
        FeedParts(
            store=plugs.store,
            follower=follower,
            clock=plugs.clock,
            monotonic=plugs.monotonic,
        ),
        (follower, _process_tasks(settings, plugs, follower, usage), _key_tasks(plugs)),
    )


def _in_front(app: ASGIApp, settings: Settings, parts: _CheckingParts) -> ServiceApp:
    """Put the ways to check keys in front of *app*."""
    forward_auth = None
    if settings.forward_auth != "off":
        forward_auth = ForwardAuth(
            parts.checker, parts.callers.verifiers, who=settings.forward_auth, trusted=settings.proxy_networks
        )
    fast_path = None
    if settings.fast_path == "on":
        fast_path = FastPath(parts.checker, parts.callers, forward_auth)
    return ServiceApp(app, parts.checker, parts.callers, forward_auth=forward_auth, fast_path=fast_path)


def _process_tasks(settings: Settings, plugs: Plugs, follower: ChangeFollower, usage: UsageBook) -> ProcessTasks:
    session = Session(
        id=uuid.uuid4(),
        verifier_id=None,
        name=f"{socket.gethostname()}:{os.getpid()}",
        outage_seconds=settings.outage_seconds,
    )
    return ProcessTasks(
        store=plugs.store,
        follower=follower,
        usage=usage,
        session=session,
        epoch_seconds=plugs.now,
        monotonic=plugs.monotonic,
    )


def _key_tasks(plugs: Plugs) -> KeyTasks:
    return KeyTasks(store=plugs.store, clock=plugs.clock, new_id=plugs.new_id)


def from_environment() -> ServiceApp:
    """Build the application of a worker process; uvicorn calls this once in each."""
    settings = config.load()
    telemetry.configure_logging(settings.log_level, as_json=True)
    return create_app(settings)


def _lifespan(plugs: Plugs, background: tuple[ChangeFollower, ProcessTasks, KeyTasks]) -> Lifespan[Any]:
    @asynccontextmanager
    async def running(_app: object) -> AsyncIterator[None]:
        await plugs.signing_keys.start()
        await plugs.limiter.start()
        await plugs.store.start()
        _, process_tasks, key_tasks = background
        # These start the change follower, too.
        process_tasks.start()
        key_tasks.start()
        try:
            yield
        finally:
            # In reverse order: the tasks write what is left before the store closes.
            for work in reversed(background):
                await work.close()
            await plugs.signing_keys.close()
            await plugs.limiter.close()
            await plugs.store.close()

    return running
