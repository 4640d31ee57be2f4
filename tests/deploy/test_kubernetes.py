"""The manifests: valid, restricted, and in all that they name at one with the program. Both overlays, as rendered."""

import re
import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest

from schemas import topics
from schemas.loader import load_map
from streams.runtime.settings import DEFAULT_MAP, Settings, load_settings
from tests.deploy.manifests import DEPLOY, KUBERNETES, accepts, of_kind, pinned, read, rendered, variables

OVERLAYS = ("small", "cluster")
ROLES = ("worker", "sink", "collector", "console")
#: Kinds of the Prometheus operator and of KEDA: no schema of theirs is on PyPI, so what matters is checked below.
CUSTOM = {
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "TriggerAuthentication": "keda.sh/v1alpha1",
}
PORTS = {"worker": Settings().metrics_port, "sink": Settings().metrics_port, "collector": 8090, "console": 8080}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return rendered(request.param)


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each["spec"]["template"] for each in of_kind(objects, "Deployment", "Job")]


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    return dict(only)


def data(objects: list[dict[str, Any]], prefix: str) -> dict[str, str]:
    """The ConfigMap that Kustomize made of this name."""
    maps = of_kind(objects, "ConfigMap")
    (found,) = [each for each in maps if re.fullmatch(rf"{prefix}-[0-9a-z]{{10}}", each["metadata"]["name"])]
    return dict(found["data"])


def settings_of(objects: list[dict[str, Any]], pod: dict[str, Any]) -> dict[str, str]:
    """The environment of a pod from its ConfigMaps."""
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(objects, "ConfigMap")}
    merged: dict[str, str] = {}
    for source in container(pod)["envFrom"]:
        merged |= maps[source["configMapRef"]["name"]]
    return merged


def test_every_object_keeps_to_the_schema_of_its_kind(objects: list[dict[str, Any]]) -> None:
    for each in objects:
        if CUSTOM.get(each["kind"]) == each["apiVersion"]:
            continue
        kubernetes_validate.validate(each, "1.37", strict=True)


def test_the_small_overlay_needs_nothing_installed_in_the_cluster() -> None:
    assert not of_kind(rendered("small"), *CUSTOM)
    assert {each["kind"] for each in rendered("cluster")} >= set(CUSTOM)


def test_every_role_runs_and_its_command_line_is_taken(objects: list[dict[str, Any]]) -> None:
    assert {each["metadata"]["name"] for each in of_kind(objects, "Deployment")} == {f"corredor-{r}" for r in ROLES}
    for pod in pods(objects):
        accepts(container(pod)["args"])


def test_every_image_has_a_version(objects: list[dict[str, Any]]) -> None:
    assert all(pinned(container(pod)["image"]) for pod in pods(objects))


def test_every_setting_is_known_and_of_a_value_that_is_taken(
    objects: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for pod in pods(objects):
        environment = settings_of(objects, pod)
        assert set(environment) <= variables()
        with monkeypatch.context() as given:
            for name, value in environment.items():
                if not value.startswith(("/run/", "/etc/")):
                    given.setenv(name, value)
            if "CORREDOR_KAFKA_SASL_MECHANISM" in environment:
                # Of the secret corredor-kafka, which only they have that speak to Kafka.
                sources = pod["spec"]["volumes"][1]["projected"]["sources"]
                assert "corredor-kafka" in {source["secret"]["name"] for source in sources}
                given.setenv("CORREDOR_KAFKA_USERNAME", "corredor")
                given.setenv("CORREDOR_KAFKA_PASSWORD", "x")
            load_settings()


def test_the_kafka_password_is_kept_from_the_console(objects: list[dict[str, Any]]) -> None:
    console = named(objects, "Deployment", "corredor-console")["spec"]["template"]
    assert "corredor-kafka" not in str(console["spec"]["volumes"])
    assert not [name for name in settings_of(objects, console) if name.startswith("CORREDOR_KAFKA")]


def test_no_pod_may_do_more_than_the_restricted_standard_allows(objects: list[dict[str, Any]]) -> None:
    for pod in pods(objects):
        assert pod["spec"]["securityContext"] == {
            "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        assert container(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["spec"]["automountServiceAccountToken"] is False
    (namespace,) = of_kind(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_service_can_set_one_of_our_variables(objects: list[dict[str, Any]]) -> None:
    # Kubernetes would set CORREDOR_CONSOLE_PORT=tcp://... for the service `corredor-console`.
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in pods(objects))


def test_every_pod_has_time_to_end_and_known_limits(objects: list[dict[str, Any]]) -> None:
    for deployment in of_kind(objects, "Deployment"):
        pod = deployment["spec"]["template"]
        pause = 5 if "lifecycle" in container(pod) else 0
        needed = float(settings_of(objects, pod)["CORREDOR_SHUTDOWN_TIMEOUT"]) + pause + 5
        assert pod["spec"]["terminationGracePeriodSeconds"] >= needed
    for pod in pods(objects):
        resources = container(pod)["resources"]
        assert resources["requests"].keys() == {"cpu", "memory"}
        assert resources["limits"].keys() == {"memory"}


@pytest.mark.parametrize("role", ROLES)
def test_probes_and_services_lead_to_the_port_that_the_role_serves(role: str, objects: list[dict[str, Any]]) -> None:
    deployment = named(objects, "Deployment", f"corredor-{role}")
    only = container(deployment["spec"]["template"])
    (port,) = only["ports"]
    assert port["containerPort"] == PORTS[role]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert only[probe]["httpGet"]["port"] == port["name"]
    service = named(objects, "Service", f"corredor-{role}")["spec"]
    assert service["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert service["ports"] == [{"name": port["name"], "port": PORTS[role], "targetPort": port["name"]}]
    budget = named(objects, "PodDisruptionBudget", f"corredor-{role}")["spec"]
    assert budget == {"maxUnavailable": 1, "selector": deployment["spec"]["selector"]}


def test_a_worker_is_replaced_without_an_extra_one_that_would_find_no_partition(objects: list[dict[str, Any]]) -> None:
    for role in ("worker", "sink"):
        strategy = named(objects, "Deployment", f"corredor-{role}")["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_the_number_of_replicas_is_left_to_what_scales(objects: list[dict[str, Any]]) -> None:
    assert all("replicas" not in each["spec"] for each in of_kind(objects, "Deployment"))


def test_every_volume_that_is_mounted_is_there_and_every_file_that_a_setting_names_is_mounted(
    objects: list[dict[str, Any]],
) -> None:
    for pod in pods(objects):
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container(pod)["volumeMounts"]}
        assert set(mounts) == volumes
        assert mounts["data"] == "/var/lib/corredor"
        for name, value in settings_of(objects, pod).items():
            used = name != "CORREDOR_COLLECT_KEYS" or "collect" in container(pod)["args"]
            if value.startswith("/") and used:
                assert any(value == path or value.startswith(f"{path}/") for path in mounts.values()), (name, value)
        (config,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "map"]
        assert list(data(objects, "corredor-map")) == ["corridor.yaml"]
        assert config["configMap"]["name"].startswith("corredor-map-")


def test_the_corridor_map_in_the_config_map_is_one_that_the_program_reads(
    objects: list[dict[str, Any]], tmp_path: Any
) -> None:
    file = tmp_path / "corridor.yaml"
    file.write_text(data(objects, "corredor-map")["corridor.yaml"])
    assert load_map(file) == load_map(DEFAULT_MAP)


@pytest.mark.parametrize(
    ("role", "group", "topic"),
    [("worker", Settings().worker_group, topics.EVENTS.name), ("sink", Settings().sink_group, topics.SCORED.name)],
)
def test_keda_scales_by_the_lag_of_our_groups_and_never_beyond_the_partitions(
    role: str, group: str, topic: str
) -> None:
    objects = rendered("cluster")
    kafka = data(objects, "corredor-kafka")
    scaled = named(objects, "ScaledObject", f"corredor-{role}")["spec"]
    assert scaled["scaleTargetRef"] == {"name": f"corredor-{role}"}
    assert 1 <= scaled["minReplicaCount"] <= scaled["maxReplicaCount"] <= int(kafka["CORREDOR_PARTITIONS"])
    (trigger,) = scaled["triggers"]
    metadata = trigger["metadata"]
    assert trigger["type"] == "kafka"
    assert (metadata["consumerGroup"], metadata["topic"]) == (group, topic)
    assert metadata["bootstrapServers"] == kafka["CORREDOR_KAFKA"]
    assert metadata["allowIdleConsumers"] == "false"
    assert int(metadata["lagThreshold"]) > 0
    assert all(isinstance(value, str) for value in metadata.values())
    # SCRAM-SHA-512 in KEDA's own words, with keys of a secret that our settings read, too.
    assert metadata["sasl"].replace("_", "-").upper() == kafka["CORREDOR_KAFKA_SASL_MECHANISM"].replace("-SHA-", "-SHA")
    assert metadata["tls"] == "enable"
    login = named(objects, "TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]["secretTargetRef"]
    keys = {each["parameter"]: each["key"] for each in login}
    assert {keys["username"], keys["password"]} == {"corredor_kafka_username", "corredor_kafka_password"}
    assert kafka["CORREDOR_KAFKA_CA"].endswith(f"/{keys['ca']}")


def test_without_the_cluster_overlay_keda_keeps_to_the_default_partitions() -> None:
    for each in read(KUBERNETES / "components" / "keda" / "scaled-objects.yaml"):
        assert each["spec"]["maxReplicaCount"] <= Settings().partitions


def test_the_collector_scales_by_its_cpu(objects: list[dict[str, Any]]) -> None:
    scaler = named(objects, "HorizontalPodAutoscaler", "corredor-collector")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "corredor-collector"
    assert [metric["resource"]["name"] for metric in scaler["metrics"]] == ["cpu"]
    assert scaler["minReplicas"] <= scaler["maxReplicas"]


def test_the_monitors_select_services_whose_names_are_the_jobs_of_the_rules() -> None:
    objects = rendered("cluster")
    services = {each["metadata"]["name"]: each for each in of_kind(objects, "Service")}
    chosen = {}
    for monitor in of_kind(objects, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]
        names = selector.get("matchLabels", {}).values() or selector["matchExpressions"][0]["values"]
        (endpoint,) = monitor["spec"]["endpoints"]
        for name in names:
            assert services[name]["metadata"]["labels"]["app.kubernetes.io/name"] == name
            assert [port["name"] for port in services[name]["spec"]["ports"]] == [endpoint["port"]]
            chosen[name] = endpoint["path"]
    ruled = "".join(file.read_text() for file in (DEPLOY / "prometheus" / "rules").glob("*.yaml"))
    assert set(re.findall(r'job="([\w-]+)"', ruled)) <= set(chosen)
    assert set(chosen.values()) == {"/metrics"}


def test_the_prometheus_rules_are_those_of_deploy_prometheus() -> None:
    ours = {each["metadata"]["name"]: each["spec"] for each in of_kind(rendered("cluster"), "PrometheusRule")}
    files = (DEPLOY / "prometheus" / "rules").glob("*.yaml")
    assert ours == {file.stem: read(file)[0] for file in files}


def test_what_is_generated_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(KUBERNETES / "generate.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_network_policies_let_each_role_reach_what_it_needs_and_nothing_else(objects: list[dict[str, Any]]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "NetworkPolicy")}
    everything = policies["corredor"]
    assert everything["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in everything
    assert {port["port"] for port in everything["egress"][0]["ports"]} == {53}
    speaks = {}
    for pod in pods(objects):
        labels = pod["metadata"]["labels"]
        assert everything["podSelector"]["matchLabels"].items() <= labels.items()
        speaks[container(pod)["name"]] = {key for key in labels if key.startswith("corredor/")}
    kafka, clickhouse = {"corredor/kafka"}, {"corredor/clickhouse"}
    assert speaks == {
        "worker": kafka, "topics": kafka, "collector": kafka, "sink": kafka | clickhouse, "console": clickhouse,
    }  # fmt: skip
    for name in ("corredor-http", "corredor-metrics"):
        for value in policies[name]["podSelector"]["matchExpressions"][0]["values"]:
            assert value.removeprefix("corredor-") in ROLES


def test_every_port_of_kafka_is_one_that_the_policy_lets_out(objects: list[dict[str, Any]]) -> None:
    (rule,) = named(objects, "NetworkPolicy", "corredor-kafka")["spec"]["egress"][0]["ports"]
    for address in data(objects, "corredor-kafka")["CORREDOR_KAFKA"].split(","):
        assert rule["port"] <= int(address.rpartition(":")[2]) <= rule["endPort"]
