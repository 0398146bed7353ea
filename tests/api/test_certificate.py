"""The certificate of the server: what is refused, and how it is renewed."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from prometheus_client import REGISTRY

from keywright.api.server.certificate import (
    CertificateFiles,
    ServerCertificate,
    UnusableCertificate,
    await_usable,
    load,
)
from tests.certificates import Authority, ago, ahead
from tests.logs import logging_to

CERTIFICATE, KEY = "KEYWRIGHT_TLS_CERTIFICATE", "KEYWRIGHT_TLS_KEY"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that has issued a good certificate."""
    authority = Authority(tmp_path)
    authority.issue()
    return authority


def refusal(files: CertificateFiles) -> str:
    with pytest.raises(UnusableCertificate) as caught:
        load(files)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("kind", trustme.KeyType)
def test_a_good_certificate(authority: Authority, kind: trustme.KeyType) -> None:
    """A certificate of either kind is read with its names and times; whatever is older than TLS 1.2 is off."""
    ends = ahead(days=9).replace(microsecond=0)
    authority.issue("keys.acme.example", "10.0.0.1", ends=ends, kind=kind)
    found = load(authority.files)
    assert (found.names, found.intermediates, found.ends) == (("keys.acme.example", "10.0.0.1"), 0, ends)
    assert found.context.minimum_version.name == "TLSv1_2"
    assert all("GCM" in each["name"] or "CHACHA20" in each["name"] for each in found.context.get_ciphers())


def test_one_file_for_both(authority: Authority) -> None:
    """Certificate and key may be in one file, in any order."""
    chain, key = (Path(path).read_bytes() for path in (authority.files.certificate, authority.files.key))
    for content in (chain + key, key + chain):
        authority.put(content, b"")
        load(CertificateFiles(authority.files.certificate, authority.files.certificate))


def encrypted(key: bytes) -> bytes:
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter22")
    )


@pytest.mark.parametrize(
    ("setting", "change", "expected"),
    [
        (CERTIFICATE, lambda chain, key: (b"", key), "no certificate in the PEM format"),
        (CERTIFICATE, lambda chain, key: (b"hunter22", key), "no certificate in the PEM format"),
        (CERTIFICATE, lambda chain, key: (key, key), "no certificate in the PEM format"),
        (CERTIFICATE, lambda chain, key: (chain[: len(chain) // 2], key), "no certificate in the PEM format"),
        (CERTIFICATE, lambda chain, key: (bytes(2**20 + 1), key), "larger than 1 MiB"),
        (KEY, lambda chain, key: (chain, b""), "no private key in the PEM format"),
        (KEY, lambda chain, key: (chain, chain), "no private key in the PEM format"),
        (KEY, lambda chain, key: (chain, key[: len(key) // 2]), "no private key in the PEM format"),
        (KEY, lambda chain, key: (chain, encrypted(key)), "without a passphrase"),
    ],
)
def test_unusable_content(
    authority: Authority, setting: str, change: Callable[[bytes, bytes], tuple[bytes, bytes]], expected: str
) -> None:
    """Content that cannot be used is one sentence that names the setting and quotes nothing of it."""
    authority.put(*change(*(Path(path).read_bytes() for path in (authority.files.certificate, authority.files.key))))
    found = refusal(authority.files)
    assert found.startswith(f"{setting}: ")
    assert expected in found
    assert "hunter22" not in found


@pytest.mark.parametrize(("setting", "number"), [(CERTIFICATE, 0), (KEY, 1)])
def test_a_file_that_cannot_be_read(authority: Authority, setting: str, number: int) -> None:
    """A file that is not there, or is a folder, is named with the setting and the reason."""
    path = Path((authority.files.certificate, authority.files.key)[number])
    path.unlink()
    assert refusal(authority.files) == f"{setting}: {path} cannot be read: No such file or directory."
    path.mkdir()
    assert refusal(authority.files) == f"{setting}: {path} cannot be read: Is a directory."


@pytest.mark.parametrize("kind", trustme.KeyType)
def test_the_key_of_another_certificate(authority: Authority, kind: trustme.KeyType) -> None:
    """A key that does not belong to the certificate is refused, of whatever kind it is."""
    chain = Path(authority.files.certificate).read_bytes()
    authority.issue(kind=kind)
    authority.put(chain, Path(authority.files.key).read_bytes())
    assert refusal(authority.files) == f"{KEY}: the key is not that of the certificate in {CERTIFICATE}."


def test_times(authority: Authority) -> None:
    """A certificate that has expired, or is not valid yet, is refused with its time."""
    authority.issue(ends=ago(days=1))
    assert f"{CERTIFICATE}: the certificate expired at 20" in refusal(authority.files)
    authority.issue(begins=ahead(days=1), ends=ahead(days=2))
    assert f"{CERTIFICATE}: the certificate is not valid before 20" in refusal(authority.files)


def end_in_metrics() -> float | None:
    return REGISTRY.get_sample_value("keywright_certificate_end_timestamp_seconds", {"listener": "api"})


class Renewed:
    """A certificate in use, and what was logged about it."""

    def __init__(self, authority: Authority) -> None:
        self.stream = io.StringIO()
        self.used = ServerCertificate(load(authority.files))

    def look(self) -> list[dict[str, Any]]:
        """Look at the files, and give all lines so far."""
        with logging_to(self.stream):
            self.used.look()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def test_renewal(authority: Authority) -> None:
    """New files are used once, and logged; files with the same content are not new."""
    renewed = Renewed(authority)
    first = renewed.used.context
    chain, key = (Path(path).read_bytes() for path in (authority.files.certificate, authority.files.key))
    authority.put(chain, key)
    assert renewed.look() == []
    assert renewed.used.context is first
    ends = ahead(days=33).replace(microsecond=0)
    authority.issue(ends=ends)
    (line,) = renewed.look()
    assert (line["event"], line["level"], line["ends"]) == ("the certificate was renewed", "info", ends.isoformat())
    assert renewed.used.context is not first
    assert end_in_metrics() == ends.timestamp()
    assert len(renewed.look()) == 1


@pytest.mark.parametrize("broken", ["mismatched", "gone", "expired", "no certificate"])
def test_a_broken_renewal(authority: Authority, broken: str) -> None:
    """What cannot be used is logged once, and the former certificate stays until the files are good."""
    renewed = Renewed(authority)
    first, ends = renewed.used.context, end_in_metrics()
    if broken == "gone":
        Path(authority.files.key).unlink()
    elif broken == "expired":
        authority.issue(ends=ago(days=1))
    elif broken == "no certificate":
        authority.put(b"", b"")
    else:
        chain = Path(authority.files.certificate).read_bytes()
        authority.issue()
        authority.put(chain, Path(authority.files.key).read_bytes())
    for _ in range(3):
        (line,) = renewed.look()
        assert (line["level"], line["logger"]) == ("error", "keywright.tls")
        assert line["reason"].startswith("KEYWRIGHT_TLS_")
    assert renewed.used.context is first
    assert end_in_metrics() == ends
    authority.issue()
    assert [line["level"] for line in renewed.look()] == ["error", "info"]
    assert renewed.used.context is not first


def test_broken_in_another_way(authority: Authority) -> None:
    """Another broken content is logged again, though the reason is the same."""
    renewed = Renewed(authority)
    for number in range(2):
        authority.put(b"%d" % number, b"")
        assert len(renewed.look()) == number + 1


def test_a_worker_waits_for_a_usable_certificate(authority: Authority) -> None:
    """A worker whose files cannot be used logs that once, and begins when they can."""
    authority.put(b"", b"")
    pauses = 0

    def pause(_seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 3:
            authority.issue()

    stream = io.StringIO()
    with logging_to(stream):
        assert await_usable(authority.files, pause=pause).context is not None
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["level"] == "error"
    assert pauses == 3
