"""The liveness, the readiness and the metrics of the process."""

import asyncio
from collections.abc import Callable

from starlette.responses import JSONResponse, Response

from keywright import telemetry
from keywright.api.http.routing import operation
from keywright.service.faults import StorageUnavailable
from keywright.service.management.ports import Store

_log = telemetry.Log("keywright.health")
# The answer must come before the probe gives up; Kubernetes waits one second by default.
_TIMEOUT_SECONDS = 0.8


class HealthRoutes:
    """
    `/livez` and `/readyz`, which need no credential.

    Args:
        store: Must answer and be migrated.
        signing_keys_present: Whether tokens can be verified.
        changes_followed: Whether the change follower has begun. A key that is looked up earlier is not cached, so it
            would not survive an outage of the database.
    """

    def __init__(
        self, store: Store, *, signing_keys_present: Callable[[], bool], changes_followed: Callable[[], bool]
    ) -> None:
        self._store = store
        self._signing_keys_present = signing_keys_present
        self._changes_followed = changes_followed

    @operation("GET", "/livez")
    async def livez(self) -> Response:
        """Answer 200 while the process answers requests."""
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    @operation("GET", "/readyz")
    async def readyz(self) -> Response:
        """Tell whether requests can be served as promised."""
        checks = {
            "database": await _database(self._store),
            "signing_keys": "ok" if self._signing_keys_present() else "not fetched yet",
            "changes": "ok" if self._changes_followed() else "not followed yet",
        }
        ready = all(outcome == "ok" for outcome in checks.values())
        return JSONResponse(
            {"status": "ok" if ready else "unavailable", "checks": checks},
            status_code=200 if ready else 503,
            headers={"Cache-Control": "no-store"} | ({} if ready else {"Retry-After": "1"}),
        )


class MetricsRoutes:
    """`/metrics` on the API's own address, with `KEYWRIGHT_METRICS=path`."""

    @operation("GET", "/metrics")
    async def metrics(self) -> Response:
        """Answer the metrics of all processes in Prometheus' text format."""
        return Response(telemetry.exposition(), media_type=telemetry.METRICS_CONTENT_TYPE)


async def _database(store: Store) -> str:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await store.check()
    except StorageUnavailable as fault:
        # For the log alone: the reason may name hosts and files, and the route needs no credential.
        _log.warning("not ready", reason=fault.reason)
        return "unavailable"
    except TimeoutError:
        return "no answer in time"
    return "ok"
