"""The certificate of a server that speaks TLS itself: read before a start, and trusted by commands of this machine."""

import ssl
from typing import TYPE_CHECKING

from keywright.cli import exits

if TYPE_CHECKING:
    from keywright.api.server.certificate import LoadedCertificate


def certificate(files: tuple[str, str] | None) -> "LoadedCertificate | None":
    """
    Read the certificate and its key; what cannot be used ends the command.

    Args:
        files: The paths of both, as in the settings; None for plain HTTP.
    """
    if files is None:
        return None
    # Not at the top: it imports prometheus_client, which must come after `metrics.shared_folder`.
    from keywright.api.server.certificate import CertificateFiles, UnusableCertificate, load

    with exits.ending_on(UnusableCertificate, code=exits.MISUSED):
        return load(CertificateFiles(*files))


def trust_in(certificate: str | None) -> ssl.SSLContext:
    """
    Make the settings of a client that calls a server of this machine, and trusts its certificate and no other.

    Args:
        certificate: The path in the settings of that server; None where it speaks plain HTTP.

    Raises:
        OSError: The file cannot be read, or is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificate is not None:
        # The address is one of this machine, whatever names the certificate has.
        context.check_hostname = False
        # The certificate of the server itself is trusted, without one of an authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(certificate)
    return context
