"""How commands find a running `keywright dev` by the file in its folder, and when they do not use it."""

from pathlib import Path

import pytest

from keywright.dev.environment import DevEnvironment
from keywright.dev.folder import DevFolder
from keywright.storage.migrate import migrate
from tests.cli.fake_service import Answer, fake_service
from tests.cli.in_folder import run
from tests.cli.key_answers import PATH

LIST = {("GET", f"{PATH}?limit=100"): Answer(200, [])}
FILE = ".keywright-dev/env"


def publish(folder: Path, url: str) -> DevFolder:
    """Leave the folder as a running `keywright dev` at *url* has it."""
    dev = DevFolder.create(folder / ".keywright-dev")
    migrate(dev.database_url)
    dev.save_environment(
        DevEnvironment(url=url, token="dev.dev.dev", verifier="kw_vk_x", database_url=dev.database_url)
    )
    return dev


def test_keys_use_the_running_service(tmp_path: Path) -> None:
    """Beside `keywright dev` its address and token are used without a variable, and standard error says so."""
    with fake_service(LIST) as service:
        publish(tmp_path, service.url)
        done = run(tmp_path, "keys", "list", "--json")
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert done.stderr == f"Using `keywright dev` at {service.url} ({FILE}).\n"
    assert [token for _, _, token, _ in service.seen] == ["Bearer dev.dev.dev"]


def test_a_token_of_the_environment_is_stronger(tmp_path: Path) -> None:
    """A token of the environment goes before that of the file, so one can act for the other organization."""
    with fake_service(LIST) as service:
        publish(tmp_path, service.url)
        run(tmp_path, "keys", "list", token="my.own.token")
    assert [token for _, _, token, _ in service.seen] == ["Bearer my.own.token"]


def test_an_address_of_the_environment_is_stronger(tmp_path: Path) -> None:
    """With KEYWRIGHT_URL the file is not read: its token is never sent to another service."""
    with fake_service({}) as dev, fake_service(LIST) as other:
        publish(tmp_path, dev.url)
        without = run(tmp_path, "keys", "list", url=other.url)
        assert (without.returncode, other.seen) == (2, [])
        assert without.stderr.startswith("KEYWRIGHT_TOKEN is not set")
        done = run(tmp_path, "keys", "list", url=other.url, token="a.b.c")
    assert (done.returncode, done.stderr, dev.seen) == (0, "", [])


def test_a_service_that_has_ended(tmp_path: Path) -> None:
    """After `keywright dev` has ended, the error names the file and what to do."""
    with fake_service({}) as service:
        publish(tmp_path, service.url)
    done = run(tmp_path, "keys", "list")
    assert (done.returncode, done.stdout) == (5, "")
    assert f"{service.url} cannot be reached" in done.stderr
    assert done.stderr.endswith(
        f"{FILE} has this address: start `keywright dev` here again, or set KEYWRIGHT_URL and KEYWRIGHT_TOKEN.\n"
    )


@pytest.mark.parametrize("url", ["https://keys.acme.example", "http://192.0.2.7:8080", "http://localhost.example", "x"])
def test_another_host_is_refused(url: str, tmp_path: Path) -> None:
    """A file that names another host than this one is refused, whatever token there is."""
    publish(tmp_path, url)
    done = run(tmp_path, "keys", "list", token="my.own.token")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{FILE} names another host")


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604])
def test_a_file_of_others_is_refused(mode: int, tmp_path: Path) -> None:
    """A file that others can read or change is refused; git gives every file such a mode."""
    with fake_service(LIST) as service:
        publish(tmp_path, service.url)
        (tmp_path / FILE).chmod(mode)
        done = run(tmp_path, "keys", "list")
        assert service.seen == []
    assert done.returncode == 2
    assert done.stderr.startswith(f"{FILE} is not used: it must be its owner's alone (chmod 600).")


def test_verifiers_use_its_database(tmp_path: Path) -> None:
    """Verifiers go into the database of `keywright dev`, whether or not it runs, and standard error says so."""
    publish(tmp_path, "http://127.0.0.1:1")
    created = run(tmp_path, "verifiers", "create", "api-1")
    assert created.returncode == 0, created.stderr
    path = tmp_path / ".keywright-dev" / "keywright.db"
    assert created.stderr.startswith(f"Using the database of `keywright dev`, sqlite:///{path} ({FILE}).\n")
    assert "api-1" in run(tmp_path, "verifiers", "list", database_url=f"sqlite:///{path}").stdout
    assert not (tmp_path / "keywright.db").exists()


def test_two_databases(tmp_path: Path) -> None:
    """Beside a database of `keywright serve` nothing is guessed: the error names both, and what to set."""
    publish(tmp_path, "http://127.0.0.1:1")
    migrate(f"sqlite:///{tmp_path}/keywright.db")
    done = run(tmp_path, "verifiers", "create", "api-1")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/keywright.db and that of `keywright dev`: set KEYWRIGHT_DATABASE_URL" in done.stderr
    named = run(tmp_path, "verifiers", "create", "api-1", database_url="sqlite:///keywright.db")
    assert named.returncode == 0
    assert ".keywright-dev" not in named.stderr
