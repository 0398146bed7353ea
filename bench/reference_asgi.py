"""
The least that a verification, forward auth and a batch cost on uvicorn, as bare ASGI.

    python bench/reference_asgi.py KEYS ANSWER

KEYS is a file of keys, ANSWER a file with the answer to each of them. JSON in, SHA-256, a look into a dict, a test by
`ipaddress` whether the client's address is in a network of the key, as plain code does it, JSON out. Callers are not
authenticated, scopes are not checked, nothing is counted, nothing expires. Prints its URL once it listens.
"""

import json
import socket
import sys
from hashlib import sha256
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import uvicorn

_REFUSED = {"valid": False, "code": "not_found", "api_key": None}


class Reference:
    """Answers keys that are known with what the service says of one of them."""

    def __init__(self, keys: Path, answer: Path) -> None:
        said = json.loads(answer.read_text())
        body = said["body"]
        one = body["results"][0] if isinstance(body, dict) and "results" in body else body
        lines = [line.split() for line in keys.read_text().splitlines()]
        self._answers = {
            sha256(text.encode()).digest(): (one, [*map(ip_network, networks)]) for text, _, *networks in lines
        }
        self._headers = [(name.encode(), value.encode()) for name, value in said["headers"]]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["path"] == "/forward-auth":
            told = dict(scope["headers"])
            key, address = told[b"authorization"][7:].decode(), told[b"x-forwarded-for"].decode()
            status, body = 401 if self._of(key, address) is _REFUSED else 200, b""
        else:
            asked = json.loads((await receive())["body"])
            many = asked.get("keys")
            answer: Any = self._of(**asked) if many is None else {"results": [self._of(**each) for each in many]}
            status, body = 200, json.dumps(answer, separators=(",", ":")).encode()
        headers = [*self._headers, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _of(self, key: str, client_ip: str | None = None, **_: Any) -> Any:
        found = self._answers.get(sha256(key.encode()).digest())
        if found is None:
            return _REFUSED
        answer, networks = found
        if client_ip is not None:
            address = ip_address(client_ip)
            if not any(address in network for network in networks):
                return _REFUSED
        return answer


def main() -> None:
    """Serve."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    host, port = listener.getsockname()
    application = Reference(Path(sys.argv[1]), Path(sys.argv[2]))
    options: dict[str, Any] = {"http": "httptools", "loop": "auto", "ws": "none", "lifespan": "off"}
    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "proxy_headers": False}
    print(f"http://{host}:{port}", flush=True)
    uvicorn.Server(uvicorn.Config(application, **options, **quiet)).run(sockets=[listener])


if __name__ == "__main__":
    main()
