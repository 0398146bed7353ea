"""The check of the certificate with which the service speaks TLS itself."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from keywright.cli.doctor import results
from keywright.cli.doctor.results import CheckResult
from keywright.config import Settings

_OTHERS = 0o006
# Whoever renews certificates does so when a third of their life is left.
_LEAST_OF_LIFE = 0.2


def check(settings: Settings, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[CheckResult]:
    """
    Check that the certificate can be used, lasts for a while, and that its key is nobody else's; nothing without TLS.

    Args:
        settings: All settings of the service.
        now: The current time, aware.
    """
    if settings.tls_files is None:
        return []
    # Not at the top: most services have no certificate, and it takes a while to import.
    from keywright.api.server.certificate import CertificateFiles, UnusableCertificate, load

    try:
        found = load(CertificateFiles(*settings.tls_files), now=now)
    except UnusableCertificate as error:
        return [results.fail("certificate", str(error), "Correct the setting, or replace the file.")]
    left, life = found.ends - now(), found.ends - found.begins
    names = ", ".join(found.names) or "no name"
    chain = f"{found.intermediates} intermediate certificate{'' if found.intermediates == 1 else 's'} behind it"
    message = f"It is for {names}, has {chain}, and ends in {left.days} day{'' if left.days == 1 else 's'}."
    if left < _LEAST_OF_LIFE * life:
        told = results.warn("certificate", message, "Check what renews it; a new file is used without a restart.")
    else:
        told = results.ok("certificate", message)
    return [told, *_exposed(settings.tls_files[1])]


def _exposed(key: str) -> list[CheckResult]:
    try:
        mode = Path(key).stat().st_mode
    except OSError:
        return []
    if not mode & _OTHERS:
        return []
    message = f"Other users of this machine can read {key}, or write to it."
    return [results.warn("certificate key", message, f"chmod o-rwx {key}")]
