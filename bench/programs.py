"""Programs that the benchmarks start beside the service: each prints where it listens, and ends with the block."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench import cores
from tests.live import SOURCE

HERE = Path(__file__).parent
_END_SECONDS = 20
_PIECE = 2048


def node() -> str | None:
    """Say where Node is: this machine's, or that of the development requirements."""
    beside = Path(sys.executable).with_name("node")
    return shutil.which("node") or (str(beside) if beside.exists() else None)


@contextmanager
def started(
    command: Sequence[str | Path],
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """Start a program on the serving core and give the first line that it prints, with the process."""
    errors = log.open("a") if log else None
    with cores.serving():
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        _end(process)
        if errors:
            errors.close()


def python_module(name: str, **options: Any) -> list[str]:
    """Write the command of a module of the benchmarks; *options* that are no text are written as JSON."""
    command = [sys.executable, "-m", name]
    for option, value in options.items():
        command += [f"--{option}", value if isinstance(value, str) else json.dumps(value)]
    return command


PYTHON_PATH = {"PYTHONPATH": str(SOURCE)}


@contextmanager
def nginx(folder: Path, body: str, headers: Sequence[tuple[str, str]] = ()) -> Iterator[tuple[str, int]]:
    """Run nginx that answers everything 200 with *body*, and give its URL and process."""
    port = _free_port()
    added = "".join(f"add_header {name} '{value}';" for name, value in headers if name != "content-length")
    said = body
    if len(body) > _PIECE:
        # A word of its configuration may be no longer than 4 KiB.
        pieces = [body[start : start + _PIECE] for start in range(0, len(body), _PIECE)]
        added += "".join(f"set $piece{place} '{piece}';" for place, piece in enumerate(pieces))
        said = "".join(f"${{piece{place}}}" for place in range(len(pieces)))
    conf = folder / "nginx.conf"
    conf.write_text(
        f"""
        daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
            fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
            server {{
                listen 127.0.0.1:{port} backlog=2048; default_type application/json;
                location / {{ {added} return 200 '{said}'; }}
            }}
        }}
        """
    )
    with cores.serving():
        process = subprocess.Popen(["nginx", "-c", conf, "-p", folder])
    try:
        await_answer(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        _end(process)


def await_answer(url: str, process: "subprocess.Popen[Any]", seconds: float = 30) -> None:
    """
    Wait until a server answers anything at all.

    Raises:
        RuntimeError: It ended, or did not answer in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{url} did not answer")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _end(process: "subprocess.Popen[Any]") -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
