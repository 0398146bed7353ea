"""
LiteLLM proxy: virtual keys on PostgreSQL, the proxy started by its own command.

    python peer_litellm.py FOLDER DATABASE_URL

A key is created by `/key/generate` with the master key, and verified by the cheapest route that asks for one.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import protocol

_START_SECONDS = 120


def main() -> None:
    """Serve."""
    folder, database_url = Path(sys.argv[1]), sys.argv[2]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    master = f"sk-{secrets.token_hex(16)}"
    config = folder / "litellm.yaml"
    config.write_text("model_list: []\ngeneral_settings: {}\n")
    command = [Path(sys.executable).with_name("litellm"), "--config", config, "--host", "127.0.0.1"]
    env = {**os.environ, "DATABASE_URL": database_url, "LITELLM_MASTER_KEY": master, "LITELLM_LOG": "ERROR"}
    process = subprocess.Popen([*command, "--port", str(port), "--num_workers", "1"], env=env, stdout=sys.stderr)
    url = f"http://127.0.0.1:{port}"
    bearer = {"Authorization": f"Bearer {master}"}
    try:
        key = _made(url, bearer, process)
        protocol.announce(
            url,
            create=protocol.request("POST", "/key/generate", {}, Content_Type="application/json", **bearer),
            verify=protocol.request("GET", "/v1/models", Authorization=f"Bearer {key}"),
            in_process_ns=None,
            bare_ns=protocol.bare_ns(key),
        )
        sys.exit(process.wait())
    finally:
        process.terminate()


def _made(url: str, bearer: dict[str, str], process: "subprocess.Popen[bytes]") -> str:
    """Create a key as soon as the proxy answers."""
    headers = {**bearer, "Content-Type": "application/json"}
    asked = urllib.request.Request(f"{url}/key/generate", b"{}", headers, method="POST")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(asked) as answer:
                key: str = json.load(answer)["key"]
                return key
        except urllib.error.URLError:
            time.sleep(0.5)
    raise SystemExit("the proxy did not create a key in time")


if __name__ == "__main__":
    main()
