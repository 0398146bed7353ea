"""The doctor's check of the certificate, and what it says about proxies without a credential."""

from pathlib import Path
from typing import Any

import pytest

from keywright import config
from keywright.cli.doctor import certificate as certificate_checks
from keywright.cli.doctor import settings as setting_checks
from keywright.cli.doctor.results import Level
from keywright.config import Settings
from tests.certificates import Authority, ago, ahead


def settings(**changed: Any) -> Settings:
    return config.load(auth0_domain="", issuer="https://i.example/", audience="a", **changed)


def test_no_certificate() -> None:
    """Without TLS there is nothing to check."""
    assert certificate_checks.check(settings()) == []


def test_a_good_certificate(tmp_path: Path) -> None:
    """A certificate that lasts is fine, with its names, its chain and its days."""
    authority = Authority(tmp_path)
    authority.issue("keys.acme.example", begins=ago(days=10), ends=ahead(days=80, hours=1))
    (finding,) = certificate_checks.check(settings(**authority.settings))
    assert (finding.level, finding.message) == (
        Level.OK,
        "It is for keys.acme.example, has 0 intermediate certificates behind it, and ends in 80 days.",
    )


@pytest.mark.parametrize(("life", "left", "level"), [(90, 17, Level.WARN), (90, 19, Level.OK), (6, 2, Level.OK)])
def test_a_certificate_that_ends_soon(tmp_path: Path, life: int, left: int, level: Level) -> None:
    """A certificate is warned about in the last fifth of its life: whoever renews it should have done so before."""
    authority = Authority(tmp_path)
    authority.issue(begins=ago(days=life - left), ends=ahead(days=left, hours=1))
    (finding,) = certificate_checks.check(settings(**authority.settings))
    assert finding.level is level
    assert f"ends in {left} days" in finding.message


def test_an_unusable_certificate(tmp_path: Path) -> None:
    """A certificate with which the service would not start fails with the same sentence."""
    authority = Authority(tmp_path)
    authority.issue(ends=ago(days=1))
    (finding,) = certificate_checks.check(settings(**authority.settings))
    assert finding.level is Level.FAIL
    assert finding.message.startswith("KEYWRIGHT_TLS_CERTIFICATE: the certificate expired at ")


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    """A key that other users can read is warned about; one that a group reads is not."""
    authority = Authority(tmp_path)
    authority.issue()
    for mode, levels in ((0o640, [Level.OK]), (0o644, [Level.OK, Level.WARN])):
        Path(authority.files.key).chmod(mode)
        assert [finding.level for finding in certificate_checks.check(settings(**authority.settings))] == levels


@pytest.mark.parametrize(
    ("given", "level", "expected"),
    [
        ({"forward_auth": "open"}, Level.OK, "Whoever reaches the port"),
        ({"forward_auth_from": ("10.0.0.0/8", "::1")}, Level.OK, "from 10.0.0.0/8, ::1/128 may"),
        ({"forward_auth_from": ("0.0.0.0/0",)}, Level.WARN, "from 0.0.0.0/0 may"),
    ],
)
def test_who_needs_no_credential(given: dict[str, Any], level: Level, expected: str) -> None:
    """The doctor says who may try keys without a credential, and warns where that is everybody."""
    finding = setting_checks.check(settings(**given))[-1]
    assert (finding.subject, finding.level) == ("forward auth", level)
    assert expected in finding.message
