"""
Look the locked packages up in an advisory database, and say aloud what could not be looked up.

    python scripts/audit.py requirements/server.txt

Exits with 1 when a known vulnerability is found, when a locked package has no hash, and in continuous integration when
nothing was looked up although an advisory database answers. A machine that reaches none gets a warning that stands
out: an advisory that cannot be read is no finding.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

DATABASES = ("pypi", "osv")
"""As pip-audit names them; the second is asked when the first looks nothing up."""

KNOWN = "jinja2==2.4.1\n"
"""A release with published advisories: a database that names none of them is none, or a mirror without them."""


def main(
    lock: Path,
    look_up: Callable[[Path, str], Sequence[Any]],
    answers: Callable[[str], bool],
    environment: Mapping[str, str],
) -> int:
    """
    Audit one lock file.

    Args:
        lock: Requirements with hashes.
        look_up: Gives pip-audit's packages of a lock file by a database; none where that does not answer.
        answers: Tells whether a database gives advisories.
        environment: `CI` is set in continuous integration.
    """
    unhashed = _without_hash(lock.read_text())
    if unhashed:
        print(f"{lock}: no hash for {', '.join(unhashed)}", file=sys.stderr)
        return 1
    for database in DATABASES:
        packages = look_up(lock, database)
        looked_up = [package for package in packages if "skip_reason" not in package]
        if looked_up:
            return _judge(looked_up, len(packages))
    available = [database for database in DATABASES if answers(database)]
    if available and environment.get("CI"):
        print(f"audit: FAILED, nothing was looked up, although {' and '.join(available)} give advisories")
        return 1
    print("audit: ************************************************************************************")
    print("audit: SKIPPED: NOTHING WAS LOOKED UP. This machine reaches no advisory database for Python.")
    print(f"audit: Elsewhere, run: pip-audit --requirement {lock} --disable-pip --require-hashes")
    print("audit: ************************************************************************************")
    return 0


def _judge(looked_up: Sequence[Any], locked: int) -> int:
    found = [(package, flaw) for package in looked_up for flaw in package.get("vulns", ())]
    for package, flaw in found:
        print(f"audit: {package['name']} {package['version']}: {flaw['id']}, fixed in {flaw['fix_versions']}")
    if locked > len(looked_up):
        print(f"audit: SKIPPED {locked - len(looked_up)} packages that the advisory database does not know")
    print(f"audit: {len(looked_up)} packages looked up, {len(found)} known vulnerabilities")
    return 1 if found else 0


def pip_audit(lock: Path, database: str, kind: str = "--require-hashes") -> Sequence[Any]:
    """Look a lock file up with pip-audit; give nothing where the database does not answer."""
    command = [str(Path(sys.executable).parent / "pip-audit"), "--requirement", str(lock), "--vulnerability-service"]
    command += [database, "--disable-pip", kind, "--format", "json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    try:
        packages: Sequence[Any] = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError):
        return []
    return packages


def gives_advisories(database: str) -> bool:
    """Tell whether a database names the advisories of a release that has some."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as known:
        known.write(KNOWN)
        known.flush()
        return any(package.get("vulns") for package in pip_audit(Path(known.name), database, "--no-deps"))


def _without_hash(lock: str) -> list[str]:
    requirements = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return [text.split("==")[0] for text in requirements if "==" in text and "--hash=sha256:" not in text]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), pip_audit, gives_advisories, os.environ))
