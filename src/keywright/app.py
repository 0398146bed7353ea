"""The wiring: builds the application from the settings, and starts and stops its parts."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from starlette.types import ASGIApp, Lifespan

from keywright import __version__, config, cross_origin, rules, shared_wiring, telemetry
from keywright.api import openapi
from keywright.api.document import DOCUMENT_ROUTES
from keywright.api.feed import FeedRoutes
from keywright.api.health import HealthRoutes, MetricsRoutes
from keywright.api.http.access_log import AccessLog
from keywright.api.http.connections import Connections
from keywright.api.http.routing import Front, Routes, Trust
from keywright.api.key_facts import KeyFactsRoutes
from keywright.api.keys.events import EventRoutes
from keywright.api.keys.options import OptionsRoutes
from keywright.api.keys.rotation import RotationRoutes
from keywright.api.keys.routes import KeyRoutes
from keywright.api.keys.usage import ReceiptRoutes, UsageRoutes
from keywright.api.measures import Measures
from keywright.api.operator.bulk import BulkRevocationRoutes
from keywright.api.operator.figures import FiguresRoutes
from keywright.api.operator.routes import OperatorKeyRoutes, OperatorLogRoutes
from keywright.api.operator.verifiers import VerifierRoutes
from keywright.api.verify.fast_path import FastPath
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.routes import ServiceApp
from keywright.checking_wiring import CheckingParts, bulk_revocations, checking_parts
from keywright.config import Settings
from keywright.console.assets import Assets
from keywright.console.docs import PATHS as DOCS_PATHS
from keywright.console.docs import ReferencePage
from keywright.console.element import PATHS as ELEMENT_PATHS
from keywright.console.element import ElementFiles
from keywright.console_wiring import console_applications
from keywright.plugs import Plugs, few_turns, plugs_of, turns_of
from keywright.service.figures.reports import Figures
from keywright.service.management.idempotency import Idempotency
from keywright.service.management.management import Management
from keywright.service.management.usage_reports import UsageReports
from keywright.service.operator.lookup import Lookup
from keywright.service.organizations import Organizations, TenantAuthenticator
from keywright.service.turns import ChangeLimit

# `/docs` calls nothing else.
_API = re.compile(r"/api/v2/.*", re.DOTALL)

Pages = list[tuple[re.Pattern[str], ASGIApp]]
"""Applications in front of the API, with the paths that each of them answers."""


def create_app(settings: Settings, *, change: Callable[[Plugs], Plugs] = lambda plugs: plugs) -> ServiceApp:
    """
    Build the application: verifications are answered first, the other routes come after them.

    Args:
        settings: All settings of the service.
        change: Replaces some of the parts.
    """
    plugs = change(plugs_of(settings))
    tenants = TenantAuthenticator(plugs.authenticator, Organizations(plugs.store, turns=few_turns(plugs)))
    plugs = replace(plugs, authenticator=tenants)
    checking = checking_parts(settings, plugs)
    connections = shared_wiring.connections(settings.max_connections)
    measures = Measures(
        followed_since=lambda: checking.feed.follower.since,
        keys_age=plugs.signing_keys.age,
        connections=connections,
        monotonic=plugs.monotonic,
    )
    edge = _edge(settings, plugs, checking, measures)
    return _in_front(edge, settings, checking, connections)


def _edge(settings: Settings, plugs: Plugs, checking: CheckingParts, measures: Measures) -> ASGIApp:
    """Build all routes but verifications, with the access log, CORS and the console."""
    trust = Trust(
        authenticator=plugs.authenticator,
        callers=checking.callers,
        proxies=settings.proxy_networks,
        turns=turns_of(plugs, "requests"),
        changes=ChangeLimit(plugs.monotonic, each_second=settings.changes_per_second, burst=settings.changes_burst),
        operator_org=settings.operator_org,
    )
    management = _management(settings, plugs)
    usage = UsageReports(plugs.store, plugs.clock, management.turns)
    documented = [*_own_groups(management, usage), *_operator_groups(plugs, checking, management, usage)]
    groups = [*documented, *_others(settings, plugs, checking, documented)]
    routes = Routes(groups, trust, lifespan=_lifespan(plugs, checking, measures))
    element = Assets("element", __version__)
    pages = [*_pages(settings, documented, element), *_console(settings, plugs, trust, documented, element)]
    edge = cross_origin.for_pages(routes, settings.cors_origins, docs=False)
    api = cross_origin.for_pages(routes, settings.cors_origins, docs=settings.serves_docs)
    return AccessLog(Front(routes, pages), Front(edge, [(_API, api), *pages]))


def _pages(settings: Settings, documented: list[object], element: Assets) -> Pages:
    """Build what serves files: pages of any origin use them, so they stand outside the origins of the API."""
    pages: Pages = [(ELEMENT_PATHS, ElementFiles(element))]
    if settings.serves_docs:
        pages.append((DOCS_PATHS, ReferencePage(Assets("docs", __version__), _document_of(settings, documented))))
    return pages


def _console(settings: Settings, plugs: Plugs, trust: Trust, groups: list[object], element: Assets) -> Pages:
    """Build the console, if there is one: only pages of its own origin use it."""
    if settings.console_client_id is None:
        return []
    return console_applications(
        settings,
        groups,
        trust,
        store=plugs.store,
        clock=plugs.clock,
        entropy=plugs.entropy,
        provider=plugs.identity_provider,
        element=element,
        version=__version__,
    )


def _own_groups(management: Management, usage: UsageReports) -> list[object]:
    """Build the operations of an organization on its own keys."""
    return [
        KeyRoutes(management, usage),
        RotationRoutes(management),
        ReceiptRoutes(management),
        UsageRoutes(usage),
        EventRoutes(management),
        OptionsRoutes(management),
    ]


def _others(settings: Settings, plugs: Plugs, checking: CheckingParts, documented: list[object]) -> list[object]:
    """Build the classes that have the other operations."""
    follower = checking.feed.follower
    health = HealthRoutes(
        plugs.store,
        signing_keys_present=plugs.signing_keys.present,
        changes_followed=lambda: follower.since is not None,
    )
    document = _document_routes(settings, documented)
    metrics = [MetricsRoutes()] if settings.metrics == "path" else []
    return [FeedRoutes(checking.feed), KeyFactsRoutes(checking.checker), health, *document, *metrics]


def _operator_groups(
    plugs: Plugs, checking: CheckingParts, management: Management, usage: UsageReports
) -> list[object]:
    lookup = Lookup(store=plugs.store, management=management)
    return [
        OperatorKeyRoutes(lookup, usage),
        OperatorLogRoutes(lookup),
        BulkRevocationRoutes(bulk_revocations(plugs, management.turns)),
        VerifierRoutes(checking.callers.verifiers),
        FiguresRoutes(Figures(store=plugs.store, clock=plugs.clock, turns=management.turns)),
    ]


def _document_routes(settings: Settings, groups: list[object]) -> list[object]:
    return [] if settings.openapi == "off" else [DOCUMENT_ROUTES[settings.openapi](_document_of(settings, groups))]


def _document_of(settings: Settings, groups: list[object]) -> Callable[[], dict[str, Any]]:
    return lambda: openapi.document(
        openapi.documented(groups),
        version=__version__,
        environments=settings.environments,
        server=settings.public_url,
    )


def _management(settings: Settings, plugs: Plugs) -> Management:
    return Management(
        store=plugs.store,
        clock=plugs.clock,
        entropy=plugs.entropy,
        new_id=plugs.new_id,
        brand=settings.key_brand,
        policy=rules.policy(settings),
        idempotency=Idempotency(plugs.store, clock=plugs.clock, entropy=plugs.entropy),
        turns=turns_of(plugs, "steps", most=4, alone=4, together=1),
    )


def _in_front(app: ASGIApp, settings: Settings, parts: CheckingParts, connections: Connections) -> ServiceApp:
    """Put the ways to check keys in front of *app*."""
    forward_auth = None
    if settings.forward_auth != "off":
        forward_auth = ForwardAuth(
            parts.checker,
            parts.callers.verifiers,
            who=settings.forward_auth,
            trusted=settings.proxy_networks,
            admitted=settings.forward_auth_networks,
        )
    fast_path = None
    if settings.fast_path == "on":
        fast_path = FastPath(parts.checker, parts.callers, forward_auth)
    return ServiceApp(
        app,
        parts.checker,
        parts.callers,
        forward_auth=forward_auth,
        fast_path=fast_path,
        connections=connections,
        for_pages=cross_origin.for_docs if settings.serves_docs else None,
    )


def from_environment() -> ServiceApp:
    """Build the application of a worker process; uvicorn calls this once in each."""
    settings = config.load()
    telemetry.configure_logging(settings.log_level, as_json=True)
    return create_app(settings)


def _lifespan(plugs: Plugs, checking: CheckingParts, measures: Measures) -> Lifespan[Any]:
    @asynccontextmanager
    async def running(_app: object) -> AsyncIterator[None]:
        await plugs.signing_keys.start()
        await plugs.limiter.start()
        await plugs.store.start()
        checking.background.start()
        measures.start()
        try:
            yield
        finally:
            await measures.close()
            await checking.background.close()
            await plugs.signing_keys.close()
            await plugs.limiter.close()
            await plugs.store.close()

    return running
