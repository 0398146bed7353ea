"""
Any ASGI application, guarded whole: uvicorn --app-dir examples asgi_app:app --port 8000

Knows nothing of Keywright but its verdict, in `scope["keywright"]`.
"""

import json
import os
from typing import Any

from keywright.client import AsyncVerifier
from keywright.client.integrations.asgi import KeywrightASGIMiddleware


async def reports(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request; say whose key it came with, if it came with one."""
    verdict = scope.get("keywright")
    body = {"status": "ok"} if verdict is None else {"organisation": str(verdict.key.org_id), "reports": []}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


app = KeywrightASGIMiddleware(
    reports,
    AsyncVerifier(os.environ["KEYWRIGHT_URL"], os.environ["KEYWRIGHT_VERIFIER"]),
    scopes=["reports:read"],
    exempt=["/healthz"],
)
