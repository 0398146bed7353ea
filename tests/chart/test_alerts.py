"""Alerts and the dashboard read metrics that the service has, and say what to do."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from keywright import telemetry
from keywright.dev.issuer import DevIssuer
from tests.api.verifier import Verifier, create_verifier
from tests.chart.rendering import CHART, Outcome, Program
from tests.live import bearer, client_of, environment, start_service
from tests.markdown import anchors, code, read

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("chart")]
PAGE = "docs/operate/alerts.md"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: Mapping[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# Those that Prometheus adds to every series, with the operator or without.
OF_THE_TARGET = {"job", "instance", "namespace", "pod"}
# Of processes that speak TLS themselves; this one does not.
OF_TLS = {"keywright_certificate_end_timestamp_seconds": {"listener"}}
_SUFFIXES = re.compile(r"_(bucket|sum|count|total|created)$")


@pytest.fixture(scope="module")
def exposed(issuer: DevIssuer) -> dict[str, set[str]]:
    """The names of all series that a service has that did some of everything, with their labels."""
    with start_service(environment(issuer)) as live, client_of(live) as http:
        assert http.post("/api/v2/api-keys", headers=bearer(issuer), json={"name": "metrics"}).status_code == 201
        assert http.get("/api/v2/api-keys", headers={"Authorization": "Bearer a.b.c"}).status_code == 401
        with Verifier(live, f"Bearer {create_verifier(live, 'metrics')}") as verifier:
            verifier.code("kw_sk_live_nothing")
        text = httpx.get(f"{live.metrics_url}", trust_env=False).text
    declared = {
        _SUFFIXES.sub("", each._name): set(each._labelnames)
        for each in vars(telemetry).values()
        if isinstance(each, MetricWrapperBase)
    }
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        if family.name not in declared:
            continue
        labels = declared[family.name]
        for suffix in {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""]):
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                assert sample.labels.keys() == found[sample.name], sample
    assert len(found) > 20
    return {**OF_TLS, **found}


def queries() -> Iterator[tuple[str, str, str]]:
    """Give each query with where it stands and the labels that it names, those in legends and texts among them."""
    for rule in RULES:
        yield f"alert {rule['alert']}", rule["expr"], json.dumps(rule["annotations"])
    for panel in PANELS:
        for target in panel["targets"]:
            # Grafana puts values in the place of its variables.
            expression = target["expr"].replace("$__rate_interval", "5m")
            yield f"panel {panel['title']}", expression, target["legendFormat"]


def test_queries_read_what_there_is(program: Program, exposed: dict[str, set[str]]) -> None:
    """Prometheus accepts every query; every series in it is exposed, and has the labels by which it is chosen."""
    all_queries = list(queries())
    for (place, expression, _), found in zip(
        all_queries, program.parse([expression for _, expression, _ in all_queries]), strict=True
    ):
        assert found["error"] == "", (place, expression)
        assert found["selectors"], place
        known: set[str] = set()
        for selector in found["selectors"]:
            assert selector["metric"] in exposed, place
            labels = exposed[selector["metric"]] | OF_THE_TARGET
            assert set(selector["labels"]) <= labels, place
            known |= labels
        assert set(found["groupings"]) <= known, place


def test_shown_labels_survive(program: Program, exposed: dict[str, set[str]]) -> None:
    """A label that a legend or a text shows is one that the result of the query has."""
    all_queries = list(queries())
    for (place, expression, texts), found in zip(
        all_queries, program.parse([expression for _, expression, _ in all_queries]), strict=True
    ):
        shown = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", texts)) - {"value"}
        aggregated = re.match(r"(sum|max|min|count|histogram_quantile|\()", expression)
        (first, *_) = found["selectors"]
        result = set(found["groupings"]) if aggregated else exposed[first["metric"]] | OF_THE_TARGET
        assert shown <= result - {"le"}, place


def test_a_query_that_reads_nothing_is_found(program: Program) -> None:
    """The parser is Prometheus' own: it refuses what is no query, and names all series, labels and groupings."""
    wrong, right = program.parse(["sum(rate(a[5m])", 'sum by (c) (rate(a_total{b="x"}[5m])) / on (c) d'])
    assert wrong["error"] != ""
    assert right == {
        "error": "",
        "selectors": [{"metric": "a_total", "labels": ["b"]}, {"metric": "d", "labels": []}],
        "groupings": ["c"],
    }


def test_every_alert_is_explained() -> None:
    """Each alert has a section that its annotation leads to, a severity, a summary and a cause."""
    headings = re.findall(r"^### (Keywright\w+)$", read(PAGE), re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, anchor in anchors(read(PAGE))) == (PAGE, True)
        section = read(PAGE).partition(f"### {rule['alert']}\n")[2].partition("\n### ")[0]
        assert section.strip().startswith(rule["labels"]["severity"].capitalize())


def test_what_matters_has_an_alert() -> None:
    """Lag of the feed, outages, 503, commits, signing keys, connections and shared limits each have an alert."""
    read_by = " ".join(rule["expr"] for rule in RULES)
    for metric in (
        "keywright_feed_lag_seconds",
        "keywright_outage",
        'keywright_http_requests_total{status="503"}',
        "keywright_commit_seconds_bucket",
        "keywright_key_set_age_seconds",
        "keywright_certificate_end_timestamp_seconds",
        "keywright_connections_refused_total",
        "keywright_limits_uncounted_total",
    ):
        assert metric in read_by


def test_metrics_of_the_page_exist(exposed: dict[str, set[str]]) -> None:
    """Every metric that the page about alerts names is exposed."""
    named = {piece for piece in code(read(PAGE)) if re.fullmatch(r"keywright_\w+", piece)}
    assert named
    assert {name for name in named if not {name, f"{name}_count"} & exposed.keys()} == set()


def test_the_dashboard_is_whole() -> None:
    """Every panel has an id of its own, a place that no other has, and the data source that its reader chooses."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    for panel in PANELS:
        for source in [panel, *panel["targets"]]:
            assert source["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]
    assert all(
        'job=~"$job", instance=~"$instance"' in target["expr"] for panel in PANELS for target in panel["targets"]
    )


def test_the_chart_installs_these_files(rendered: dict[str, Outcome]) -> None:
    """The chart's rule has the alerts of the file but those left out, and its ConfigMap the dashboard, unchanged."""
    everything = rendered["everything"]
    ours, theirs = everything.one("PrometheusRule")["spec"]["groups"]
    assert ours["rules"] == [rule for rule in RULES if rule["alert"] != "KeywrightLimitsUncounted"]
    assert theirs["name"] == "acme"
    config = everything.one("ConfigMap", "-dashboard")
    assert json.loads(config["data"]["keywright.json"]) == DASHBOARD
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
