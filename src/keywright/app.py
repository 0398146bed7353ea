"""The wiring: builds the application from the settings, and starts and stops its parts."""

import os
import resource
import secrets
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from operator import attrgetter
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Lifespan

from keywright import __version__, config, telemetry
from keywright.api import openapi
from keywright.api.document import DOCUMENT_ROUTES
from keywright.api.feed import FeedParts, FeedRoutes
from keywright.api.health import HealthRoutes, MetricsRoutes
from keywright.api.http.access_log import AccessLog
from keywright.api.http.connections import Connections
from keywright.api.http.routing import Routes, Trust
from keywright.api.keys.events import EventRoutes
from keywright.api.keys.options import OptionsRoutes
from keywright.api.keys.rotation import RotationRoutes
from keywright.api.keys.routes import KeyRoutes
from keywright.api.keys.usage import ReceiptRoutes, UsageRoutes
from keywright.api.measures import Measures
from keywright.api.operator.bulk import BulkRevocationRoutes
from keywright.api.operator.routes import OperatorKeyRoutes, OperatorLogRoutes
from keywright.api.operator.verifiers import VerifierRoutes
from keywright.api.verify.callers import Callers
from keywright.api.verify.fast_path import FastPath
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.responses import log_refused_key
from keywright.api.verify.routes import ServiceApp
from keywright.auth.access_token import AccessTokens, VerifiedTokens
from keywright.auth.jwks import KeySet
from keywright.config import Settings
from keywright.keys.cache import WEIGHT_BYTES, KeyCache
from keywright.keys.usage import UsageBook
from keywright.keys.verdict import Code
from keywright.rate_limiting.engine import RunningLimiter, open_limiter
from keywright.service.background_tasks import KeyTasks, ProcessTasks, ProcessWork
from keywright.service.change_follower import ChangeFollower
from keywright.service.checking.failure_limit import FailureLimit
from keywright.service.checking.ports import Seconds
from keywright.service.checking.verification import Checker, Verification
from keywright.service.management.change_limit import ChangeLimit
from keywright.service.management.commands import Policy
from keywright.service.management.idempotency import Idempotency
from keywright.service.management.management import Management
from keywright.service.management.retention import Retention
from keywright.service.management.usage_reports import UsageReports
from keywright.service.operator.bulk import BulkRevocations, OperatorTasks
from keywright.service.operator.lookup import Lookup
from keywright.service.organizations import Organizations, TenantAuthenticator
from keywright.service.ports import Authenticator, Clock, Entropy, NewId, SigningKeys
from keywright.service.turns import Turns
from keywright.service.verifier_sessions import Session
from keywright.service.verifiers import VerifierCache, Verifiers
from keywright.storage.engine import RunningStore, open_store
from keywright.system import boot_seconds, new_id, utc_now

# As many keys with limits as keys of the usual size in the cache.
_LIMITED_KEYS_PER_MIB = 2048

CORS_EXPOSED = ("Link", "ETag", "Location", "Retry-After", "Idempotency-Replayed", "X-Request-Id")
CORS_ALLOWED = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-Id")
# Files that are no connections of clients: of the database, of Redis, of the metrics.
OTHER_FILES = 128


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
        store=open_store(settings.database_url.get_secret_value(), on_batch=telemetry.observe_commit),
        limiter=open_limiter(
            None if settings.redis_url is None else settings.redis_url.get_secret_value(),
            monotonic=boot_seconds,
            capacity=settings.cache_mib * _LIMITED_KEYS_PER_MIB,
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
    tenants = TenantAuthenticator(plugs.authenticator, Organizations(plugs.store, turns=_few_turns(plugs)))
    plugs = replace(plugs, authenticator=tenants)
    checking = _checking(settings, plugs)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = Connections(settings.max_connections, files=max(16, files - OTHER_FILES))
    measures = Measures(
        followed_since=lambda: checking.feed.follower.since,
        keys_age=plugs.signing_keys.age,
        connections=connections,
        monotonic=plugs.monotonic,
    )
    edge = _edge(settings, plugs, checking, measures)
    return _in_front(edge, settings, checking, connections)


def _edge(settings: Settings, plugs: Plugs, checking: "_CheckingParts", measures: Measures) -> ASGIApp:
    """Build all routes but verifications, with the access log and CORS."""
    trust = Trust(
        authenticator=plugs.authenticator,
        callers=checking.callers,
        proxies=settings.proxy_networks,
        turns=_turns(plugs, "requests"),
        changes=ChangeLimit(plugs.monotonic, each_second=settings.changes_per_second, burst=settings.changes_burst),
        operator_org=settings.operator_org,
    )
    edge: ASGIApp = Routes(
        _groups(settings, plugs, checking), trust, lifespan=_lifespan(plugs, checking.background, measures)
    )
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
    usage = UsageReports(plugs.store, plugs.clock, management.turns)
    documented = [
        KeyRoutes(management, usage),
        RotationRoutes(management),
        ReceiptRoutes(management),
        UsageRoutes(usage),
        EventRoutes(management),
        OptionsRoutes(management),
        *_operator_groups(plugs, checking, management, usage),
    ]
    follower = checking.feed.follower
    health = HealthRoutes(
        plugs.store,
        signing_keys_present=plugs.signing_keys.present,
        changes_followed=lambda: follower.since is not None,
    )
    document = _document_routes(settings, documented)
    metrics = [MetricsRoutes()] if settings.metrics == "path" else []
    return [*documented, FeedRoutes(checking.feed), health, *document, *metrics]


def _operator_groups(
    plugs: Plugs, checking: "_CheckingParts", management: Management, usage: UsageReports
) -> list[object]:
    lookup = Lookup(store=plugs.store, management=management)
    return [
        OperatorKeyRoutes(lookup, usage),
        OperatorLogRoutes(lookup),
        BulkRevocationRoutes(_bulk_revocations(plugs, management.turns)),
        VerifierRoutes(checking.callers.verifiers),
    ]


def _bulk_revocations(plugs: Plugs, turns: Turns) -> BulkRevocations:
    return BulkRevocations(store=plugs.store, clock=plugs.clock, new_id=plugs.new_id, turns=turns)


def _document_routes(settings: Settings, groups: list[object]) -> list[object]:
    if settings.openapi == "off":
        return []

    def make() -> dict[str, Any]:
        return openapi.document(
            openapi.documented(groups),
            version=__version__,
            environments=settings.environments,
            server=settings.public_url,
        )

    return [DOCUMENT_ROUTES[settings.openapi](make)]


def _management(settings: Settings, plugs: Plugs) -> Management:
    return Management(
        store=plugs.store,
        clock=plugs.clock,
        entropy=plugs.entropy,
        new_id=plugs.new_id,
        brand=settings.key_brand,
        policy=_policy(settings),
        idempotency=Idempotency(plugs.store, clock=plugs.clock, entropy=plugs.entropy),
        turns=_turns(plugs, "steps", most=4, alone=4, together=1),
    )


def _turns(plugs: Plugs, queue: str, *, most: int = 256, alone: int = 64, together: int = 8) -> Turns:
    return Turns(
        plugs.monotonic,
        most=most,
        alone=alone,
        together=together,
        longest=4096,
        longest_of_share=1024,
        on_wait=telemetry.queue_wait_seconds.labels(queue).observe,
    )


def _few_turns(plugs: Plugs) -> Turns:
    """Make the turns of look-ups that any caller causes, known or not; those of keys have others."""
    return Turns(plugs.monotonic, most=8, alone=4, together=4, longest=2048, longest_of_share=1024)


def _policy(settings: Settings) -> Policy:
    return Policy(
        environments=settings.environments,
        max_life=None if settings.max_life_days is None else timedelta(days=settings.max_life_days),
        expiry_required=settings.require_expiry,
        max_active=settings.max_active_keys,
        rotations_per_hour=settings.rotations_per_hour,
        max_pairs=settings.max_pairs,
        scopes=settings.scopes,
    )


@dataclass(frozen=True, slots=True)
class _CheckingParts:
    """The parts of verification: the checkers, the change feed, and the background tasks."""

    checker: Checker
    callers: Callers
    feed: FeedParts
    background: ProcessWork


def _checking(settings: Settings, plugs: Plugs) -> _CheckingParts:
    most_bytes = settings.cache_mib * 1024 * 1024
    cache = KeyCache(most_bytes // WEIGHT_BYTES, size_of=attrgetter("weight"))
    verifier_cache = VerifierCache(10_000)
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
        turns=_few_turns(plugs),
    )
    callers = Callers(verifiers, plugs.authenticator, brand=settings.key_brand)
    verification = Verification(
        plugs.store,
        cache,
        brand=settings.key_brand,
        now=plugs.now,
        monotonic=plugs.monotonic,
        outage_seconds=settings.outage_seconds,
        turns=_turns(plugs, "look-ups"),
    )
    return _CheckingParts(
        Checker(
            verification=verification,
            usage=usage,
            failures=FailureLimit(),
            limiter=plugs.limiter,
            on_refused=log_refused_key,
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
        _work(settings, plugs, follower, usage),
    )


def _in_front(app: ASGIApp, settings: Settings, parts: _CheckingParts, connections: Connections) -> ServiceApp:
    """Put the ways to check keys in front of *app*."""
    forward_auth = None
    if settings.forward_auth != "off":
        forward_auth = ForwardAuth(
            parts.checker, parts.callers.verifiers, who=settings.forward_auth, trusted=settings.proxy_networks
        )
    fast_path = None
    if settings.fast_path == "on":
        fast_path = FastPath(parts.checker, parts.callers, forward_auth)
    return ServiceApp(
        app, parts.checker, parts.callers, forward_auth=forward_auth, fast_path=fast_path, connections=connections
    )


def _work(settings: Settings, plugs: Plugs, follower: ChangeFollower, usage: UsageBook) -> ProcessWork:
    revocations = OperatorTasks(revocations=_bulk_revocations(plugs, _few_turns(plugs)))
    tasks = _process_tasks(settings, plugs, follower, usage), _key_tasks(settings, plugs), revocations
    return ProcessWork(follower, *tasks)


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


def _key_tasks(settings: Settings, plugs: Plugs) -> KeyTasks:
    kinds = ("events", "usage", "sources", "receipts", "sessions")
    retention = Retention.of_days(**{kind: getattr(settings, f"keep_{kind}_days") for kind in kinds})
    return KeyTasks(store=plugs.store, clock=plugs.clock, new_id=plugs.new_id, retention=retention)


def from_environment() -> ServiceApp:
    """Build the application of a worker process; uvicorn calls this once in each."""
    settings = config.load()
    telemetry.configure_logging(settings.log_level, as_json=True)
    return create_app(settings)


def _lifespan(plugs: Plugs, background: ProcessWork, measures: Measures) -> Lifespan[Any]:
    @asynccontextmanager
    async def running(_app: object) -> AsyncIterator[None]:
        await plugs.signing_keys.start()
        await plugs.limiter.start()
        await plugs.store.start()
        background.start()
        measures.start()
        try:
            yield
        finally:
            await measures.close()
            await background.close()
            await plugs.signing_keys.close()
            await plugs.limiter.close()
            await plugs.store.close()

    return running
