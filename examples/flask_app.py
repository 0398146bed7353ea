"""
A Flask application, guarded view by view: flask --app examples/flask_app.py run --port 8000

To guard it whole: app.wsgi_app = keywright.client.integrations.wsgi.KeywrightWSGIMiddleware(app.wsgi_app, verifier)
"""

import os
from typing import Any

from flask import Flask, g

from keywright.client import Verifier
from keywright.client.integrations.flask import require_key

app = Flask(__name__)
verifier = Verifier(os.environ["KEYWRIGHT_URL"], os.environ["KEYWRIGHT_VERIFIER"])


@app.get("/reports")
@require_key(verifier, scopes=["reports:read"])
def reports() -> dict[str, Any]:
    """Say whose key the request came with."""
    return {"organisation": str(g.keywright.key.org_id), "reports": []}


@app.get("/healthz")
def healthy() -> dict[str, str]:
    """Answer anybody."""
    return {"status": "ok"}
