"""The service, the migration and the agent run with the environment that the chart gives them."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from keywright.dev.issuer import DevIssuer
from tests.api.verifier import Verifier, create_verifier
from tests.chart.rendering import MINIMAL, SETS, Program, merged
from tests.live import clean_environment, client_of, environment, start_agent, start_service
from tests.postgres import PostgresCluster, fresh_database

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("chart")]


def given(container: Mapping[str, Any], folder: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """
    Give the environment of a container as it is in a pod.

    Args:
        container: The container.
        folder: Where the files of secrets are, in the place of `/etc/keywright`.
        secrets: Their contents, by path below that.
    """
    for path, content in secrets.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    found = {each["name"]: each.get("value", "orders-7d9f-x2x") for each in container["env"]}
    files = {
        name: value.replace("/etc/keywright", str(folder)) for name, value in found.items() if name.endswith("_FILE")
    }
    # Each must be where the container has a mount.
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert all(found[name].rpartition("/")[0] in mounts for name in files)
    return found | files


def test_migrate_and_serve(
    program: Program, issuer: DevIssuer, postgres_cluster: PostgresCluster, tmp_path: Path
) -> None:
    """The Job migrates an empty PostgreSQL, the service starts on it, and every path that Kubernetes asks answers."""
    outcome = program.render_one(
        {
            **{name: value for name, value in MINIMAL.items() if name != "auth0Domain"},
            "issuer": issuer.url,
            "audience": issuer.audience,
            "settings": {"KEYWRIGHT_KEY_BRAND": "acme", "KEYWRIGHT_CHANGES_BURST": 1000000},
        }
    )
    url = fresh_database(postgres_cluster)
    (job,) = outcome.one("Job")["spec"]["template"]["spec"]["containers"]
    done = subprocess.run(
        [sys.executable, "-m", *job["command"]],
        env=clean_environment(given(job, tmp_path, {"migration/database-url": url})),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    container = outcome.container()
    settings = given(container, tmp_path, {"secrets/database-url": url})
    assert (settings["KEYWRIGHT_HOST"], settings["KEYWRIGHT_METRICS"]) == ("0.0.0.0", "0.0.0.0:9464")
    free = {"KEYWRIGHT_HOST": "127.0.0.1", "KEYWRIGHT_PORT": "0", "KEYWRIGHT_METRICS": "127.0.0.1:0"}
    # A test's service has a database unless told otherwise.
    with start_service({**settings, **free, "KEYWRIGHT_DATABASE_URL": ""}) as live, client_of(live) as http:
        live.await_ready()
        for probe in ("startup", "readiness", "liveness"):
            assert http.get(container[f"{probe}Probe"]["httpGet"]["path"]).status_code == 200
        assert "keywright_outage 0.0" in httpx.get(f"{live.metrics_url}", trust_env=False).text


def test_agent(program: Program, issuer: DevIssuer, tmp_path: Path) -> None:
    """The agent starts with what the sidecar gives it, and answers a caller of its pod without a credential."""
    with start_service(environment(issuer)) as service:
        credential = create_verifier(service, "orders")
        values = merged(yaml.safe_load(SETS["agent"]), {"agent": {"url": service.base_url}})
        orders = program.render_one(values).one("Deployment", "orders")["spec"]["template"]["spec"]
        settings = given(orders["initContainers"][0], tmp_path, {"agent/verifier": f"{credential}\n"})
        free = {"KEYWRIGHT_AGENT_LISTEN": "127.0.0.1:0", "KEYWRIGHT_METRICS": "127.0.0.1:0"}
        with start_agent({**settings, **free}) as agent:
            agent.await_ready()
            with Verifier(agent, None) as caller:
                assert caller.code("kw_sk_live_nothing") == "not_found"
            assert agent.await_log_line(event="ready")["access"] == "open"
