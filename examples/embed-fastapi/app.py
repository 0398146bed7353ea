"""
A dashboard with the element `<keywright-keys>`: uvicorn --app-dir examples/embed-fastapi app:app --port 8000

It reads `KEYWRIGHT_URL`, the address of the service, and `KEYWRIGHT_TOKEN`, the access token of the demo user.
"""

import os

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

SERVICE = os.environ["KEYWRIGHT_URL"]

POLICY = (
    f"default-src 'none'; script-src 'self' {SERVICE}; connect-src 'self' {SERVICE}; style-src 'self'; img-src data:; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types keywright"
)

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>API keys</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
<script type="module" src="page.js"></script>
<script type="module" src="{SERVICE}/element/v1/keywright-keys.js"></script>
</head>
<body><main><h1>Settings</h1><keywright-keys></keywright-keys></main></body>
</html>"""

STYLE = """
:root { color-scheme: light dark; font-family: sans-serif; }
main { max-width: 70em; margin: 0 auto; padding: 1em; }
keywright-keys { --kw-accent: #6b3fd4; --kw-radius: 10px; }
"""

SCRIPT = """
document.querySelector('keywright-keys').getAccessToken = async ({ signal }) => {
  const answer = await fetch('token', { method: 'POST', signal });
  return (await answer.json()).token;
};
"""

app = FastAPI()


@app.get("/")
async def page() -> HTMLResponse:
    """Answer the page."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@app.get("/page.css")
async def style() -> HTMLResponse:
    """Answer the style of the page."""
    return HTMLResponse(STYLE, media_type="text/css")


@app.get("/page.js")
async def script() -> HTMLResponse:
    """Answer the script of the page."""
    return HTMLResponse(SCRIPT, media_type="text/javascript")


@app.post("/token")
async def token() -> dict[str, str]:
    """Answer the access token of the user: a real dashboard takes it out of its own session, which it checks here."""
    return {"token": os.environ["KEYWRIGHT_TOKEN"]}
