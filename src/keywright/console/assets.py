"""The files of `static/`: their bytes, plain and compressed, their types and entity tags."""

import gzip
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import NamedTuple

# A type from the machine's own table may be another one, and a browser runs no module of a wrong type.
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".toml": "text/plain; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",
}


class Asset(NamedTuple):
    """A file: its bytes, the same compressed, its media type, and its strong entity tag."""

    plain: bytes
    compressed: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "Asset":
        """
        Make the asset of a file.

        Raises:
            KeyError: `TYPES` has no type for it.
        """
        etag = f'"{sha256(content).hexdigest()[:32]}"'
        return cls(content, gzip.compress(content, mtime=0), TYPES[PurePosixPath(name).suffix], etag)


class Assets:
    """
    The files of one folder of `static/`, read when the first of them is asked for.

    Args:
        folder: The name of the folder, such as `element`.
        version: The version of the package, which begins that of the files.
    """

    def __init__(self, folder: str, version: str) -> None:
        self._folder = folder
        self._package_version = version

    @cached_property
    def by_path(self) -> Mapping[str, Asset]:
        """The files by their paths in the folder, with slashes."""
        root = files(__package__).joinpath("static", self._folder)
        return {path: Asset.of(path, content) for path, content in sorted(_read(root, ""))}

    @cached_property
    def version(self) -> str:
        """The version of the files; another content has another one. Letters, digits, dots and a hyphen."""
        content = sha256("".join(f"{path}{asset.etag}" for path, asset in self.by_path.items()).encode())
        return f"{self._package_version}-{content.hexdigest()[:12]}"


def _read(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.read_bytes()
