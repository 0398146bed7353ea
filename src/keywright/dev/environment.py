"""
The file `env` in the folder of `keywright dev`, by which other commands find the running demo.

It has a line `NAME=value` for each of four environment variables, so a shell can read it: `. .keywright-dev/env`. It
stays after the demo has ended, like the rest of the folder. A file that others can read or change is refused, so also
one that came out of a repository, because git never gives a file mode 0600. So is one that names another host: a token
of the environment could be sent there.
"""

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from keywright.keys.addresses import is_loopback

DEFAULT_FOLDER = Path(".keywright-dev")
FILE_NAME = "env"

_VARIABLES = {
    "KEYWRIGHT_URL": "url",
    "KEYWRIGHT_TOKEN": "token",
    "KEYWRIGHT_VERIFIER": "verifier",
    "KEYWRIGHT_DATABASE_URL": "database_url",
}
_OWNER_ONLY = 0o600


class EnvironmentFileError(Exception):
    """The file cannot be used; the message is one sentence with the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevEnvironment:
    """
    How to use a running demo.

    Args:
        url: The service's address on loopback, without a slash at the end.
        token: An access token of the organization Acme.
        verifier: The credential of the demo's verifier.
        database_url: The URL of the SQLite file.
    """

    url: str
    token: str
    verifier: str
    database_url: str

    @property
    def lines(self) -> str:
        """The content of the file; each value is quoted for a POSIX shell."""
        return "".join(f"{name}={shlex.quote(getattr(self, field))}\n" for name, field in _VARIABLES.items())

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """
        Read the file at *path*; None if there is none.

        Raises:
            EnvironmentFileError: Others can read or change it, it is malformed, or it names another host.
        """
        try:
            with path.open() as file:
                _require_owner_only(path, os.fstat(file.fileno()))
                text = file.read()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            raise EnvironmentFileError(f"{path} cannot be read.") from None
        return cls._parsed(path, text)

    @classmethod
    def _parsed(cls, path: Path, text: str) -> Self:
        try:
            given = dict(word.split("=", 1) for word in shlex.split(text))
            found = cls(**{field: given[name] for name, field in _VARIABLES.items()})
            host = urlsplit(found.url).hostname or ""
        except (ValueError, KeyError):
            raise EnvironmentFileError(f"{path} is malformed; the next start of `keywright dev` writes it.") from None
        if not is_loopback(host) or not found.database_url.startswith("sqlite:"):
            raise EnvironmentFileError(f"{path} names another host, which `keywright dev` never does.")
        return found


def _require_owner_only(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & ~_OWNER_ONLY:
        raise EnvironmentFileError(f"{path} is not used: it must be its owner's alone (chmod 600).")
