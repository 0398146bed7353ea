"""
The certificate of the server: read from two PEM files, and read again when their content changes.

`tls` takes the context of each new connection from it. Neither a log line nor an error has anything of a file but its
path and what kind of file it is not.
"""

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from keywright import telemetry

LOOK_SECONDS = 5.0
"""The pause between two looks at the files."""
_PATIENCE_SECONDS = 1.0
_MOST_BYTES = 1024 * 1024
_CERTIFICATE, _KEY = "KEYWRIGHT_TLS_CERTIFICATE", "KEYWRIGHT_TLS_KEY"
# Forward secrecy and authenticated encryption; those of TLS 1.3 have both.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"

_log = telemetry.Log("keywright.tls")


class UnusableCertificate(Exception):
    """The files cannot be used; the message is a sentence that names the setting."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The paths of two PEM files: the certificate with its intermediate ones behind it, and its private key."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """
    A certificate that is valid now, with its key in `context`.

    `names` are the host names and addresses that it is for, `intermediates` the number of certificates behind it,
    `begins` and `ends` its times (UTC). `content` is a digest of both files.
    """

    files: CertificateFiles
    context: ssl.SSLContext
    names: tuple[str, ...]
    intermediates: int
    begins: datetime
    ends: datetime
    content: bytes


def load(files: CertificateFiles, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> LoadedCertificate:
    """
    Read the certificate and its key.

    Args:
        files: The paths.
        now: The current time, aware.

    Raises:
        UnusableCertificate: A file cannot be read or is no PEM file, the key is encrypted or that of another
            certificate, or the certificate is not valid now.
    """
    chain, key = _bytes_of(files)
    certificates = _certificates(chain)
    leaf = certificates[0]
    _require_time(leaf, now())
    if _public(leaf) != _public(_private_key(key)):
        raise UnusableCertificate(f"{_KEY}: the key is not that of the certificate in {_CERTIFICATE}.")
    context = _context(files)
    if _bytes_of(files) != (chain, key):
        raise UnusableCertificate(f"{_CERTIFICATE}: the files changed while they were read.")
    return LoadedCertificate(
        files,
        context,
        _names(leaf),
        len(certificates) - 1,
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        _digest(chain, key),
    )


class ServerCertificate:
    """
    The certificate of new connections; connections that are open keep theirs.

    Args:
        loaded: The first certificate.
        now: The current time, aware.
    """

    def __init__(self, loaded: LoadedCertificate, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        # The reason that was logged last, with the content of the files.
        self._told: tuple[str, bytes] | None = None
        self._hurry = threading.Event()
        self._use(loaded)

    @property
    def context(self) -> ssl.SSLContext:
        """The settings of a new connection."""
        return self._loaded.context

    def watch(self) -> None:
        """Look at the files again and again, from a thread that ends with the process: a file system may hang."""
        threading.Thread(target=self._watch, daemon=True, name="certificate watch").start()

    def hurry(self) -> None:
        """Look at the files now; may be called by the handler of a signal."""
        self._hurry.set()

    def look(self) -> None:
        """
        Use what the files contain now, if it is something else.

        What cannot be used is logged once, and the former certificate stays; it is tried again at each look, since a
        certificate may become valid later.
        """
        try:
            content = _digest(*_bytes_of(self._loaded.files))
            if content == self._loaded.content:
                return
            loaded = load(self._loaded.files, now=self._now)
        except UnusableCertificate as error:
            self._tell(str(error))
            return
        self._use(loaded)
        self._told = None
        _log.info("the certificate was renewed", ends=loaded.ends.isoformat())

    def _use(self, loaded: LoadedCertificate) -> None:
        self._loaded = loaded
        telemetry.certificate_end.labels("api").set(loaded.ends.timestamp())

    def _tell(self, reason: str) -> None:
        try:
            told = reason, _digest(*_bytes_of(self._loaded.files))
        except UnusableCertificate:
            told = reason, b""
        if told != self._told:
            self._told = told
            _log.error("the new certificate cannot be used; the former one stays", reason=reason)

    def _watch(self) -> None:
        while True:
            self._hurry.wait(LOOK_SECONDS)
            self._hurry.clear()
            try:
                self.look()
            except Exception:  # noqa: BLE001 - it is logged whole, and the next look may succeed
                _log.exception("unexpected error")


def await_usable(files: CertificateFiles, *, pause: Callable[[float], object] = time.sleep) -> ServerCertificate:
    """
    Give the certificate of a worker; while its files cannot be used, wait for others, for ever.

    The files were good when the service started, and a worker that ends now would be replaced by one that ends, too.

    Args:
        files: The paths.
        pause: Waits for so many seconds.
    """
    told = ""
    while True:
        try:
            return ServerCertificate(load(files))
        except UnusableCertificate as error:
            if str(error) != told:
                told = str(error)
                _log.error("a worker waits for a certificate that can be used", reason=told)
        pause(_PATIENCE_SECONDS)


def _bytes_of(files: CertificateFiles) -> tuple[bytes, bytes]:
    return _read(files.certificate, _CERTIFICATE), _read(files.key, _KEY)


def _read(path: str, setting: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise UnusableCertificate(f"{setting}: {path} cannot be read: {reason}.") from None
    if len(content) > _MOST_BYTES:
        raise UnusableCertificate(f"{setting}: {path} is larger than 1 MiB.")
    return content


def _certificates(content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise UnusableCertificate(f"{_CERTIFICATE}: the file has no certificate in the PEM format.") from None


def _private_key(content: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(content, None)
    except TypeError:
        raise UnusableCertificate(f"{_KEY}: the key is encrypted; it must be without a passphrase.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableCertificate(f"{_KEY}: the file has no private key in the PEM format.") from None


def _public(half: x509.Certificate | PrivateKeyTypes) -> bytes:
    return half.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _require_time(leaf: x509.Certificate, now: datetime) -> None:
    if now >= leaf.not_valid_after_utc:
        raise UnusableCertificate(f"{_CERTIFICATE}: the certificate expired at {_shown(leaf.not_valid_after_utc)}.")
    if now < leaf.not_valid_before_utc:
        begins = _shown(leaf.not_valid_before_utc)
        raise UnusableCertificate(f"{_CERTIFICATE}: the certificate is not valid before {begins}.")


def _context(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a passphrase OpenSSL would ask at the terminal, if an encrypted key came in its place just now.
        context.load_cert_chain(files.certificate, files.key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise UnusableCertificate(f"{_CERTIFICATE}: OpenSSL does not accept the certificate: {reason}.") from None
    return context


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return (
        *found.get_values_for_type(x509.DNSName),
        *(str(address) for address in found.get_values_for_type(x509.IPAddress)),
    )


def _digest(chain: bytes, key: bytes) -> bytes:
    return sha256(sha256(chain).digest() + key).digest()


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
