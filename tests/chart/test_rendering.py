"""What the chart renders is what Kubernetes accepts and what the project promises."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from keywright import __version__
from keywright.agent.settings import AgentSettings
from keywright.config import PREFIX, Settings
from keywright.config_values import secret_names
from tests.chart.rendering import CHART, MINIMAL, NEWEST, SETS, Outcome, Program, examples, merged

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("chart")]
KINDS = {
    "minimal": {"Deployment", "Job", "PodDisruptionBudget", "Service", "ServiceAccount"},
    "everything": {
        *("ConfigMap", "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "Job", "NetworkPolicy"),
        *("PodDisruptionBudget", "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor"),
    },
    "external-secret": {"Deployment", "ExternalSecret", "PodDisruptionBudget", "Service"},
    "sqlite": {"Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Service", "ServiceAccount"},
    "agent": {"Deployment", "Job", "PodDisruptionBudget", "Service", "ServiceAccount"},
}
# SQLite's URL is a path, and no secret.
OF_A_FILE = {"KEYWRIGHT_DATABASE_URL"}


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Give the metadata and the spec of each pod that there will be."""
    for each in objects:
        template = each.get("spec", {}).get("template")
        if template is not None:
            yield template.get("metadata", {}), template["spec"]


def containers(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give all containers of a pod."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    """Give the environment of a container."""
    return {each["name"]: each.get("value", "") for each in container.get("env", [])}


def test_every_set_of_values_is_accepted(rendered: dict[str, Outcome]) -> None:
    """Each set renders the kinds that it should, and nothing that Kubernetes or an extension would refuse."""
    assert {name: (outcome.error, outcome.flaws) for name, outcome in rendered.items()} == dict.fromkeys(SETS, ("", []))
    assert {name: {each["kind"] for each in outcome.objects} for name, outcome in rendered.items()} == KINDS


def test_the_manifests_of_the_page_are_accepted(program: Program) -> None:
    """Each manifest on the page about Kubernetes has only kinds, fields and types that there are."""
    found = program.read({str(number): text for number, text in enumerate(examples())})
    assert len(found) == 2
    assert [flaw for outcome in found.values() for flaw in outcome.flaws] == []
    assert {each["kind"] for outcome in found.values() for each in outcome.objects} == {
        "Deployment",
        "HTTPRoute",
        "ReferenceGrant",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("apiVersion: v1\nkind: Service\nspec: {port: 80}", 'unknown field "spec.port"'),
        ("apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: many}", "cannot unmarshal string"),
        ("apiVersion: apps/v1beta1\nkind: Deployment", "no kind"),
        ("apiVersion: v1\nkind: Service\nkind: Service", "already set"),
        ("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nspec: {parents: []}", "spec.parents"),
        ("apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nspec: {endpoints: [{ports: x}]}", "ports"),
        ("apiVersion: external-secrets.io/v2\nkind: ExternalSecret", "no kind"),
    ],
)
def test_what_is_wrong_is_found(program: Program, text: str, said: str) -> None:
    """The reading is strict: a field, type or kind that there is not is a flaw."""
    (flaw,) = program.read({"wrong": text})["wrong"].flaws
    assert said in flaw


def test_pods_are_restricted(rendered: dict[str, Outcome], program: Program) -> None:
    """Every pod is what the Pod Security Standard `restricted` asks, runs as 10001, and has no token of Kubernetes."""
    page = program.read({str(number): text for number, text in enumerate(examples())})
    seen = 0
    for outcome in [*rendered.values(), *page.values()]:
        for _, spec in pods(outcome.objects):
            seen += 1
            of_the_pod = spec["securityContext"]
            assert of_the_pod["runAsNonRoot"] is True
            assert of_the_pod["runAsUser"] == 10001
            assert of_the_pod["seccompProfile"] == {"type": "RuntimeDefault"}
            assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & spec.keys()
            assert spec["enableServiceLinks"] is False
            for container in containers(spec):
                if not container["image"].startswith("registry.acme.example/keywright:"):
                    continue
                assert container["securityContext"].items() >= {
                    ("allowPrivilegeEscalation", False),
                    ("readOnlyRootFilesystem", True),
                }
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
                assert {"requests", "limits"} <= container["resources"].keys()
            assert {next(iter(volume.keys() - {"name"})) for volume in spec["volumes"]} <= {
                *("emptyDir", "projected", "secret", "persistentVolumeClaim", "configMap"),
            }
    assert seen >= 9
    for outcome in rendered.values():
        for _, spec in pods([each for each in outcome.objects if each["metadata"]["name"].startswith("keywright")]):
            assert spec["automountServiceAccountToken"] is False


def test_images_have_the_version_of_the_chart(rendered: dict[str, Outcome]) -> None:
    """Every image is that of the chart's version, which is the service's, and none floats."""
    chart = (CHART / "Chart.yaml").read_text()
    assert re.findall(r'^(?:version|appVersion): "?([0-9.]+)"?$', chart, re.MULTILINE) == [__version__] * 2
    images = {
        container["image"]
        for outcome in rendered.values()
        for _, spec in pods(outcome.objects)
        for container in containers(spec)
    }
    ours = {image for image in images if "/keywright:" in image}
    assert {image.partition("@")[0] for image in ours} == {f"registry.acme.example/keywright:{__version__}"}
    assert not [image for image in images if image.endswith(":latest") or ":" not in image]


def test_settings_exist(rendered: dict[str, Outcome]) -> None:
    """Every variable that a container gets is a setting of the command that it runs, and no secret is in one."""
    kinds = {"serve": Settings, "migrate": Settings, "agent": AgentSettings}
    seen = set()
    for outcome in rendered.values():
        for _, spec in pods(outcome.objects):
            for container in containers(spec):
                if container.get("command", [""])[0] != "keywright":
                    continue
                kind = kinds[container["command"][1]]
                secrets = {f"{PREFIX}{name.upper()}" for name in secret_names(kind)}
                known = {f"{PREFIX}{name.upper()}" for name in kind.model_fields}
                names = {name for name in variables(container) if name.startswith(PREFIX)}
                assert names <= (known - secrets) | {f"{name}_FILE" for name in secrets} | OF_A_FILE
                seen.add(container["command"][1])
    assert seen == kinds.keys()


def test_no_secret_is_rendered(rendered: dict[str, Outcome]) -> None:
    """The chart makes no Secret, and mounts the files of those that there are for reading only."""
    for outcome in rendered.values():
        assert outcome.all("Secret") == []
        for _, spec in pods(outcome.objects):
            held = {volume["name"] for volume in spec["volumes"] if {"projected", "secret"} & volume.keys()}
            mounts = [mount for container in containers(spec) for mount in container.get("volumeMounts", [])]
            assert all(mount.get("readOnly") for mount in mounts if mount["name"] in held)


def test_references_lead_somewhere(rendered: dict[str, Outcome]) -> None:
    """Every mount has a volume, every selector finds a pod, and every backend is a Service with that port."""
    for outcome in rendered.values():
        labels = [metadata["labels"] for metadata, _ in pods(outcome.objects)]
        for _, spec in pods(outcome.objects):
            volumes = {volume["name"] for volume in spec["volumes"]}
            mounts = [mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])]
            assert set(mounts) == volumes
        for each in outcome.objects:
            spec = each.get("spec", {})
            selector = spec.get("podSelector", spec.get("selector"))
            if each["kind"] in ("NetworkPolicy", "Deployment", "PodDisruptionBudget"):
                assert any(selector["matchLabels"].items() <= found.items() for found in labels), each
            elif each["kind"] == "Service":
                assert any(selector.items() <= found.items() for found in labels), each
        services = {each["metadata"]["name"]: each["spec"]["ports"] for each in outcome.all("Service")}
        for ingress in outcome.all("Ingress"):
            for rule in ingress["spec"]["rules"]:
                backend = rule["http"]["paths"][0]["backend"]["service"]
                assert backend["port"]["number"] in [port["port"] for port in services[backend["name"]]]
        for route in outcome.all("HTTPRoute"):
            (backend,) = route["spec"]["rules"][0]["backendRefs"]
            assert backend["port"] in [port["port"] for port in services[backend["name"]]]
        for monitor in outcome.all("ServiceMonitor"):
            wanted = monitor["spec"]["selector"]["matchLabels"]
            (found,) = [each for each in outcome.all("Service") if wanted.items() <= each["metadata"]["labels"].items()]
            assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in found["spec"]["ports"]]


def test_the_metrics_have_a_service_of_their_own(rendered: dict[str, Outcome]) -> None:
    """The Service that a load balancer may publish has the port of the API alone."""
    everything = rendered["everything"]
    assert [port["targetPort"] for port in everything.one("Service", "keywright")["spec"]["ports"]] == ["http"]
    metrics = everything.one("Service", "-metrics")["spec"]
    assert (metrics["clusterIP"], [port["targetPort"] for port in metrics["ports"]]) == ("None", ["metrics"])
    assert [each["metadata"]["name"] for each in rendered["sqlite"].all("Service")] == ["keywright"]


def test_migration(rendered: dict[str, Outcome]) -> None:
    """A hook with the owner's role migrates before pods are replaced, or each pod does; SQLite needs neither."""
    job = rendered["everything"].one("Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert [*container["command"], *container["args"]] == ["keywright", "migrate", "--grant-to", "serving"]
    (secret,) = next(
        volume["projected"]["sources"]
        for volume in job["spec"]["template"]["spec"]["volumes"]
        if volume["name"] == "migration"
    )
    assert (secret["secret"]["name"], secret["secret"]["items"][0]["key"]) == ("keywright-owner", "uri")
    assert variables(container)["KEYWRIGHT_KEY_BRAND"] == "acme"
    # A hook may use nothing that comes with the release.
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    policy = rendered["everything"].one("NetworkPolicy", "-migrate")
    assert policy["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(policy["metadata"]["annotations"]["helm.sh/hook-weight"]) < int(
        job["metadata"]["annotations"]["helm.sh/hook-weight"]
    )
    in_pods = rendered["external-secret"].one("Deployment")["spec"]["template"]["spec"]["initContainers"]
    assert [each["command"] for each in in_pods] == [["keywright", "migrate"]]
    assert "initContainers" not in rendered["sqlite"].one("Deployment")["spec"]["template"]["spec"]


def test_probes(rendered: dict[str, Outcome]) -> None:
    """A pod waits for `/readyz` once; afterwards no outage of something else takes it out or restarts it."""
    for name, outcome in rendered.items():
        container = outcome.container()
        asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
        assert [asked[kind]["path"] for kind in asked] == ["/readyz", "/livez", "/livez"]
        assert {each["scheme"] for each in asked.values()} == {"HTTPS" if name == "everything" else "HTTP"}
        # The service says in its log why a start takes long, before Kubernetes ends it.
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] > Settings.model_fields["start_seconds"].default


def test_readiness_by_the_database(program: Program) -> None:
    """Whoever wants a pod without a database to leave the Service says so."""
    outcome = program.render_one(merged(MINIMAL, {"probes": {"readiness": {"path": "/readyz"}}}))
    assert outcome.container()["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize(
    ("values", "version", "sleep", "grace"),
    [
        ({}, NEWEST, 5, 30),
        ({"settings": {"KEYWRIGHT_SHUTDOWN_SECONDS": 60}, "preStopSeconds": 10}, NEWEST, 10, 75),
        ({"preStopSeconds": 0}, NEWEST, None, 25),
        ({}, "v1.29.4", None, 25),
        ({}, "v1.31.2-eks-7f9249a", 5, 30),
    ],
)
def test_the_end_of_a_pod(
    program: Program, values: dict[str, Any], version: str, sleep: int | None, grace: int
) -> None:
    """A pod has the time to be forgotten by proxies and to finish its requests before it is killed."""
    outcome = program.render_one(merged(MINIMAL, values), kube_version=version)
    hook = outcome.container().get("lifecycle")
    assert (hook and hook["preStop"]["sleep"]["seconds"]) == sleep
    assert outcome.one("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == grace


def test_availability(program: Program, rendered: dict[str, Outcome]) -> None:
    """A single replica has no budget, since no node could be drained; with autoscaling nothing else counts replicas."""
    assert rendered["sqlite"].all("PodDisruptionBudget") == []
    assert program.render_one(merged(MINIMAL, {"replicas": 1})).all("PodDisruptionBudget") == []
    assert rendered["minimal"].one("Deployment")["spec"]["replicas"] == 2
    assert "replicas" not in rendered["everything"].one("Deployment")["spec"]
    scaler = rendered["everything"].one("HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 12)
    strategies = {
        name: outcome.one("Deployment", "keywright")["spec"]["strategy"] for name, outcome in rendered.items()
    }
    # Two processes must not have the volume at once.
    assert strategies.pop("sqlite") == {"type": "Recreate"}
    assert {each["rollingUpdate"]["maxUnavailable"] for each in strategies.values()} == {0}


def test_pods_spread(rendered: dict[str, Outcome], program: Program) -> None:
    """By default pods spread over zones and nodes without insisting; a list replaces that, also an empty one."""
    found = rendered["minimal"].one("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in found] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {each["whenUnsatisfiable"] for each in found} == {"ScheduleAnyway"}
    other = rendered["everything"].one("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [each["whenUnsatisfiable"] for each in other] == ["DoNotSchedule"]
    none = program.render_one(merged(MINIMAL, {"topologySpreadConstraints": []}))
    assert "topologySpreadConstraints" not in none.one("Deployment")["spec"]["template"]["spec"]


def test_numbers_stay_whole(rendered: dict[str, Outcome]) -> None:
    """A large number in the values is a number in the environment, and no float in scientific notation."""
    found = variables(rendered["everything"].container())
    assert (found["KEYWRIGHT_CHANGES_BURST"], found["KEYWRIGHT_CACHE_MIB"]) == ("1000000", "512")
    assert found["KEYWRIGHT_REQUIRE_EXPIRY"] == "true"


def test_agent_sidecar(rendered: dict[str, Outcome]) -> None:
    """An agent in a pod starts before the server, outlives it, calls the release's Service, and is named by the pod."""
    spec = rendered["agent"].one("Deployment", "orders")["spec"]["template"]["spec"]
    (agent,) = spec["initContainers"]
    assert (agent["restartPolicy"], agent["command"]) == ("Always", ["keywright", "agent"])
    found = variables(agent)
    assert found["KEYWRIGHT_URL"] == "http://keywright.identity.svc:80"
    assert found["KEYWRIGHT_ALLOW_HTTP"] == "1"
    named = next(each for each in agent["env"] if each["name"] == "KEYWRIGHT_AGENT_NAME")
    assert named["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_names_of_releases(program: Program) -> None:
    """Names stay within what Kubernetes allows, also with the longest name of a release."""
    outcome = program.render_one(merged(MINIMAL, {"fullnameOverride": "k" * 63}))
    assert outcome.flaws == []
    assert max(len(each["metadata"]["name"]) for each in outcome.objects) <= 63


def test_notes(program: Program, rendered: dict[str, Outcome]) -> None:
    """After an install Helm says what to do next, and what is missing for rate limits and addresses."""
    notes = rendered["minimal"].notes
    assert "kubectl -n identity exec deployment/keywright -- keywright verifiers create api" in notes
    assert "redis.existingSecret" in notes
    assert "redis.existingSecret" not in rendered["everything"].notes
    exposed = program.render_one(merged(MINIMAL, {"ingress": {"enabled": True, "hosts": ["keys.acme.example"]}}))
    assert "KEYWRIGHT_TRUSTED_PROXIES" in exposed.notes
