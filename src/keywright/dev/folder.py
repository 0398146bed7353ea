"""The folder of `keywright dev`: the issuer's signing key and address, and the database."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keywright.dev.environment import FILE_NAME, DevEnvironment, EnvironmentFileError
from keywright.dev.issuer import DevIssuer, SigningKey

_KEY_NAME = "issuer-key.pem"
_ISSUER_NAME = "issuer.json"


class DevFolderError(Exception):
    """The folder cannot be used; the message is one sentence with the cause and the fix."""


@dataclass(frozen=True, slots=True)
class DevFolder:
    """A folder that only its owner can read. Its contents can be deleted at any time."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> Self:
        """
        Create the folder if it does not exist.

        Raises:
            DevFolderError: It cannot be created or written to.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One that exists, or a strict umask, may have another.
            path.chmod(0o700)
            # None of the files belongs in a repository.
            (path / ".gitignore").write_text("*\n")
        except OSError as error:
            raise DevFolderError(f"{path} cannot be used: {error.strerror}.") from None
        return cls(path)

    @property
    def database_url(self) -> str:
        """The URL of the demo's SQLite file."""
        return f"sqlite:///{self.path.resolve() / 'keywright.db'}"

    def signing_key(self) -> SigningKey:
        """
        Return the issuer's key, the same on every start; the first call creates it.

        Raises:
            DevFolderError: The file cannot be read, or has no RSA key.
        """
        path = self.path / _KEY_NAME
        if not path.exists():
            self._store_key(path, SigningKey.generate())
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError):
            key = None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise DevFolderError(f"{path} is no readable RSA key; delete it, and the next start creates a new one.")
        return SigningKey(key)

    def save_address(self, issuer: DevIssuer) -> None:
        """Store the address and audience of a running issuer, for `issuer`."""
        (self.path / _ISSUER_NAME).write_text(
            json.dumps({"host": issuer.host, "port": issuer.port, "audience": issuer.audience})
        )

    def issuer(self) -> DevIssuer:
        """
        Return the issuer that was last started in this folder, to sign with; this does not start it.

        Raises:
            DevFolderError: No issuer was started here.
        """
        try:
            saved = json.loads((self.path / _ISSUER_NAME).read_text())
            host, port, audience = str(saved["host"]), int(saved["port"]), str(saved["audience"])
        except (OSError, ValueError, TypeError, KeyError):
            raise DevFolderError(f"There is no issuer in {self.path} yet; start `keywright dev` first.") from None
        return DevIssuer(self.signing_key(), host=host, port=port, audience=audience)

    def save_environment(self, environment: DevEnvironment) -> None:
        """Store how to use the running demo, in place of the start before; other commands read it."""
        with self._complete_file(environment.lines.encode()) as temporary:
            temporary.replace(self.path / FILE_NAME)

    def former_environment(self) -> DevEnvironment | None:
        """Return what the start before stored; None if there was none, or the file cannot be used."""
        with contextlib.suppress(EnvironmentFileError):
            return DevEnvironment.read(self.path / FILE_NAME)
        return None

    def _store_key(self, path: Path, key: SigningKey) -> None:
        pem = key.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # A link, unlike a rename, does not replace the key of a process that was faster.
        with self._complete_file(pem) as temporary, contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)

    @contextlib.contextmanager
    def _complete_file(self, content: bytes) -> Iterator[Path]:
        """Yield a temporary file with *content*, which gets its name only when it is complete."""
        # mkstemp creates the file with mode 0600.
        handle, name = tempfile.mkstemp(dir=self.path)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
