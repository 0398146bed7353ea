"""Puts the plugs in: builds the application out of settings, a store and an authenticator."""

import os
import secrets
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Protocol

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from keywright import __version__, config, telemetry
from keywright.api import changes, events, feed, handlers, health, insight, management, openapi, options, rotation
from keywright.api.accelerator import Accelerator
from keywright.api.callers import Callers
from keywright.api.checking import Checking
from keywright.api.edge import Observed, Reached, Shielded
from keywright.api.feed import FeedParts
from keywright.api.forward_auth import ForwardAuth
from keywright.api.operations import Operations
from keywright.auth.access_token import AccessTokens
from keywright.auth.jwks import KeySet
from keywright.auth.verified_tokens import VerifiedTokens
from keywright.config import Settings
from keywright.keys.known import KnownKeys
from keywright.keys.usage import UsageBook
from keywright.keys.verdict import Code
from keywright.limits.engine import RunningLimiter, open_limiter
from keywright.machine import boot_seconds, new_id, utc_now
from keywright.service.checking_ports import Session
from keywright.service.duties import Duties
from keywright.service.following import Following
from keywright.service.lifecycle import Lifecycle
from keywright.service.limits import Seconds
from keywright.service.management import Management
from keywright.service.policy import Policy
from keywright.service.ports import Authenticator, Clock, Entropy, NewId
from keywright.service.presence import Presence
from keywright.service.replays import Replays
from keywright.service.verification import Checker, FailureLimit, Verification
from keywright.service.verifiers import KnownVerifiers, Verifiers
from keywright.storage.engine import RunningStore, open_store

CORS_EXPOSED = ("Link", "ETag", "Location", "Retry-After", "Idempotency-Replayed", "X-Request-Id")
CORS_ALLOWED = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-Id")

_log = structlog.stdlib.get_logger("keywright")


class SigningKeys(Protocol):
    """The issuer's keys, followed in the background."""

    async def start(self) -> None:
        """Begin to follow them, without waiting."""
        ...

    async def close(self) -> None:
        """Stop following them."""
        ...

    def present(self) -> bool:
        """Tell whether tokens can be checked."""
        ...


@dataclass(frozen=True, slots=True)
class Plugs:
    """The parts with an outside; tests and production differ in nothing else."""

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
    """Choose the parts that *settings* name. Nothing is opened yet."""
    key_set = KeySet(settings.issuer, on_fetch=lambda outcome: telemetry.key_set_fetches.labels(outcome).inc())
    return Plugs(
        store=open_store(settings.database_url.get_secret_value(), on_batch=telemetry.commit_batch.observe),
        limiter=open_limiter(
            None if settings.redis_url is None else settings.redis_url.get_secret_value(),
            monotonic=boot_seconds,
            known_keys=settings.known_keys,
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
            verified=VerifiedTokens(),
        ),
        signing_keys=key_set,
        clock=utc_now,
        entropy=secrets.token_bytes,
        new_id=new_id,
        now=time.time,
        monotonic=boot_seconds,
    )


def create_app(settings: Settings, *, change: Callable[[Plugs], Plugs] = lambda plugs: plugs) -> Checking:
    """
    Build the application: verifications in front, and behind them everything else.

    Args:
        settings: Everything an operator may choose.
        change: Puts other parts in the place of those the settings name.
    """
    plugs = change(plugs_of(settings))
    app = FastAPI(
        title="Keywright",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        middleware=[Middleware(Shielded)],
    )
    checking = _checking(settings, plugs)
    app.state.plugs = plugs
    app.state.background = checking.background
    app.state.feed = checking.feed
    app.state.store = plugs.store
    app.state.authenticator = plugs.authenticator
    app.state.signing_keys_present = plugs.signing_keys.present
    app.state.changes_followed = lambda: checking.feed.following.since is not None
    app.state.trusted_proxies = settings.proxy_networks
    app.state.management = Management(
        store=plugs.store,
        clock=plugs.clock,
        entropy=plugs.entropy,
        new_id=plugs.new_id,
        brand=settings.key_brand,
        policy=_policy(settings),
        replays=Replays(plugs.store, clock=plugs.clock, entropy=plugs.entropy),
    )
    # Not include_router, which nests: `handlers` looks through a flat list for the methods of a path.
    for room in (management, changes, rotation, insight, events, options, feed, health):
        app.router.routes.extend(room.router.routes)
    if settings.metrics == "path":
        app.add_api_route("/metrics", _metrics, include_in_schema=False)
    handlers.install(app)
    document = partial(openapi.document, app, __version__, environments=settings.environments)
    app.openapi = cache(document)  # type: ignore[method-assign]
    app.add_route("/openapi.json", _document, include_in_schema=False)
    edge = _with_layers(app, settings)
    return _in_front(edge, settings, checking)


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
    """The checking plane: what answers, what feeds verifiers, and what runs in the background."""

    checker: Checker
    callers: Callers
    verifiers: Verifiers
    feed: FeedParts
    background: tuple[Following, Duties, Lifecycle]


def _checking(settings: Settings, plugs: Plugs) -> _CheckingParts:
    known, known_verifiers = KnownKeys(settings.known_keys), KnownVerifiers(10_000)
    following = Following(plugs.store, [known, known_verifiers], monotonic=plugs.monotonic)
    usage = UsageBook()
    verifiers = Verifiers(
        store=plugs.store,
        known=known_verifiers,
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
        known,
        brand=settings.key_brand,
        now=plugs.now,
        monotonic=plugs.monotonic,
        outage_seconds=settings.outage_seconds,
    )
    presence = Presence(store=plugs.store)
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
        verifiers,
        FeedParts(
            callers=callers,
            store=plugs.store,
            following=following,
            presence=presence,
            clock=plugs.clock,
            monotonic=plugs.monotonic,
        ),
        (following, _duties(settings, plugs, following, usage), _lifecycle(plugs)),
    )


def _in_front(app: ASGIApp, settings: Settings, parts: _CheckingParts) -> Checking:
    """Put the ways to check keys in front of *app*."""
    forward_auth = None
    if settings.forward_auth != "off":
        forward_auth = ForwardAuth(
            app, parts.checker, parts.verifiers, who=settings.forward_auth, trusted=settings.proxy_networks
        )
    accelerator = None
    if settings.accelerator == "on":
        accelerator = Accelerator(parts.checker, parts.callers, forward_auth)
    return Checking(forward_auth or app, parts.checker, parts.callers, accelerator=accelerator)


def _duties(settings: Settings, plugs: Plugs, following: Following, usage: UsageBook) -> Duties:
    session = Session(
        id=uuid.uuid4(),
        verifier_id=None,
        name=f"{socket.gethostname()}:{os.getpid()}",
        outage_seconds=settings.outage_seconds,
    )
    return Duties(
        store=plugs.store, following=following, usage=usage, session=session, now=plugs.now, monotonic=plugs.monotonic
    )


def _lifecycle(plugs: Plugs) -> Lifecycle:
    return Lifecycle(duties=plugs.store, store=plugs.store, clock=plugs.clock, new_id=plugs.new_id)


def from_environment() -> Checking:
    """Build the application of a worker process; `uvicorn` calls it once in each."""
    settings = config.load()
    telemetry.configure_logging(settings.log_level, as_json=True)
    return create_app(settings)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    plugs: Plugs = app.state.plugs
    await plugs.signing_keys.start()
    await plugs.limiter.start()
    await plugs.store.start()
    background: tuple[Following, Duties, Lifecycle] = app.state.background
    _, duties, lifecycle = background
    # The duties begin to follow.
    duties.start()
    lifecycle.start()
    try:
        yield
    finally:
        # The other way round: what is left to do is written before the store goes.
        for work in reversed(background):
            await work.close()
        await plugs.signing_keys.close()
        await plugs.limiter.close()
        await plugs.store.close()


def _with_layers(app: FastAPI, settings: Settings) -> ASGIApp:
    reached: ASGIApp = Reached(app, Operations(app.routes))
    if settings.cors_origins:
        reached = CORSMiddleware(
            reached,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=CORS_ALLOWED,
            expose_headers=CORS_EXPOSED,
            max_age=600,
        )
    return Observed(reached)


def _document(request: Request) -> Response:
    # No coroutine, so that it runs in a thread: whoever asks first has it built, in the time of hundreds of requests.
    return JSONResponse(request.app.openapi())


async def _metrics() -> Response:
    return Response(telemetry.exposition(), media_type=telemetry.METRICS_CONTENT_TYPE)
