"""
A FastAPI application, guarded route by route: uvicorn --app-dir examples fastapi_app:app --port 8000

Its document, at /docs, asks for a key where a route needs one.
"""

import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from keywright.client import AsyncVerifier, KeyInfo
from keywright.client.integrations.fastapi import require_key, use_verifier

app = FastAPI()
use_verifier(app, AsyncVerifier(os.environ["KEYWRIGHT_URL"], os.environ["KEYWRIGHT_VERIFIER"]))

ReportsKey = Annotated[KeyInfo, Depends(require_key(scopes=["reports:read"]))]


@app.get("/reports")
async def reports(key: ReportsKey) -> dict[str, Any]:
    """Say whose key the request came with."""
    return {"organisation": key.org_id, "reports": []}


@app.get("/healthz")
async def healthy() -> dict[str, str]:
    """Answer anybody."""
    return {"status": "ok"}
