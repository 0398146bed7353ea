"""How the command line starts: at once, and without what a command does not need."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from keywright import __version__
from tests.live import SOURCE, clean_environment

HEAVY = ("starlette", "uvicorn", "asyncpg", "prometheus_client", "pydantic", "asyncio", "rich.console", "httpx._main")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def keywright(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "keywright", *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["keys", "--help"], ["keys", "list"]])
def test_nothing_heavy_is_imported(arguments: list[str]) -> None:
    """Help and the client's commands import nothing of the server, nor what takes longer than a call."""
    code = f"""
        import os, sys
        os.environ.update(KEYWRIGHT_URL="http://127.0.0.1:1", KEYWRIGHT_TOKEN="a.b.c")
        from keywright.cli import main
        try:
            main()
        except SystemExit:
            pass
        print([name for name in {HEAVY} if sys.modules.get(name)])
    """
    assert python(code, *arguments).stdout.splitlines()[-1] == "[]"


def test_keys_without_the_servers_packages() -> None:
    """The client's commands run where only the base package, click and rich are installed."""
    code = f"""
        import sys
        for name in {HEAVY}:
            sys.modules[name] = None
        from keywright.cli import main
        main()
    """
    done = python(code, "keys", "list")
    assert done.stderr.startswith("KEYWRIGHT_TOKEN is not set")


def test_the_service_without_click(tmp_path: Path) -> None:
    """A start without options does not wait for what would read them, and ends as any other where it has to."""
    code = f"""
        import os, sys
        sys.modules["click"] = None
        os.environ.update(KEYWRIGHT_ISSUER="https://i.example/", KEYWRIGHT_AUDIENCE="a", KEYWRIGHT_PORT="0",
                          KEYWRIGHT_METRICS="off", KEYWRIGHT_DATABASE_URL="sqlite:///{tmp_path}/none/keywright.db")
        from keywright.cli import main
        main()
    """
    done = python(code, "serve")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("The database cannot be used: ")


def test_the_supervisor_of_workers_is_light() -> None:
    """What supervises workers and answers nothing itself has nothing of the application in its memory."""
    done = python(
        "import sys, keywright.cli.server.process; print('keywright.app' in sys.modules, 'starlette' in sys.modules)"
    )
    assert done.stdout == "False False\n"


@pytest.mark.parametrize(
    ("missing", "arguments"), [("click", ["--help"]), ("uvicorn", ["serve"]), ("prometheus_client", ["serve"])]
)
def test_without_the_packages(missing: str, arguments: list[str], tmp_path: Path) -> None:
    """A command without its packages ends with one sentence on how to install them."""
    code = f"""
        import os, sys
        sys.modules[{missing!r}] = None
        os.environ.update(KEYWRIGHT_ISSUER="https://i.example/", KEYWRIGHT_AUDIENCE="a", KEYWRIGHT_PORT="0",
                          KEYWRIGHT_METRICS="off", KEYWRIGHT_DATABASE_URL="sqlite:///{tmp_path}/keywright.db")
        from keywright.cli import main
        main()
    """
    done = python(code, *arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("pip install '.[server]'")
    assert "Traceback" not in done.stderr


def test_version() -> None:
    """The version is that of the package."""
    assert keywright("--version").stdout == f"keywright {__version__}\n"


def test_no_command() -> None:
    """Without a command the help is shown, as the explanation of an error."""
    done = keywright()
    assert (done.returncode, done.stdout) == (2, "")
    assert "serve" in done.stderr


def test_module_and_script_are_one() -> None:
    """`python -m keywright` is the command that pyproject.toml installs."""
    assert 'keywright = "keywright.cli:main"' in (SOURCE.parent / "pyproject.toml").read_text()
    assert keywright("--help").returncode == 0
