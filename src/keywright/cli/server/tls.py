"""The certificate of a server that speaks TLS itself, read before the start, so that a bad one is one sentence."""

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
