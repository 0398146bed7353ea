"""The documentation is true: what can be run is run, and what repeats the code is compared with it."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.metrics import MetricWrapperBase

from keywright import telemetry
from keywright.agent.settings import AgentSettings
from keywright.api.http.problems import PROBLEMS
from keywright.app import create_app
from keywright.cli.application import app as command_line
from keywright.config import PREFIX, Settings
from keywright.config_values import secret_names
from keywright.service.principal import Permission
from tests.live import PATIENCE_SECONDS, clean_environment
from tests.markdown import PAGES, ROOT, bare, blocks, code, name_of, read, table
from tests.postgres import PostgresCluster, fresh_database
from tests.provision import unavailable

# As the README has them, beside `make run`.
COMMAND = ".venv/bin/keywright"
ADDRESS = "http://127.0.0.1:8080"
# What commands say on standard error beside their result.
NOTES = (
    "Using `keywright dev` at ",
    "Using the database of `keywright dev`",
    "The private key is shown only this time",
)
RATE_LIMITS = "docs/concepts/rate-limits.md"
OF_THE_CLIENT = {
    "KEYWRIGHT_URL",
    "KEYWRIGHT_TOKEN",
    "KEYWRIGHT_TOKEN_FILE",
    "KEYWRIGHT_VERIFIER",
    "KEYWRIGHT_ALLOW_HTTP",
}
PACKAGE = ROOT / "src" / "keywright"
FILE = re.compile(r"(\w[\w.-]*/)+[\w-]+\.(py|json|md|txt|toml)")
VECTORS = json.loads(read("tests/vectors/key_format.json"))["valid"]


SESSIONS = [
    f"docs/concepts/{name}.md" for name in ("audit", "expiry", "idempotency", "rotation", "scopes-and-restrictions")
]


# What a reader pastes


@dataclass
class Dev:
    """A running `keywright dev`: the folder it was started in, and where it is."""

    folder: Path
    url: str


@pytest.fixture(scope="module")
def installed() -> Path:
    """The command that installing the package gives."""
    command = Path(sys.executable).with_name("keywright")
    return command if command.exists() else unavailable("the keywright command", "python -m pip install --editable .")


@pytest.fixture
def dev(installed: Path, tmp_path: Path) -> Iterator[Dev]:
    """The service as `make run` starts it, on free ports, with nothing in it."""
    with started(installed, tmp_path) as dev:
        yield dev


@pytest.fixture(scope="module")
def shared_dev(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """The same, for sessions that do not mind each other's keys."""
    with started(installed, tmp_path_factory.mktemp("dev")) as dev:
        yield dev


@contextmanager
def started(installed: Path, folder: Path) -> Iterator[Dev]:
    log = folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [installed, "dev", "--port", "0", "--issuer-port", "0"],
            cwd=folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        assert process.stdout is not None
        found = (re.match(r"API=(http://[^/]+)/", line) for line in iter(process.stdout.readline, ""))
        url = next((match[1] for match in found if match), None)
        assert url is not None, log.read_text()
        yield Dev(folder, url)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(PATIENCE_SECONDS) == 0


def paste(script: str, shell: str, folder: Path, path: str = "") -> str:
    """Have *shell* read *script* as it would from a terminal, and give what was printed; no command of it may fail."""
    for program in (shell, "curl"):
        if shutil.which(program) is None:
            unavailable(program, f"apt-get install {program}")
    done = subprocess.run(
        [shell, "-e"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": path + os.environ["PATH"]},
        timeout=PATIENCE_SECONDS,
    )
    notes = [line for line in done.stderr.splitlines() if not line.startswith(NOTES)]
    assert (done.returncode, notes) == (0, [])
    return done.stdout


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_readme_session(dev: Dev, installed: Path, shell: str) -> None:
    """The README's session, pasted beside `make run` on any port, creates a key, checks it and lists it."""
    (session,) = [block for block in blocks(read("README.md"), "sh") if "curl" in block]
    assert (session.count(COMMAND), ADDRESS in session) == (2, False)
    checked, _, listed = paste(session.replace(COMMAND, str(installed)), shell, dev.folder).splitlines()
    assert json.loads(checked)["code"] == "valid"
    assert listed.split()[0] == json.loads(checked)["api_key"]["id"]
    assert "Billing export" in listed


@pytest.mark.parametrize("page", SESSIONS)
def test_sessions(shared_dev: Dev, installed: Path, page: str) -> None:
    """The session of a concept, pasted as it is beside `make run`, prints what the page says that it prints."""
    session, printed = blocks(read(page), "sh")[0], blocks(read(page), "")[0]
    assert ADDRESS not in session
    told = paste(session, "sh", shared_dev.folder, f"{installed.parent}{os.pathsep}")
    expected = ".*".join(map(re.escape, printed.split("…")))
    assert re.fullmatch(expected, told), told


def test_rate_limits_session(dev: Dev, installed: Path) -> None:
    """The session of the page on rate limits, pasted beside `make run`, is refused when its limit is spent."""
    (session,) = [block for block in blocks(read(RATE_LIMITS), "sh") if "curl" in block]
    assert (session.count(COMMAND), ADDRESS in session) == (1, False)
    here = session.replace(COMMAND, str(installed))
    first, second, third = map(json.loads, paste(here, "sh", dev.folder).splitlines())
    assert [told["code"] for told in (first, second, third)] == ["valid", "valid", "rate_limited"]
    assert [told["rate_limits"][0]["remaining"] for told in (first, second, third)] == [1, 0, 0]
    assert 0 < third["retry_after_seconds"] <= 1800


def test_rate_limits_in_python() -> None:
    """The Python of the page on rate limits prints what the page says."""
    (script,), (printed,) = blocks(read(RATE_LIMITS), "python"), blocks(read(RATE_LIMITS), "text")
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout) == ("", printed)


def test_make_run_is_what_the_readme_says() -> None:
    """`make run` runs the command of the README's session, at the address that the session asks."""
    recipe = re.search(r"^run:.*\n\t(.+)$", read("Makefile"), re.MULTILINE)
    binaries = re.search(r"^BIN := (.+)$", read("Makefile"), re.MULTILINE)
    assert recipe is not None
    assert binaries is not None
    assert recipe[1].replace("$(BIN)", binaries[1]).split()[:2] == [COMMAND, "dev"]
    defaults = {parameter.name: parameter.default for parameter in find_command("dev").params}
    assert f"http://{defaults['host']}:{defaults['port']}" == ADDRESS


def test_readme_on_postgresql(installed: Path, postgres_cluster: PostgresCluster, tmp_path: Path) -> None:
    """The README's way to PostgreSQL migrates an empty database."""
    (block,) = [block for block in blocks(read("README.md"), "sh") if "postgresql://" in block]
    here, count = re.subn(r"=postgresql://\S+", f"='{fresh_database(postgres_cluster)}'", block)
    assert count == 1
    told = paste(here, "sh", tmp_path, f"{installed.parent}{os.pathsep}")
    assert told.endswith("The database is up to date.\n")


# What a reader types


def find_command(*words: str) -> Any:
    """Find a command by the words that call it."""
    found: Any = command_line
    for word in words:
        found = found.commands[word]
    return found


def unknown_words(call: str) -> list[str]:
    """Give the commands and options in a call of `keywright` that there are not."""
    found, options, unknown = find_command(), {"--help", "-h"}, []
    for word in call.split()[1:]:
        options |= {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
        below = getattr(found, "commands", {})
        if word in below:
            found = below[word]
        elif word.startswith("-"):
            unknown += [word] if word not in options else []
        elif below and word.isalpha() and word.islower():
            unknown.append(word)
    return unknown


def calls(text: str) -> Iterator[str]:
    """Give the calls of `keywright` in blocks of shell and in code within the text."""
    for block in blocks(text, "sh"):
        yield from re.findall(r"(?:^|[\s(/])(keywright(?: [^\n)#;|&]*)?)", block.replace("\\\n", " "), re.MULTILINE)
    yield from (piece for piece in code(text) if piece.startswith("keywright "))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_what_is_typed_exists(path: Path) -> None:
    """Every call of `keywright`, every target of make and every setting that a page names is there."""
    text = path.read_text()
    assert {call: unknown_words(call) for call in calls(text) if unknown_words(call)} == {}
    targets = set(re.findall(r"^([a-z-]+):(?!=)", read("Makefile"), re.MULTILINE))
    makes = [*re.findall(r"^make ([a-z -]+)", text, re.MULTILINE), *re.findall(r"`make ([a-z -]+)`", text)]
    assert {target for words in makes for target in words.split()} <= targets
    kinds = (Settings, AgentSettings)
    files = {f"{PREFIX}{name.upper()}_FILE" for kind in kinds for name in secret_names(kind)}
    settings = {f"{PREFIX}{name.upper()}" for kind in kinds for name in kind.model_fields} | OF_THE_CLIENT | files
    assert set(re.findall(r"\bKEYWRIGHT_[A-Z_]*[A-Z]\b", text)) <= settings


# What a page names


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_named_files_exist(path: Path) -> None:
    """Every file of the project that a page names is there; a path may begin at the package."""
    named = [piece for piece in code(path.read_text()) if FILE.fullmatch(piece)]
    assert [name for name in named if not (ROOT / name).exists() and not (PACKAGE / name).exists()] == []


def test_promises_name_their_tests() -> None:
    """Every promise of SECURITY.md is held by tests that exist."""
    rows = table(read("SECURITY.md"), "promise", "held by")
    named = [re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", held) for _, held in rows]
    assert all(named)
    assert [(file, test) for tests in named for file, test in tests if test not in functions_in(ROOT / file)] == []


def functions_in(path: Path) -> set[str]:
    """Give the names of all functions in a file; of none that is not there."""
    tree = ast.parse(path.read_text() if path.exists() else "")
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


# What repeats the code


@pytest.mark.parametrize("script", ["configuration_reference.py", "command_line_reference.py"])
def test_generated_pages_are_up_to_date(script: str) -> None:
    """A page that is written out of the code says what the code says now; `make docs` writes it."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, "--check"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"scripts/{script}\n" in read("Makefile")


def test_every_command_has_a_section() -> None:
    """The page on the command line has a section for every command there is."""

    def walk(found: Any, path: str) -> Iterator[str]:
        yield path
        for name, below in getattr(found, "commands", {}).items():
            yield from walk(below, f"{path} {name}")

    sections = re.findall(r"^## `(.+)`$", read("docs/reference/command-line.md"), re.MULTILINE)
    assert sections == list(walk(find_command(), "keywright"))


def test_error_codes() -> None:
    """The table of errors has every code with its status, once, and no other."""
    rows = table(read("docs/reference/http-api.md"), "status", "`code`")
    documented = [(bare(code), int(status)) for status, code, *_ in rows]
    assert sorted(documented) == sorted((code, problem.status) for code, problem in PROBLEMS.items())


async def test_operations() -> None:
    """The HTTP reference has every operation of the OpenAPI document with its permission; what it names is there."""
    documented = {bare(name): asked for name, asked, *_ in table(read("docs/reference/http-api.md"), "operation")}
    app = create_app(Settings(issuer="https://id.acme.example/", audience="https://api.acme.example/"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keywright") as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
        # What there is asks for a token before anything else.
        answers = {name: await http.request(*re.sub(r"{\w+}", str(uuid4()), name).split()) for name in documented}
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code != 401} == {}
    for path, operations in paths.items():
        for method, operation in operations.items():
            assert operation.get("x-permission", "") in documented[f"{method.upper()} {path}"]


def test_permissions() -> None:
    """The quickstart says what to enter in Auth0: every permission there is, and no other."""
    documented = [bare(name) for name, *_ in table(read("docs/quickstart.md"), "permission", "allows")]
    assert sorted(documented) == sorted(Permission)


def test_metrics() -> None:
    """The page on running the service has every metric of ours with its labels, and no other."""
    metrics = [metric for metric in vars(telemetry).values() if isinstance(metric, MetricWrapperBase)]
    labels = {}
    for metric in metrics:
        (family,) = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels[name] = set(metric._labelnames)
    documented = {
        bare(name): set(code(what)) for name, what in table(read("docs/operate/running.md"), "metric", "what")
    }
    assert documented == labels


# The format of a key


def test_pattern_for_scanners() -> None:
    """The pattern for secret scanners finds every private key in a line of code, whole, and no public one."""
    (pattern,) = [block for block in blocks(read("docs/reference/key-format.md"), "") if block.startswith("\\b")]
    for vector in VECTORS:
        line = f'KEY="{vector["private_key"]}", public={vector["public_key"]};'
        assert re.findall(f"({pattern.strip()})", line) == [vector["private_key"]]


def test_lengths_and_display() -> None:
    """The lengths and the example of a display are those of the published vectors."""
    text = read("docs/reference/key-format.md")
    (told,) = re.findall(r"^A private key is .*", text, re.MULTILINE)
    least, most, usual = map(int, re.findall(r"\d+", told))
    lengths = {vector["private_key"]: len(vector["private_key"]) for vector in VECTORS}
    assert (min(lengths.values()), max(lengths.values())) == (least, most)
    assert {length for key, length in lengths.items() if key.startswith("kw_sk_live_")} == {usual}
    assert next(piece for piece in code(text) if "..." in piece) in [v["private_key_display"] for v in VECTORS]
