"""The doctor's checks of settings and ports."""

import socket
from typing import Any

import pytest

from keywright import config
from keywright.cli.doctor import settings as setting_checks
from keywright.cli.doctor.results import Level
from keywright.cli.server import metrics
from keywright.config import Settings
from tests.cli.fake_service import Answer, fake_service


def settings(**changed: Any) -> Settings:
    chosen = {"issuer": "https://i.example/", "audience": "a", "port": 0, "metrics": "off", **changed}
    return config.load(auth0_domain="", **chosen)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("KEYWRIGHT_AUDIENCES", "KEYWRIGHT_AUDIENCE"),
        ("KEYWRIGHT_AUTHO_DOMAIN", "KEYWRIGHT_AUTH0_DOMAIN"),
        ("KEYWRIGHT_DATABASE", "KEYWRIGHT_DATABASE_URL"),
        ("keywright_worker", "KEYWRIGHT_WORKERS"),
    ],
)
def test_mistyped_variable(name: str, near: str) -> None:
    """A variable that is no setting is warned about, with the nearest name."""
    (finding,) = setting_checks.unknown_variables([name, "KEYWRIGHT_AUDIENCE", "PATH"])
    assert finding.level is Level.WARN
    assert name in finding.message
    assert finding.fix == f"Did you mean {near}?"


def test_strange_variable() -> None:
    """Without a near name the advice is to remove it."""
    (finding,) = setting_checks.unknown_variables(["KEYWRIGHT_ZZZZZZ"])
    assert finding.fix == "Remove it."


@pytest.mark.parametrize("name", ["KEYWRIGHT_SERVICE_HOST", "KEYWRIGHT_PORT_8080_TCP_ADDR"])
def test_service_links(name: str) -> None:
    """Variables that Kubernetes sets in pods are recognized."""
    (finding,) = setting_checks.unknown_variables([name])
    assert "enableServiceLinks" in (finding.fix or "")


@pytest.mark.parametrize("name", ["KEYWRIGHT_PORT", "keywright_port", "KEYWRIGHT_TOKEN", "KEYWRIGHT_URL", "HOME"])
def test_known_variable(name: str) -> None:
    """Settings in either case, the client's variables and other programs' are not warned about."""
    assert setting_checks.unknown_variables([name]) == []


def test_issuer_without_a_slash() -> None:
    """An issuer without a slash at its end is probably a mistake."""
    levels = [finding.level for finding in setting_checks.check(settings(issuer="https://i.example"))]
    assert levels == [Level.OK, Level.WARN]
    assert [finding.level for finding in setting_checks.check(settings())] == [Level.OK]


async def test_free_ports() -> None:
    """Free ports are fine."""
    found = await setting_checks.ports(settings(metrics="127.0.0.1:0"))
    assert [(finding.subject, finding.level) for finding in found] == [("port", Level.OK), ("metrics", Level.OK)]


@pytest.mark.parametrize("metrics", ["off", "path"])
async def test_metrics_elsewhere(metrics: str) -> None:
    """Without an address of their own the metrics need no port."""
    assert [finding.level for finding in await setting_checks.ports(settings(metrics=metrics))] == [Level.OK] * 2


async def test_ports_of_another_program() -> None:
    """A port that another program has fails, with the variable that moves it."""
    with fake_service({("GET", "/livez"): Answer(200, "hello")}) as other:
        port = int(other.url.rpartition(":")[2])
        found = await setting_checks.ports(settings(port=port, metrics=f"127.0.0.1:{port}"))
    assert [finding.level for finding in found] == [Level.FAIL] * 2
    assert "KEYWRIGHT_PORT" in (found[0].fix or "")
    assert "KEYWRIGHT_METRICS" in (found[1].fix or "")


async def test_silent_program() -> None:
    """A program that has the port and does not answer is another program."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
        silent.settimeout(0)
        (finding, _) = await setting_checks.ports(settings(port=silent.getsockname()[1]))
    assert finding.level is Level.FAIL


async def test_port_of_a_running_service() -> None:
    """The doctor may run while the service runs."""
    with metrics.served("127.0.0.1:0") as url:
        assert url is not None
        (_, finding) = await setting_checks.ports(
            settings(metrics=url.removeprefix("http://").removesuffix("/metrics"))
        )
    assert finding.level is Level.OK
    assert "running service" in finding.message


@pytest.mark.parametrize("address", ["no-such-host.invalid:9464", "203.0.113.1:9464"])
async def test_impossible_address(address: str) -> None:
    """An address that this host cannot listen on fails."""
    (_, finding) = await setting_checks.ports(settings(metrics=address))
    assert finding.level is Level.FAIL
