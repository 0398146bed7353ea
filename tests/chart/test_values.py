"""Values that cannot work are refused before anything is installed, with a sentence that names them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, MINIMAL, SETS, Program, merged
from tests.live import clean_environment
from tests.markdown import ROOT, bare, blocks, read, table

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("chart")]
README = "deploy/chart/README.md"
SQLITE: Mapping[str, Any] = yaml.safe_load(SETS["sqlite"])
DEFAULTS: Mapping[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Mapping[str, Any] = json.loads((CHART / "values.schema.json").read_text())
# Values whose content is Kubernetes' own or free, beside those that are empty by default.
WHOLE = {
    *("migration.resources", "resources", "agent.resources", "metrics.dashboard.labels"),
    *("networkPolicy.database", "networkPolicy.redis", "networkPolicy.issuer"),
    *("probes.startup", "probes.readiness", "probes.liveness"),
}


def leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Give the path of each value, with its default."""
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value and path not in WHOLE:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def without(*path: str) -> dict[str, Any]:
    """Give the least values without one of them."""
    found: dict[str, Any] = json.loads(json.dumps(MINIMAL))
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return found


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (without("image", "repository"), "image.repository is required"),
        (without("auth0Domain"), "auth0Domain is required"),
        (without("audience"), "audience is required"),
        (without("database", "existingSecret"), "database.existingSecret is required"),
        (
            {},
            "unless issuer is set; audience is required: the identifier of your API in Auth0; database.existingSecret",
        ),
        (merged(MINIMAL, {"issuer": "https://id.acme.example/"}), "auth0Domain and issuer are both set"),
        (merged(SQLITE, {"replicas": 2}), "SQLite is for one process: set replicas to 1"),
        (merged(SQLITE, {"autoscaling": {"enabled": True}}), "SQLite is for one process: set autoscaling.enabled"),
        (merged(MINIMAL, {"autoscaling": {"enabled": True, "maxReplicas": 1}}), "less than autoscaling.minReplicas"),
        (merged(MINIMAL, {"console": {"clientId": "8jXk2mPq"}}), "console.existingSecret"),
        (
            merged(MINIMAL, {"console": {"clientId": "8jXk2mPq", "existingSecret": "keywright"}}),
            "settings.KEYWRIGHT_PUBLIC_URL",
        ),
        (merged(MINIMAL, {"ingress": {"enabled": True}}), "ingress.hosts is empty"),
        (merged(MINIMAL, {"httpRoute": {"enabled": True}}), "httpRoute.parentRefs is empty"),
        (
            merged(MINIMAL, {"metrics": {"enabled": False, "serviceMonitor": {"enabled": True}}}),
            "need metrics.enabled",
        ),
        (merged(MINIMAL, {"migration": {"existingSecret": "owner"}}), "needs migration.grantTo"),
        (
            merged(
                MINIMAL, {"agent": {"existingSecret": "v"}, "extraManifests": ['{{ include "keywright.agent" . }}']}
            ),
            "without TLS: set agent.url to an https:// address, or agent.allowHttp",
        ),
        (
            merged(MINIMAL, {"extraManifests": ['{{ include "keywright.agentVolumes" . }}']}),
            "agent.existingSecret is required",
        ),
    ],
)
def test_what_cannot_work_is_refused(program: Program, values: dict[str, Any], said: str) -> None:
    """Nothing is rendered, and the message names the value and what to do."""
    outcome = program.render_one(values)
    assert said in outcome.error
    assert outcome.objects == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 3}, "replica"),
        ({"database": {"existing_secret": "keywright"}}, "existing_secret"),
        ({"database": {"engine": "mysql"}}, "/database/engine"),
        ({"image": {"tag": "latest"}}, "/image/tag"),
        ({"image": {"repository": "registry.acme.example/keywright:0.1.0"}}, "/image/repository"),
        ({"image": {"digest": "sha256:00"}}, "/image/digest"),
        ({"settings": {"KEYWRIGHT_OUTAGE_SECOND": 60}}, "'/settings': additional properties 'KEYWRIGHT_OUTAGE_SECOND'"),
        ({"settings": {"KEYWRIGHT_DATABASE_URL": "postgresql://"}}, "/settings"),
        ({"settings": {"KEYWRIGHT_ENVIRONMENTS": ["live"]}}, "/settings/KEYWRIGHT_ENVIRONMENTS"),
        ({"agent": {"settings": {"KEYWRIGHT_AUDIENCE": "x"}}}, "/agent/settings"),
        ({"replicas": "two"}, "/replicas"),
        ({"migration": {"mode": "job"}}, "/migration/mode"),
        ({"auth0Domain": "https://acme.eu.auth0.com/"}, "/auth0Domain"),
        ({"probes": {"readiness": {"path": "/metrics"}}}, "/probes/readiness/path"),
        ({"service": {"port": 0}}, "/service/port"),
    ],
)
def test_what_the_schema_refuses(program: Program, values: dict[str, Any], said: str) -> None:
    """An unknown value, a mistyped setting, a secret in the values and a floating tag are refused by their place."""
    outcome = program.render_one(merged(MINIMAL, values))
    assert said in outcome.error
    assert outcome.objects == []


def test_a_digest_goes_with_the_tag(program: Program) -> None:
    """With a digest the image is the one with these bytes, and the tag still says which version that is."""
    outcome = program.render_one(merged(MINIMAL, {"image": {"tag": "0.1.0-acme.3", "digest": f"sha256:{'0' * 64}"}}))
    assert outcome.container()["image"] == f"registry.acme.example/keywright:0.1.0-acme.3@sha256:{'0' * 64}"


def test_values_of_a_parent(program: Program) -> None:
    """A chart that depends on this one may have `global` values."""
    assert program.render_one(merged(MINIMAL, {"global": {"imageRegistry": "x"}})).error == ""


def test_the_schema_knows_all_values() -> None:
    """Each value has a place in the schema, each place a value, and nothing else may be there."""

    def places(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
        for name, below in schema["properties"].items():
            path = f"{above}{name}"
            if "properties" in below and path not in WHOLE:
                assert below["additionalProperties"] is False, path
                yield from places(below, f"{path}.")
            else:
                yield path

    assert SCHEMA["additionalProperties"] is False
    assert set(places(SCHEMA)) - {"global"} == {path for path, _ in leaves(DEFAULTS)}


def test_the_readme_has_all_values() -> None:
    """The table of the chart's README has every value in order, with its default."""
    rows = [(bare(name), default) for name, default, *_ in table(read(README), "value", "default")]
    assert [name for name, _ in rows] == [path for path, _ in leaves(DEFAULTS)]
    for (_, shown), (path, default) in zip(rows, leaves(DEFAULTS), strict=True):
        if path.endswith("resources") or path.startswith("probes."):
            continue
        told = yaml.safe_load(bare(shown)) if shown else None
        assert told == (default if default != "" else None), path


def test_the_example_of_the_readme() -> None:
    """The values in the README are the least that an install needs."""
    (values, *_) = blocks(read(README), "yaml")
    assert yaml.safe_load(values) == MINIMAL


def test_links_of_the_readme() -> None:
    """Every link of the chart's README leads to a file."""
    found = re.findall(r"\]\(([^)#]+)", read(README))
    assert found
    assert [link for link in found if not (CHART / link).exists()] == []


def test_settings_are_those_of_the_code() -> None:
    """The schema lists the settings that there are; `make docs` writes them."""
    script = "scripts/chart_settings.py"
    done = subprocess.run(
        [sys.executable, ROOT / script, "--check"], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{script}\n" in read("Makefile")


def test_the_values_on_the_page(program: Program) -> None:
    """The values that the page about Kubernetes shows are accepted, beside the least."""
    shown = [yaml.safe_load(block) for block in blocks(read("docs/operate/kubernetes.md"), "yaml")[:1]]
    outcome = program.render_one(merged(MINIMAL, shown[0]))
    assert (outcome.error, outcome.flaws) == ("", [])
    (install,) = [block for block in blocks(read("docs/operate/kubernetes.md"), "bash") if "helm install" in block]
    given = dict(re.findall(r"--set (\S+)=(\S+)", install))
    assert given == {path: str(value) for path, value in leaves(MINIMAL)}
