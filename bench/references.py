"""What the service is held against: nginx, a bare ASGI application, and Node, each sent the same requests."""

import json
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.cases import ASGI, NGINX, NODE
from bench.processes import HERE, Server, first_line, node, started
from bench.wrk import Sample

_PIECE = 2048
# These differ with every answer, or the server writes its own.
_NOT_COPIED = {"date", "server", "x-request-id", "content-length", "connection", "content-type"}


@contextmanager
def references(names: Sequence[str], sample: Sample, keys: Path, folder: Path) -> Iterator[dict[str, Server]]:
    """
    Run those of the references that this machine has.

    Args:
        names: Which.
        sample: An answer of the service: nginx gives it to everybody, the others to whoever shows a key that they know.
        keys: The file of the keys.
        folder: Where nginx may write.
    """
    answer = folder / "answer.json"
    headers = [[name.lower(), value] for name, value in sample.headers.items() if name.lower() not in _NOT_COPIED]
    answer.write_text(json.dumps({"body": json.loads(sample.body or "null"), "headers": headers}))
    commands = {ASGI: [sys.executable, HERE / "reference_asgi.py", keys, answer]}
    if (binary := node()) is not None:
        commands[NODE] = [binary, HERE / "reference_node.mjs", keys, answer]
    with ExitStack() as held:
        found = {}
        for name in names:
            if name == NGINX and shutil.which("nginx"):
                found[name] = held.enter_context(nginx(folder, sample.body, headers))
            elif name in commands:
                process = held.enter_context(started(commands[name]))
                found[name] = Server(first_line(process), process)
        yield found


@contextmanager
def nginx(folder: Path, body: str, headers: Sequence[Sequence[str]]) -> Iterator[Server]:
    """Run nginx as one process that serves, without a master, and answers everything 200 with *body*."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "127.0.0.1:{1}".format(*free.getsockname())
    # A word of its configuration may be no longer than 4 KiB.
    pieces = [body[start : start + _PIECE] for start in range(0, len(body), _PIECE)]
    lines = [f"set $piece{place} {_quoted(piece)};" for place, piece in enumerate(pieces)]
    lines += [f"add_header {name} {_quoted(value)};" for name, value in headers]
    text = "".join(f"${{piece{place}}}" for place in range(len(pieces)))
    places = "".join(f"{name}_temp_path {folder};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = folder / "nginx.conf"
    conf.write_text(
        f"""
        daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; keepalive_requests 100000000; {places}
            server {{
                listen {address} backlog=2048; default_type application/json; client_body_buffer_size 64k;
                location / {{ {" ".join(lines)} return 200 "{text}"; }}
            }}
        }}
        """
    )
    with started(["nginx", "-c", conf, "-p", folder]) as process:
        # It writes its number when it listens.
        while not (folder / "nginx.pid").exists() and process.poll() is None:
            time.sleep(0.01)
        yield Server(f"http://{address}", process)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    # A dollar would begin a variable, and nginx has no way to write one in a text.
    return f"'{escaped.replace('$', '?')}'"
