"""
Write the Swagger UI of `/docs`: files of the npm package, unchanged, and what they are.

    python scripts/vendor_swagger_ui.py NODE_MODULES

reads `NODE_MODULES/swagger-ui-dist`, and writes `FILES` and `VENDOR.toml`.
"""

import hashlib
import json
import sys
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "src" / "keywright" / "console" / "static" / "docs" / "vendor"
PACKAGE = "swagger-ui-dist"

FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt")


def read(modules: Path) -> dict[str, bytes]:
    """Read `FILES` out of a folder `node_modules`."""
    return {name: (modules / PACKAGE / name).read_bytes() for name in FILES}


def description(modules: Path) -> str:
    """Give the text of `VENDOR.toml` for the package in the folder *modules*."""
    package = json.loads((modules / PACKAGE / "package.json").read_text())
    lines = ["# Written by scripts/vendor_swagger_ui.py.", f'package = "{PACKAGE}"']
    lines += [f'version = "{package["version"]}"', f'license = "{package["license"]}"', 'edit = "none"', "", "[sha256]"]
    lines += [f'"{name}" = "{hashlib.sha256(content).hexdigest()}"' for name, content in read(modules).items()]
    return "\n".join(lines) + "\n"


def main(modules: Path) -> None:
    """Write the files."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    for name, content in read(modules).items():
        (VENDOR / name).write_bytes(content)
    (VENDOR / "VENDOR.toml").write_text(description(modules))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
