"""The folder that `keywright dev` keeps its things in: the issuer's signing key and address, and the database."""

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keywright.dev.issuer import DevIssuer, SigningKey

_KEY_NAME = "issuer-key.pem"
_ISSUER_NAME = "issuer.json"


class DevFolderError(Exception):
    """The folder cannot be used; the message is one sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class DevFolder:
    """A folder that only its owner may read. What it holds can be thrown away."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> Self:
        """
        Make the folder, unless it is there.

        Raises:
            DevFolderError: That is not possible.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Nothing of it belongs into a repository.
            (path / ".gitignore").write_text("*\n")
        except OSError as error:
            raise DevFolderError(f"{path} cannot be used: {error.strerror}.") from None
        return cls(path)

    @property
    def database_url(self) -> str:
        """The database of the demo service."""
        return f"sqlite:///{self.path.resolve() / 'keywright.db'}"

    def signing_key(self) -> SigningKey:
        """
        Give the issuer's key, the same on every start; it is made when there is none.

        Raises:
            DevFolderError: The file cannot be read, or is no key.
        """
        path = self.path / _KEY_NAME
        if not path.exists():
            self._store_key(path, SigningKey.generate())
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError):
            key = None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise DevFolderError(f"{path} is no readable RSA key; delete it to have a new one made.")
        return SigningKey(key)

    def save_address(self, issuer: DevIssuer) -> None:
        """Write down where a running issuer is, for `issuer`."""
        (self.path / _ISSUER_NAME).write_text(
            json.dumps({"host": issuer.host, "port": issuer.port, "audience": issuer.audience})
        )

    def issuer(self) -> DevIssuer:
        """
        Give the issuer that was last started here, for signing; it is not started again.

        Raises:
            DevFolderError: None was.
        """
        try:
            saved = json.loads((self.path / _ISSUER_NAME).read_text())
            host, port, audience = str(saved["host"]), int(saved["port"]), str(saved["audience"])
        except (OSError, ValueError, TypeError, KeyError):
            raise DevFolderError(f"There is no issuer in {self.path} yet; start `keywright dev` first.") from None
        return DevIssuer(self.signing_key(), host=host, port=port, audience=audience)

    def _store_key(self, path: Path, key: SigningKey) -> None:
        pem = key.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # mkstemp gives mode 0600 from the beginning, and a file appears under its name whole or not at all.
        handle, temporary = tempfile.mkstemp(dir=self.path)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(pem)
            # A link, unlike a rename, leaves the key of somebody who was faster in place.
            with contextlib.suppress(FileExistsError):
                Path(path).hardlink_to(temporary)
        finally:
            Path(temporary).unlink()
