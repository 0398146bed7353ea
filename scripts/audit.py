"""
Look the locked packages up in the advisory database, and say aloud what could not be looked up.

    python scripts/audit.py requirements/server.txt

Exits with 1 when a known vulnerability is found, and when a locked package has no hash. A machine that cannot reach
the database gets a warning: an advisory that cannot be read is no finding.
"""

import json
import re
import subprocess
import sys
from pathlib import Path


def main(lock: Path) -> int:
    """Audit one lock file."""
    unhashed = _without_hash(lock.read_text())
    if unhashed:
        print(f"{lock}: no hash for {', '.join(unhashed)}", file=sys.stderr)
        return 1
    command = ["pip-audit", "--requirement", str(lock), "--disable-pip", "--require-hashes", "--format", "json"]
    result = subprocess.run(  # noqa: S603 - a fixed command
        [str(Path(sys.executable).parent / command[0]), *command[1:]], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"audit: SKIPPED, the advisory database did not answer; try again: {' '.join(command)}")
        return 0
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    found = [(package, flaw) for package in packages for flaw in package.get("vulns", ())]
    for package, flaw in found:
        print(f"audit: {package['name']} {package['version']}: {flaw['id']}, fixed in {flaw['fix_versions']}")
    if skipped:
        print(f"audit: SKIPPED {len(skipped)} packages the advisory database does not answer for on this machine;")
        print(f"audit: elsewhere, run: {' '.join(command[:-2])}")
    print(f"audit: {len(packages) - len(skipped)} packages looked up, {len(found)} known vulnerabilities")
    return 1 if found else 0


def _without_hash(lock: str) -> list[str]:
    requirements = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return [text.split("==")[0] for text in requirements if "==" in text and "--hash=sha256:" not in text]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
