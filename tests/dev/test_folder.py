"""The folder of `keywright dev`."""

import stat
from pathlib import Path

import pytest

from keywright.dev.folder import DevFolder, DevFolderError
from keywright.dev.issuer import DevIssuer


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> DevFolder:
    return DevFolder.create(tmp_path / "a" / "dev")


def test_key_is_made_once(folder: DevFolder) -> None:
    """The key is the same on every start, so that tokens outlive one."""
    assert folder.signing_key().kid == folder.signing_key().kid


def test_only_the_owner_reads_the_key(folder: DevFolder) -> None:
    """The key can sign tokens: it has mode 0600 in a folder of mode 0700, and nothing else left behind."""
    folder.signing_key()
    assert mode(folder.path) == 0o700
    assert mode(folder.path / "issuer-key.pem") == 0o600
    assert {path.name for path in folder.path.iterdir()} == {".gitignore", "issuer-key.pem"}


def test_folder_stays_out_of_repositories(folder: DevFolder) -> None:
    """git ignores all of it, wherever it is made."""
    assert (folder.path / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_damaged_key(folder: DevFolder, content: bytes) -> None:
    """A damaged key is named, with what to do; it is not replaced silently."""
    (folder.path / "issuer-key.pem").write_bytes(content)
    with pytest.raises(DevFolderError, match=r"issuer-key\.pem is no readable RSA key; delete it"):
        folder.signing_key()
    assert (folder.path / "issuer-key.pem").read_bytes() == content


def test_folder_in_the_way_of_a_file(tmp_path: Path) -> None:
    """A path that cannot be a folder is an error with a sentence."""
    (tmp_path / "dev").write_text("")
    with pytest.raises(DevFolderError, match="cannot be used"):
        DevFolder.create(tmp_path / "dev")


def test_issuer_is_remembered(folder: DevFolder) -> None:
    """Tokens signed from the folder are those of the issuer that was started there."""
    with DevIssuer(folder.signing_key(), audience="urn:x") as running:
        folder.save_address(running)
        again = folder.issuer()
        assert (again.url, again.audience, again.jwks()) == (running.url, running.audience, running.jwks())


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"host": "x", "port": "y", "audience": "z"}'])
def test_no_issuer_yet(folder: DevFolder, content: str | None) -> None:
    """Without an issuer there is nothing to sign for, and the sentence says what to start."""
    if content is not None:
        (folder.path / "issuer.json").write_text(content)
    with pytest.raises(DevFolderError, match="start `keywright dev` first"):
        folder.issuer()
