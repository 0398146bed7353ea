"""The image: how its file is written, and what its steps make, without an engine; `make image-test` has one."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keywright import __version__
from keywright.agent.settings import AgentSettings
from keywright.config import PREFIX, Settings
from keywright.dev.issuer import DevIssuer
from tests.live import clean_environment, environment
from tests.markdown import ROOT
from tests.provision import unavailable

FILE = ROOT / "deploy" / "Containerfile"
STEPS_SECONDS = 280
# Programs that the steps call by name; every other step is Python.
PROGRAMS = {"python3", "mkdir"}


def instructions() -> Iterator[tuple[str, str]]:
    """Give each instruction with what follows it, on one line."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line:
            name, _, rest = line.partition(" ")
            yield name, rest


ALL = list(instructions())
LAST = max(index for index, (name, _) in enumerate(ALL) if name == "FROM")
BUILD, FINAL = ALL[:LAST], ALL[LAST:]


def one(stage: list[tuple[str, str]], name: str) -> str:
    """Give what follows the one instruction of this name in a stage."""
    (found,) = [rest for instruction, rest in stage if instruction == name]
    return found


def commands(stage: list[tuple[str, str]]) -> Iterator[list[str]]:
    """Give the programs that a stage runs, with their arguments."""
    for name, rest in stage:
        if name == "RUN":
            yield json.loads(rest)


def variables(stage: list[tuple[str, str]], name: str) -> dict[str, str]:
    """Give what all `ENV` or `LABEL` of a stage set."""
    words = [word for instruction, rest in stage if instruction == name for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


def test_the_base() -> None:
    """Both stages stand on one base, which is named with its whole version; the image is the last stage."""
    bases = [rest for name, rest in ALL if name == "FROM"]
    assert bases == ["${BASE} AS build", "${BASE}"]
    (base,) = [rest for name, rest in BUILD if name == "ARG"]
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.\d+\.\d+-slim-trixie", base)


def test_nobody_needs_a_shell() -> None:
    """No step, no start and no check of the health goes through a shell."""
    for name, rest in ALL:
        if name in ("RUN", "CMD", "ENTRYPOINT", "SHELL"):
            assert name != "SHELL"
            assert isinstance(json.loads(rest), list)
    assert json.loads(one(FINAL, "HEALTHCHECK").partition(" CMD ")[2]) == ["keywright", "healthcheck"]
    assert (json.loads(one(FINAL, "ENTRYPOINT")), json.loads(one(FINAL, "CMD"))) == (["keywright"], ["serve"])
    assert {Path(words[0]).name for words in commands(ALL)} <= PROGRAMS | {"python"}


def test_nobody_is_root() -> None:
    """The image runs as 10001, who owns the folder of the state alone."""
    assert one(FINAL, "USER") == "10001:10001"
    owned = [rest.split()[-1] for name, rest in FINAL if name == "COPY" and "--chown" in rest]
    assert owned == [one(FINAL, "WORKDIR")] == [variables(FINAL, "ENV")["HOME"]] == ["/var/lib/keywright"]
    after = [name for name, _ in FINAL][[name for name, _ in FINAL].index("USER") :]
    assert not set(after) & {"RUN", "COPY", "ADD"}


def test_what_is_copied() -> None:
    """Every file that is copied exists, and the context has those and no other."""
    sources = [word for name, rest in BUILD if name == "COPY" for word in rest.split()[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*"
    assert sorted(line[1:] for line in ignored if line[0] == "!") == sorted(sources)


def test_settings() -> None:
    """The settings of the image exist, and it opens the ports that service, agent and metrics have by default."""
    given = {name: value for name, value in variables(FINAL, "ENV").items() if name.startswith(PREFIX)}
    fields = {**AgentSettings.model_fields, **Settings.model_fields}
    assert given == {"KEYWRIGHT_HOST": "0.0.0.0", "KEYWRIGHT_AGENT_LISTEN": "0.0.0.0:8089"}
    assert given.keys() <= {f"{PREFIX}{name.upper()}" for name in fields}
    agent, metrics = (fields[name].default.rpartition(":")[2] for name in ("agent_listen", "metrics"))
    assert one(FINAL, "EXPOSE").split() == [str(fields["port"].default), agent, metrics]


def test_labels() -> None:
    """The labels are those of OCI, with the version of the package."""
    labels = variables(FINAL, "LABEL")
    assert all(name.startswith("org.opencontainers.image.") for name in labels)
    assert labels["org.opencontainers.image.version"] == "${VERSION}"
    assert ("ARG", f"VERSION={__version__}") in FINAL
    assert f"-t keywright:{__version__} " in FILE.read_text()
    assert f'license = "{labels["org.opencontainers.image.licenses"]}"' in (ROOT / "pyproject.toml").read_text()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for the root of the build stage, after all its steps, run by this Python."""
    root = tmp_path_factory.mktemp("image")
    context = root / "src"
    context.mkdir()
    (root / "opt").mkdir()
    places = re.compile(r"(?<![\w.])/(wheels|opt/keywright|state)(?=/|$)")
    pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HOME", "TMPDIR"))}
    given = {"PATH": f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}", **pip}
    for name, rest in BUILD:
        if name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copy(ROOT / source, context / target / ("" if (ROOT / source).is_dir() else Path(source).name))
        if name == "ENV":
            given |= {key: places.sub(rf"{root}/\1", value) for key, value in variables([(name, rest)], "ENV").items()}
        # The pip of this Python stands for that of the tools, whose environment takes as long as all of the packages.
        if name == "RUN" and "/tools" not in json.loads(rest):
            words = [places.sub(rf"{root}/\1", word) for word in json.loads(rest) if word != "--no-cache-dir"]
            words[0] = sys.executable if words[0] == "/tools/bin/python" else words[0]
            done = subprocess.run(words, cwd=context, env=given, capture_output=True, text=True, check=False)
            if re.search(r"No matching distribution|name resolution|Could not fetch", done.stderr):
                unavailable(f"The package index ({done.stderr.strip()[-300:]})", "pip download --no-deps hatchling")
            assert done.returncode == 0, done.stderr
    return root


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, as `COPY` does."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


@pytest.mark.early
@pytest.mark.timeout(STEPS_SECONDS)
def test_the_steps(image: Path, issuer: DevIssuer, tmp_path: Path) -> None:
    """The steps of the build stage make an installation that starts, without pip and the packages of a build."""
    python = image / "opt" / "keywright" / "bin" / "python"
    keywright = python.with_name("keywright")
    version = subprocess.run([keywright, "--version"], env=bare(), capture_output=True, text=True, check=True).stdout
    assert version == f"keywright {__version__}\n"
    listing = "from importlib.metadata import distributions; print(*sorted(d.name.lower() for d in distributions()))"
    names = subprocess.run([python, "-c", listing], env=bare(), capture_output=True, text=True, check=True).stdout
    installed = {re.sub("[-_.]+", "-", name) for name in names.split()}
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "server.txt").read_text(), re.MULTILINE))
    assert {"asyncpg", "click", "uvicorn", "uvloop"} <= installed <= locked | {"keywright"}
    assert not installed & {"pip", "setuptools", "hatchling", "editables"}
    # Another user than root can read everything, and nothing has to be compiled at a start.
    assert list((image / "opt" / "keywright").rglob("app.*.pyc"))
    env = environment(issuer, port="0", metrics="off", database_url=f"sqlite:///{tmp_path}/none/keywright.db")
    done = subprocess.run([keywright, "serve"], env=bare() | env, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("The database cannot be used: ")


def bare() -> dict[str, str]:
    """Give an environment in which Python finds its own installation alone."""
    return {name: value for name, value in clean_environment().items() if not name.startswith("PYTHON")}
