"""
The least that a verification, forward auth and a batch cost on uvicorn, as raw ASGI.

    python -m bench.reference_asgi --keys JSON --answers JSON --headers JSON

`POST /verify`: JSON in, SHA-256, a look into a dict, JSON out. `POST /batch`: the same for many keys. `GET
/forward-auth`: SHA-256 of the bearer, a look into a dict, the same headers. Served with the options of the service, on
a free port; the URL is printed once it answers. Nobody is recognised, nothing is counted, nothing expires.
"""

import argparse
import json
import socket
from typing import Any

import uvicorn

from keywright.keys.digest import digest

_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
_UNKNOWN = {"valid": False, "code": "not_found", "api_key": None}


class Reference:
    """
    Answers keys that are known.

    Args:
        answers: What is said of each key, by its digest.
        headers: What forward auth says of each.
    """

    def __init__(self, answers: dict[bytes, Any], headers: list[tuple[bytes, bytes]]) -> None:
        self._answers = answers
        self._identities = dict.fromkeys(answers, headers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["path"] == "/forward-auth":
            bearer = next(value for name, value in scope["headers"] if name == b"authorization")
            identity = self._identities.get(digest(bearer[7:].decode()))
            await send({"type": "http.response.start", "status": 200 if identity else 401, "headers": identity or []})
            await send({"type": "http.response.body", "body": b""})
            return
        asked = json.loads((await receive())["body"])
        if scope["path"] == "/batch":
            answer: Any = {"results": [self._answers.get(digest(each["key"]), _UNKNOWN) for each in asked["keys"]]}
        else:
            answer = self._answers.get(digest(asked["key"]), _UNKNOWN)
        body = json.dumps(answer, separators=(",", ":")).encode()
        headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--keys", "--answers", "--headers"):
        parser.add_argument(name, required=True, type=json.loads)
    arguments = parser.parse_args()
    answers = {digest(key): answer for key, answer in zip(arguments.keys, arguments.answers, strict=True)}
    headers = [(name.encode(), value.encode()) for name, value in arguments.headers]
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    host, port = listener.getsockname()
    config = uvicorn.Config(
        Reference(answers, headers),
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
