"""The files for GitHub are true to the project: what they run exists, and no workflow has more rights than it needs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.markdown import ROOT, code, read

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", read("Makefile"), re.MULTILINE))
# The jobs that may write, and what. No other job has more than `contents: read`.
RIGHTS = {
    "attest": {"id-token", "attestations"},
    "image": {"packages", "id-token", "attestations"},
    "release": {"contents"},
    "pypi": {"id-token"},
}


def name_of(path: Path) -> str:
    """Give a file's name."""
    return path.name


def jobs(workflow: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the jobs of a workflow with their names."""
    yield from yaml.safe_load(workflow.read_text())["jobs"].items()


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    """Give the steps of all jobs."""
    for _, job in jobs(workflow):
        yield from job.get("steps", ())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name_of)
def test_actions_are_pinned(workflow: Path) -> None:
    """An action is named by the hash of a commit, with its version beside it, the same in every workflow."""
    used = re.findall(r"uses: (\S+)(.*)", workflow.read_text())
    foreign = {action: comment for action, comment in used if not action.startswith("./")}
    assert foreign
    assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action) for action in foreign)
    assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", comment) for comment in foreign.values())
    assert all((ROOT / action).is_file() for action, _ in used if action.startswith("./"))
    everywhere = {action for path in WORKFLOWS for action in re.findall(r"uses: ([^.\s]\S*)", path.read_text())}
    assert len(everywhere) == len({action.partition("@")[0] for action in everywhere})


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name_of)
def test_rights(workflow: Path) -> None:
    """A workflow may read or nothing; jobs that publish may write, each what it publishes; no stranger starts one."""
    whole = yaml.safe_load(workflow.read_text())
    assert whole["permissions"] in ({}, {"contents": "read"})
    # YAML reads the word `on` as true.
    assert set(whole[True]) <= {"push", "pull_request", "workflow_call"}
    for name, job in jobs(workflow):
        rights = job.get("permissions", {})
        written = {right for right, kind in rights.items() if kind == "write"}
        assert written == RIGHTS.get(name, set())
        assert {right for right, kind in rights.items() if kind == "read"} <= {"contents"}
        assert "timeout-minutes" in job or "uses" in job


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name_of)
def test_what_is_run_exists(workflow: Path) -> None:
    """A step runs targets of the Makefile and scripts that there are, and no text of others gets into its shell."""
    for step in steps(workflow):
        run = step.get("run", "")
        assert "${{" not in run
        assert set(re.findall(r"\bmake (?:--\S+ )*([a-z-]+)", run)) <= TARGETS
        assert all((ROOT / path).is_file() for path in re.findall(r"^(?:sh |python )?([\w.-]+/[\w./-]+)$", run))
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_continuous_integration() -> None:
    """It runs what everybody can run, on the oldest Python, with everything that the tests need."""
    (test,) = [job for name, job in jobs(ROOT / ".github" / "workflows" / "test.yml") if name == "test"]
    assert [step["run"] for step in test["steps"] if "run" in step] == [".ci/run"]
    oldest = re.findall(r'^requires-python = ">=(.+)"', read("pyproject.toml"), re.MULTILINE)
    assert re.findall(r"^python:([\d.]+)-", test["container"]["image"]) == oldest
    versions = {
        step["with"]["python-version"] for workflow in WORKFLOWS for step in steps(workflow) if _is_python(step)
    }
    assert versions == set(oldest)
    assert "make test" in read(".ci/run")


def _is_python(step: dict[str, Any]) -> bool:
    return str(step.get("uses", "")).startswith("actions/setup-python@")


def test_a_release() -> None:
    """Nothing is published before all tests have passed, and what is published is what the job without rights built."""
    release = dict(jobs(ROOT / ".github" / "workflows" / "release.yml"))

    def before(name: str) -> set[str]:
        needed = release[name].get("needs", [])
        direct = {needed} if isinstance(needed, str) else set(needed)
        return direct.union(*map(before, direct)) if direct else set()

    for name in RIGHTS:
        assert {"test", "dist"} <= before(name)
    assert set(release) - {"pypi"} <= before("pypi")
    uploaded = [
        each["with"]["name"] for job in release.values() for each in job.get("steps", ()) if _is(each, "upload")
    ]
    fetched = [
        each["with"].get("name") for job in release.values() for each in job.get("steps", ()) if _is(each, "download")
    ]
    assert len(uploaded) == len(set(uploaded))
    assert set(fetched) - {None} <= set(uploaded)
    assert not any("run" in each for name in ("attest", "pypi") for each in release[name]["steps"])


def _is(step: dict[str, Any], kind: str) -> bool:
    return str(step.get("uses", "")).startswith(f"actions/{kind}-artifact@")


MANIFESTS = {
    "pip": ["pyproject.toml"],
    "npm": ["clients/*/package.json", "examples/*/package.json", "tests/*/package.json", "tests/*/*/package.json"],
    "docker": ["deploy/Containerfile"],
    "docker-compose": ["deploy/compose/compose.yaml"],
    "github-actions": [".github/workflows/*.yml"],
}


@pytest.mark.parametrize("ecosystem", MANIFESTS)
def test_dependabot(ecosystem: str) -> None:
    """Every folder with dependencies of a kind is watched, and Dependabot is asked for no kind that there is not."""
    updates = yaml.safe_load(read(".github/dependabot.yml"))["updates"]
    assert {update["package-ecosystem"] for update in updates} == set(MANIFESTS)
    watched = {
        folder
        for update in updates
        if update["package-ecosystem"] == ecosystem
        for folder in [update.get("directory"), *update.get("directories", ())]
    }
    found = {
        path for pattern in MANIFESTS[ecosystem] for path in ROOT.glob(pattern) if "node_modules" not in path.parts
    }
    folders = {f"/{path.parent.relative_to(ROOT).as_posix()}".replace("/.", "/").rstrip("/") or "/" for path in found}
    assert folders - {"/github/workflows"} <= watched
    assert watched


@pytest.mark.parametrize(
    "template", sorted([*ROOT.glob(".github/*.md"), *ROOT.glob(".github/ISSUE_TEMPLATE/*.md")]), ids=name_of
)
def test_templates(template: Path) -> None:
    """What a template asks to run or to look at exists."""
    named = code(template.read_text())
    assert {target for piece in named for target in re.findall(r"^make ([a-z-]+)", piece)} <= TARGETS
    assert all((ROOT / piece).exists() for piece in named if re.fullmatch(r"[\w.-]+(/|\.md)[\w./-]*", piece))
    assert all((ROOT / name).is_file() for name in re.findall(r"\b[A-Z]+\.md\b", template.read_text()))
