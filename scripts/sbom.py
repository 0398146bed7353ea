"""
Write the software bill of materials of what `pip install` of a lock file installs, as CycloneDX 1.6 JSON.

    python scripts/sbom.py requirements/server.txt sbom.json

Every package has its version, its package URL, and the SHA-256 of each file that the lock accepts. The same lock gives
the same bytes: the serial number is derived from it, and no time is written.
"""

import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from keywright import __version__

_PACKAGE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def main(lock: Path, target: Path) -> None:
    """Write the bill of one lock file."""
    text = lock.read_text()
    product = Component(type=ComponentType.APPLICATION, name="keywright", version=__version__)
    product.bom_ref.value = "keywright"
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, text))
    bom.metadata.component = product
    # The time of writing would make two bills of one lock differ.
    bom.metadata.timestamp = None
    packages = list(_packages(text))
    for package in packages:
        bom.components.add(package)
    bom.register_dependency(product, packages)
    written = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    target.write_text(written + "\n")
    print(f"sbom: {len(packages)} packages in {target}")


def _packages(lock: str) -> Iterator[Component]:
    for name, version_, rest in _PACKAGE.findall(lock):
        url = PackageURL("pypi", name=name.lower(), version=version_)
        yield Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version_,
            purl=url,
            bom_ref=str(url),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in _HASH.findall(rest)],
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
