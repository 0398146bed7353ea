"""The documentation is true: what can be run is run, and what repeats the code is compared with it."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import prometheus_client
import pytest
import typer
from prometheus_client import CollectorRegistry

from keywright import telemetry
from keywright.api.problems import PROBLEMS
from keywright.app import create_app
from keywright.cli.application import app as command_line
from keywright.config import PREFIX, Settings
from keywright.service.principal import Permission
from tests.live import PATIENCE_SECONDS, clean_environment
from tests.postgres import PostgresCluster, fresh_database
from tests.provision import unavailable

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
VECTORS = json.loads((ROOT / "tests" / "vectors" / "key_format.json").read_text())["valid"]
# As the README has it, beside `make run`.
INSTALLED = ".venv/bin/keywright"
OF_THE_CLIENT = {"KEYWRIGHT_URL", "KEYWRIGHT_TOKEN"}

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def page(name: str) -> str:
    return (ROOT / name).read_text()


def blocks(text: str, language: str) -> list[str]:
    """Give the fenced blocks of *language*."""
    return [body for found, body in BLOCK.findall(text) if found == language]


def prose(text: str) -> str:
    """Give *text* without its fenced blocks."""
    return BLOCK.sub("", text)


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings, made as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE):
        plain = LINK.sub(lambda match: match[0][1 : match[0].index("]")], heading)
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        candidates = (slug if number == 0 else f"{slug}-{number}" for number in range(100))
        found.add(next(candidate for candidate in candidates if candidate not in found))
    return found


def tables(text: str) -> list[list[list[str]]]:
    """Give the tables of a page: rows of cells, the heading first."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", prose(text), re.MULTILINE)
    return [
        [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.strip().splitlines()]
        for table in found
    ]


def table(text: str, *headings: str) -> list[list[str]]:
    """Give the rows below *headings*; those of all tables with such headings, where there are several."""
    rows = [row for found in tables(text) if found[0][: len(headings)] == list(headings) for row in found[2:]]
    assert rows, f"there is no table of {headings}"
    return rows


def in_code(cell: str) -> str:
    """Take the backticks off a cell."""
    match = CODE.fullmatch(cell)
    assert match is not None, f"{cell} is not set as code"
    return match[1]


# What a reader pastes


@dataclass
class Dev:
    """A running `keywright dev`: the folder it was started in, and where it is."""

    process: subprocess.Popen[str]
    folder: Path
    url: str


@pytest.fixture
def installed() -> Path:
    """The command that installing the package gives."""
    command = Path(sys.executable).with_name("keywright")
    return command if command.exists() else unavailable("the keywright command", "python -m pip install --editable .")


@pytest.fixture
def dev(installed: Path, tmp_path: Path) -> Iterator[Dev]:
    """The service as `make run` starts it, on free ports."""
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [installed, "dev", "--port", "0", "--issuer-port", "0"],
            cwd=tmp_path,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        assert process.stdout is not None
        session = iter(process.stdout.readline, "")
        urls = (match[1] for line in session if (match := re.match(r"API=(http://[^/]+)/", line)))
        url = next(urls, None)
        assert url is not None, (tmp_path / "log").read_text()
        yield Dev(process, tmp_path, url)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(PATIENCE_SECONDS) == 0


def paste(script: str, shell: str, folder: Path, **environment: str) -> str:
    """Run *script* line by line as a terminal would, and give what it printed."""
    for program in (shell, "curl"):
        if shutil.which(program) is None:
            unavailable(program, f"apt-get install {program}")
    done = subprocess.run(
        [shell, "-e"], input=script, capture_output=True, text=True, check=False, cwd=folder,
        env={"PATH": os.environ["PATH"], **environment}, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_readme_session(dev: Dev, installed: Path, shell: str) -> None:
    """The session of the README, pasted as it is beside `make run`, creates a key pair and lists it."""
    (session,) = [block for block in blocks(page("README.md"), "sh") if "curl" in block]
    assert session.count(INSTALLED) == 1
    here = session.replace(INSTALLED, str(installed)).replace("http://127.0.0.1:8080", dev.url)
    created, listed = map(json.loads, paste(here, shell, dev.folder).splitlines())
    assert created["private_key"].startswith("kw_sk_live_")
    assert "private_key" not in listed[0]
    assert listed[0]["id"] == created["id"]


def test_make_run_is_what_the_readme_says() -> None:
    """`make run` runs the command of the README's session, at the address that the session asks."""
    recipe = re.search(r"^run:.*\n\t(.+)$", page("Makefile"), re.MULTILINE)
    binaries = re.search(r"^BIN := (.+)$", page("Makefile"), re.MULTILINE)
    assert recipe is not None
    assert binaries is not None
    assert recipe[1].replace("$(BIN)", binaries[1]).startswith(f"{INSTALLED} dev ")
    ports = {parameter.name: parameter.default for parameter in command(["dev"]).params}
    addresses = set(re.findall(r"(?:http://)?127\.0\.0\.1:\d+", page("README.md")))
    assert addresses == {f"127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['port']}"}


def test_readme_on_postgresql(installed: Path, postgres_cluster: PostgresCluster, tmp_path: Path) -> None:
    """The README's way to PostgreSQL migrates an empty database."""
    (block,) = [block for block in blocks(page("README.md"), "sh") if "postgresql://" in block]
    here, count = re.subn(r"=postgresql://\S+", f"='{fresh_database(postgres_cluster)}'", block)
    assert count == 1
    told = paste(here, "sh", tmp_path, PATH=f"{installed.parent}{os.pathsep}{os.environ['PATH']}")
    assert told.endswith("The database is up to date.\n")


# What a reader types


def command(words: Iterable[str]) -> Any:
    """Find a command by the words that call it."""
    found = typer.main.get_command(command_line)
    for word in words:
        found = found.commands[word]  # type: ignore[attr-defined]
    return found


def flaws(line: str) -> list[str]:
    """Find words of a call of `keywright` that are neither commands nor options of it."""
    found, options, wrong = command([]), {"--help", "-h"}, []
    for word in line.split()[1:]:
        options |= {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
        below = getattr(found, "commands", {})
        if word.startswith("--"):
            wrong += [word] if word.partition("=")[0] not in options else []
        elif word in below:
            found = below[word]
            options |= {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
        elif below and word.isalpha() and word.islower() and not found.params:
            wrong.append(word)
    return wrong


def calls(text: str) -> Iterator[str]:
    """Give the calls of `keywright` in blocks of shell and in code within the text."""
    for block in blocks(text, "sh"):
        yield from re.findall(r"(?:^|[\s(/])(keywright(?: [^\n)#;|&]*)?)", block.replace("\\\n", " "), re.MULTILINE)
    yield from (code for code in CODE.findall(prose(text)) if code.startswith("keywright "))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_exist(path: Path) -> None:
    """Every call of `keywright`, every target of make and every setting that a page names is there."""
    text = path.read_text()
    assert {call: flaws(call) for call in calls(text) if flaws(call)} == {}
    targets = set(re.findall(r"^([a-z]+):(?!=)", page("Makefile"), re.MULTILINE))
    makes = [*re.findall(r"^make ([a-z ]+)", text, re.MULTILINE), *re.findall(r"`make ([a-z ]+)`", text)]
    assert {target for words in makes for target in words.split()} <= targets
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | OF_THE_CLIENT
    assert set(re.findall(r"\bKEYWRIGHT_[A-Z_]*[A-Z]\b", text)) <= settings


# Where a reader is sent


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links(path: Path) -> None:
    """Every relative link leads to a file that is there, and to a heading that it has."""
    broken = []
    for link in LINK.findall(CODE.sub("", prose(path.read_text()))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = unquote(link).partition("#")
        target = path.parent / file if file else path
        inside = target.resolve().is_relative_to(ROOT)
        if not inside or not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_page_is_linked() -> None:
    """A reader who begins at the README comes to every page."""
    reached, ahead = set(), {ROOT / "README.md"}
    while ahead:
        here = ahead.pop()
        reached.add(here)
        links = {(here.parent / link.partition("#")[0]).resolve() for link in LINK.findall(prose(here.read_text()))}
        ahead |= {link for link in links if link.suffix == ".md" and link.is_file()} - reached
    # GitHub and packagers look for this one themselves.
    assert {name_of(path) for path in set(PAGES) - reached} <= {"CHANGELOG.md"}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_named_files_exist(path: Path) -> None:
    """Every file of the project that a page names is there."""
    named = re.findall(r"`((?:src|tests|docs|scripts|bench|requirements)/[\w./-]*)", prose(path.read_text()))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_promises_name_their_tests() -> None:
    """Every promise of SECURITY.md is held by tests that exist."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page("SECURITY.md"))
    assert named
    assert [f"{file}::{test}" for file, test in named if test not in tests_in(ROOT / file)] == []


def tests_in(path: Path) -> set[str]:
    """Give the names of the functions in a file, those in its classes too."""
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


# What repeats the code


@pytest.mark.parametrize("script", ["configuration_reference.py", "command_line_reference.py"])
def test_generated_pages_are_up_to_date(script: str) -> None:
    """A page that is written from the code says what the code says now; `make docs` writes it."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, "--check"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"scripts/{script}" in page("Makefile")


def test_every_command_is_in_the_reference() -> None:
    """The page on the command line has a heading for every command there is, with every option."""
    text = page("docs/reference/command-line.md")

    def look(found: Any, path: str) -> None:
        section = text.split(f"\n## `{path}`\n")[1].split("\n## ")[0]
        assert [option for parameter in found.params for option in parameter.opts if f"`{option}" not in section] == []
        for name, below in getattr(found, "commands", {}).items():
            look(below, f"{path} {name}")

    def without_arguments(found: Any) -> Any:
        for below in getattr(found, "commands", {}).values():
            without_arguments(below)
        found.params = [parameter for parameter in found.params if parameter.param_type_name == "option"]
        return found

    look(without_arguments(command([])), "keywright")


def test_error_codes() -> None:
    """The table of errors has every code with its status, and no other."""
    rows = table(page("docs/reference/http-api.md"), "status", "`code`")
    documented = [(in_code(code), int(status)) for status, code, *_ in rows]
    assert len(documented) == len(set(documented))
    assert dict(documented) == {code: problem.status for code, problem in PROBLEMS.items()}


def test_operations_and_their_permissions() -> None:
    """The HTTP reference has every operation of the API, and names the permission that each asks for."""
    settings = Settings(issuer="https://id.acme.example/", audience="https://api.acme.example/")
    paths = create_app(settings).openapi()["paths"]
    asked = {
        f"{method.upper()} {path}": operation.get("x-permission")
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    text = page("docs/reference/http-api.md")
    documented = {in_code(row[0]): in_code(row[1]) for row in table(text, "operation", "permission")}
    assert documented == {operation: permission for operation, permission in asked.items() if permission is not None}
    assert [operation for operation in asked if f"`{operation}`" not in text] == []


def test_permissions() -> None:
    """The quickstart tells what to enter in Auth0: every permission, and no other."""
    documented = [in_code(name) for name, *_ in table(page("docs/quickstart.md"), "permission", "allows")]
    assert sorted(documented) == sorted(Permission)


def test_metrics() -> None:
    """The page on running it has every metric with its labels, and no other."""
    documented = {in_code(name): set(CODE.findall(what)) for name, what in table(page("docs/operate/running.md"), "metric", "what")}
    own = [metric for metric in vars(telemetry).values() if isinstance(metric, prometheus_client.metrics.MetricWrapperBase)]
    names = {metric.describe()[0].name + ("_total" if isinstance(metric, prometheus_client.Counter) else "") for metric in own}
    assert documented.keys() == names


# The format of a key


def test_pattern_for_scanners() -> None:
    """The pattern for secret scanners finds every private key in a line of code, whole, and no public key."""
    (pattern,) = [block.strip() for block in blocks(page("docs/reference/key-format.md"), "") if "_sk_" in block and "\\b" in block]
    scanner = re.compile(pattern)
    for vector in VECTORS:
        line = f'KEY="{vector["private_key"]}", public={vector["public_key"]};'
        assert scanner.findall(line) == [vector["private_key"]]


def test_lengths_and_displays() -> None:
    """Lengths and the displayed example are those of the published vectors."""
    text = page("docs/reference/key-format.md")
    least, most, usual = map(int, re.findall(r"\d+", re.findall(r"A private key is .*", text)[0]))
    lengths = {vector["private_key"]: len(vector["private_key"]) for vector in VECTORS}
    assert (min(lengths.values()), max(lengths.values())) == (least, most)
    assert {length for key, length in lengths.items() if key.startswith("kw_sk_live_")} == {usual}
    example = re.search(r"`(kw_sk_live_\.\.\.\w+)`", text)
    assert example is not None
    assert example[1] in [vector["private_key_display"] for vector in VECTORS]
