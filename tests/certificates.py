"""Certificates of servers, by an authority of the test's own."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509

from keywright.api.server.certificate import CertificateFiles


class Authority:
    """
    An authority, and the files of one server's certificate in *folder*.

    `path` is the file with the certificate of the authority, for clients.
    """

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.path, self._folder = folder / "authority.pem", folder
        self._ca.cert_pem.write_to_path(self.path)
        self.files = CertificateFiles(str(folder / "certificate.pem"), str(folder / "key.pem"))

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a service with this certificate."""
        return {"tls_certificate": self.files.certificate, "tls_key": self.files.key}

    def issue(
        self,
        *names: str,
        begins: datetime | None = None,
        ends: datetime | None = None,
        kind: trustme.KeyType = trustme.KeyType.ECDSA,
    ) -> int:
        """Put a new certificate into the files, as a renewal does, and give its serial number."""
        names = names or ("127.0.0.1", "localhost")
        made = self._ca.issue_cert(*names, not_before=begins, not_after=ends, key_type=kind)
        chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        self.put(chain, made.private_key_pem.bytes())
        return x509.load_pem_x509_certificate(chain).serial_number

    def put(self, chain: bytes, key: bytes) -> None:
        """Put something into the files, each at once."""
        for path, content in ((self.files.certificate, chain), (self.files.key, key)):
            new = self._folder / "new"
            new.write_bytes(content)
            new.chmod(0o600)
            new.replace(path)

    def trust(self, change: Callable[[ssl.SSLContext], object] = lambda context: None) -> ssl.SSLContext:
        """Give the settings of a client that trusts this authority alone."""
        context = ssl.create_default_context(cafile=self.path)
        change(context)
        return context


def ago(**time: float) -> datetime:
    """Give a moment before now."""
    return datetime.now(UTC) - timedelta(**time)


def ahead(**time: float) -> datetime:
    """Give a moment after now."""
    return datetime.now(UTC) + timedelta(**time)
