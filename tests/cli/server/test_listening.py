"""Sockets and the metrics' own server."""

import os
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from keywright import telemetry
from keywright.cli.server import listening, metrics
from keywright.cli.server.listening import CannotListen
from tests.live import clean_environment


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_listens(host: str) -> None:
    """Once opened, the socket takes connections where its URL says; localhost is the IPv4 one."""
    with listening.listen(host, 0) as listener:
        url = httpx.URL(listening.bound_url(listener, host))
        assert (url.host, url.port) == (host, listener.getsockname()[1])
        socket.create_connection(("127.0.0.1", url.port or 0)).close()


def test_port_in_use() -> None:
    """A busy port is an error with a sentence, and is not shared."""
    with listening.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"^Cannot listen on 127\.0\.0\.1:{port}: Address already in use\.$"):
            listening.listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port"), [("no-such-host.invalid", 0), ("x" * 300, 0), ("127.0.0.1", 70000), ("", -1)]
)
def test_impossible_address(host: str, port: int) -> None:
    """Every wrong address is the same kind of error."""
    with pytest.raises(CannotListen):
        listening.listen(host, port)


def test_a_unix_socket(tmp_path: Path) -> None:
    """A Unix socket is for its owner and group; one that nobody listens on is replaced, and it is gone in the end."""
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening.unix_socket(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with pytest.raises(CannotListen), listening.unix_socket(str(path)):
            pass
        assert path.is_socket()
    assert not path.exists()


def test_a_unix_socket_that_was_replaced(tmp_path: Path) -> None:
    """A process that ends leaves the socket of the one that took its place while the last requests were answered."""
    path = tmp_path / "agent.sock"
    with ExitStack() as later:
        with listening.unix_socket(str(path)) as old:
            old.close()
            later.enter_context(listening.unix_socket(str(path)))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_else_in_the_place_of_a_unix_socket(tmp_path: Path, kind: str) -> None:
    """A file, or a link to one, is not replaced."""
    path, target = tmp_path / "agent.sock", tmp_path / "precious"
    target.touch()
    path.touch() if kind == "file" else path.symlink_to(target)
    with pytest.raises(CannotListen), listening.unix_socket(str(path)):
        pass
    assert path.exists()


@pytest.mark.parametrize(
    ("address", "expected"), [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:9464", ("::1", 9464)), ("h:0", ("h", 0))]
)
def test_split(address: str, expected: tuple[str, int]) -> None:
    """Addresses are taken apart, brackets or none, and written back the same."""
    assert listening.split(address) == expected
    assert listening.shown(*expected) == address


def test_metrics_over_http() -> None:
    """The metrics are served in Prometheus's format at /metrics, and nothing else is."""
    with metrics.served("127.0.0.1:0") as url:
        assert url is not None
        answer = httpx.get(url)
        assert answer.headers["Content-Type"] == telemetry.METRICS_CONTENT_TYPE
        assert "keywright_http_requests_total" in answer.text
        assert httpx.get(url.removesuffix("metrics")).status_code == 404
    with pytest.raises(httpx.TransportError):
        httpx.get(url)


@pytest.mark.parametrize("setting", ["off", "path"])
def test_metrics_without_an_address(setting: str) -> None:
    """Without an address nothing is served here."""
    with metrics.served(setting) as url:
        assert url is None


def test_multiprocess_variable() -> None:
    """The variable that is set before telemetry may be imported is the one telemetry reads."""
    assert metrics.MULTIPROCESS_VARIABLE == telemetry.MULTIPROCESS_VARIABLE


def test_shared_folder() -> None:
    """Several workers get a fresh folder, which is gone afterwards; one alone counts in memory whatever was set."""
    code = (
        "import os; from keywright.cli.server import metrics; name = metrics.MULTIPROCESS_VARIABLE\n"
        "with metrics.shared_folder(2): folder = os.environ[name]; assert os.listdir(folder) == []\n"
        "assert not os.path.exists(folder)\n"
        "with metrics.shared_folder(1): assert name not in os.environ\n"
    )
    env = clean_environment({telemetry.MULTIPROCESS_VARIABLE: os.devnull})
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)
