"""
Small programs that verify as products do, through a client library: with its own headers, in its own packets.

Each takes a URL and a number of connections, and reads the same environment as the scripts in bench/traffic. It prints
"loaded" once it has read the keys, and the same line of JSON as those when it is interrupted. It asks what verify.lua
asks.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.processes import ROOT, node

HERE = Path(__file__).parent
CLIENTS = {"httpx": "with_httpx.py", "fetch": "with_fetch.mjs", "net-http": "with_net_http.go"}
"""The programs, by what the table of cases calls them."""
SAME = "verify"
"""The script that asks the same."""


def command(client: str) -> list[str]:
    """
    Say how a client's program is started; the one in Go is built first.

    Raises:
        RuntimeError: The machine has no such language.
    """
    program = HERE / CLIENTS[client]
    if client == "httpx":
        return [sys.executable, str(program)]
    if client == "fetch":
        return [_found("Node", node()), str(program)]
    built = ROOT / ".cache" / "bench" / program.stem
    subprocess.run([_found("Go", shutil.which("go")), "build", "-o", built, program], check=True, cwd=ROOT)
    return [str(built)]


def _found(language: str, path: str | None) -> str:
    if path is None:
        raise RuntimeError(f"{language} is not installed, so its client is not measured")
    return path
