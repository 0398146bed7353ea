"""
The least that a verification costs on uvicorn, as raw ASGI: JSON in, SHA-256, a look into a dict, JSON out.

    python -m bench.reference_asgi --key TEXT --answer JSON

Served by uvicorn with the options of the service, on a free port; its URL is printed once it answers. Nobody is
recognised, nothing is counted, nothing expires.
"""

import argparse
import json
import socket
from typing import Any

import uvicorn

from keywright.keys.digest import digest


class Reference:
    """
    Answers one key with one answer, and every other with `not_found`.

    Args:
        key: The key that is known.
        answer: What is said of it.
    """

    def __init__(self, key: str, answer: dict[str, Any]) -> None:
        self._known = {digest(key): answer}
        self._unknown = {"valid": False, "code": "not_found", "api_key": None}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        message = await receive()
        asked = json.loads(message["body"])
        answer = self._known.get(digest(asked["key"]), self._unknown)
        body = json.dumps(answer, separators=(",", ":")).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", required=True)
    parser.add_argument("--answer", required=True, type=json.loads)
    arguments = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    host, port = listener.getsockname()
    config = uvicorn.Config(
        Reference(arguments.key, arguments.answer),
        http="httptools",
        loop="auto",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
    )
    print(f"http://{host}:{port}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
