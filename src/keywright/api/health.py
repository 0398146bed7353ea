"""Whether the process lives, whether it can do its work, and its metrics."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from keywright import telemetry
from keywright.service.faults import StorageUnavailable
from keywright.service.ports import Store

router = APIRouter(include_in_schema=False)
_log = telemetry.Log("keywright.health")
# A probe must answer before its own caller gives up; Kubernetes waits one second unless told otherwise.
_PATIENCE_SECONDS = 0.8


@router.get("/livez")
async def livez() -> Response:
    """Answer as long as the process answers anything."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """
    Tell whether requests can be served as promised.

    The database answers and is migrated, signing keys are at hand, and the changes are followed: what was looked up
    before that is not held, so it would not outlast an outage.
    """
    state: Any = request.app.state
    checks = {
        "database": await _database(state.store),
        "signing_keys": "ok" if state.signing_keys_present() else "not fetched yet",
        "changes": "ok" if state.changes_followed() else "not followed yet",
    }
    ready = all(outcome == "ok" for outcome in checks.values())
    return JSONResponse(
        {"status": "ok" if ready else "unavailable", "checks": checks},
        status_code=200 if ready else 503,
        headers={"Cache-Control": "no-store"} | ({} if ready else {"Retry-After": "1"}),
    )


async def _database(store: Store) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await store.check()
    except StorageUnavailable as fault:
        # For the log alone: it may name hosts and files, and anybody may ask.
        _log.warning("not ready", reason=fault.reason)
        return "unavailable"
    except TimeoutError:
        return "no answer in time"
    return "ok"
