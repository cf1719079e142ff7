"""The Kubernetes manifests: against the schemas, against Ray's own reading of them, and against each other."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.serve.schema import ServeDeploySchema
from typer.main import get_command

from tests.cluster.reading import CLUSTER, REPOSITORY, document
from ytray.cli.app import app
from ytray.engine.base.model import QUEUE_PRIORITIES

KUBERNETES = "1.33"
OVERDUE = 120  # seconds
FOLDER = CLUSTER / "kubernetes"
FILES = ("base", "redis", "raycluster", "rayservice", "rayjob", "monitoring")
SECRETS = {"ytray": {"redis-password", "redis-url", "api-keys", "metrics-key"}, "ytray-ray": {"auth_token"}}


def manifests() -> list[dict[str, Any]]:
    return [read for name in FILES for read in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests() if manifest["kind"] == kind]


def ray_cluster() -> dict[str, Any]:
    (found,) = of_kind("RayCluster")
    return found


def templates() -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods of all manifests, by name."""
    spec = ray_cluster()["spec"]
    yield "head", spec["headGroupSpec"]["template"]
    for group in spec["workerGroupSpecs"]:
        yield group["groupName"], group["template"]
    yield "job", of_kind("RayJob")[0]["spec"]["submitterPodTemplate"]
    yield "redis", of_kind("StatefulSet")[0]["spec"]["template"]


def found_in(within: Any, key: str) -> Iterator[Any]:
    """What stands at `key`, at whatever depth."""
    if isinstance(within, dict):
        if key in within:
            yield within[key]
        within = list(within.values())
    if isinstance(within, list):
        for inner in within:
            yield from found_in(inner, key)


def test_each_file_of_the_folder_is_tested() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(FILES)


def test_what_kubernetes_itself_knows_is_what_it_takes() -> None:
    known = [manifest for manifest in manifests() if not manifest["apiVersion"].startswith(("ray.io", "monitoring."))]
    assert len(known) >= 8
    for manifest in known:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    for name, template in templates():
        wrapped = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": template}
        kubernetes_validate.validate(wrapped, KUBERNETES, strict=True)
    serve = of_kind("RayService")[0]["spec"]["serveService"]
    kubernetes_validate.validate({"apiVersion": "v1", "kind": "Service", **serve}, KUBERNETES, strict=True)


def test_custom_resources_have_only_fields_that_their_definitions_have() -> None:
    schemas = document(REPOSITORY / "tests" / "cluster" / "crds.yaml")
    checked = 0
    for manifest in manifests():
        schema = schemas["kinds"].get(f"{manifest['apiVersion']}/{manifest['kind']}")
        if schema is not None:
            jsonschema.validate(manifest["spec"], {**schema, "definitions": schemas["definitions"]})
            checked += 1
    assert checked == 5


def test_ray_reads_the_queues_and_the_limits_of_each_group_out_of_the_cluster() -> None:
    resource = copy.deepcopy(ray_cluster())
    resource["metadata"]["namespace"] = "default"
    groups = _derive_autoscaling_config_from_ray_cr(resource)["available_node_types"]
    offered = {
        name: {key: value for key, value in group["resources"].items() if key.startswith("queue")}
        for name, group in groups.items()
    }
    assert offered == {
        "headgroup": {},
        "cpu": {"queue_default": 4, "queue_generation": 8, "queue_batch": 4},
        "media": {"queue_media": 4},
        "gpu": {"queue_media": 4},
    }
    assert {key for group in offered.values() for key in group} == {f"queue_{queue}" for queue in QUEUE_PRIORITIES}
    assert groups["headgroup"]["resources"]["CPU"] == 0
    assert groups["gpu"]["resources"]["GPU"] == 1
    assert all(group["max_workers"] > group["min_workers"] for name, group in groups.items() if name != "headgroup")


def test_the_service_runs_on_the_same_cluster_and_deploys_what_exists() -> None:
    spec = of_kind("RayService")[0]["spec"]
    assert spec["rayClusterConfig"] == ray_cluster()["spec"]
    assert spec["rayClusterConfig"]["rayVersion"] == ray.__version__
    for config in (yaml.safe_load(spec["serveConfigV2"]), document(CLUSTER / "serve.yaml")):
        schema = ServeDeploySchema.model_validate(config)
        assert [application.import_path for application in schema.applications] == ["ytray.api.deployment:application"]
        assert [deployment.name for deployment in schema.applications[0].deployments] == ["api"]


def test_secrets_are_named_and_never_written_down() -> None:
    told = (FOLDER / "base.yaml").read_text()
    references = [*found_in(manifests(), "secretKeyRef"), *found_in(of_kind("ServiceMonitor"), "credentials")]
    assert len(references) >= 8
    for reference in references:
        assert reference["key"] in SECRETS[reference["name"]]
    for name, keys in SECRETS.items():
        assert f"secret generic {name} " in told
        assert all(f"--from-file={key}" in told for key in keys)
    assert ray_cluster()["spec"]["authOptions"] == {"mode": "token", "secretName": "ytray-ray"}
    assert not of_kind("Secret")


def test_pods_are_locked_down() -> None:
    for name, template in templates():
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True, name
        for container in template["spec"]["containers"]:
            locked = container["securityContext"]
            assert locked["allowPrivilegeEscalation"] is False, name
            assert locked["capabilities"] == {"drop": ["ALL"]}, name
            assert locked["readOnlyRootFilesystem"] is True, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert re.search(r":(?!latest)", container["image"]), name


def test_each_group_has_probes_and_a_drain_that_has_the_time_it_takes() -> None:
    (drain,) = {
        " ".join(command["exec"]["command"])
        for command in found_in(ray_cluster()["spec"]["workerGroupSpecs"], "preStop")
    }
    commands = get_command(app)
    assert "drain" in getattr(commands, "commands")  # noqa: B009  # typer's type does not tell
    options = [option for parameter in getattr(commands, "commands")["drain"].params for option in parameter.opts]  # noqa: B009
    assert all(option in options for option in ("--deadline", "--reason", "--wait") if option in drain)
    for name, template in templates():
        if name == "job":
            continue
        container = template["spec"]["containers"][0]
        assert {"readinessProbe", "livenessProbe"} <= set(container), name
        if name not in ("head", "redis"):
            assert container["lifecycle"]["preStop"]["exec"]["command"][-1].startswith('ytray drain "$POD_IP"')
            # seconds: --deadline 8m, and as long as `ytray drain` waits for the leases that it then takes away
            assert template["spec"]["terminationGracePeriodSeconds"] > 8 * 60 + OVERDUE


def test_the_head_and_redis_alone_are_not_taken_away_unasked() -> None:
    """By what Kubernetes can count: it knows how many pods a StatefulSet wants, and not so of a RayCluster."""
    budgets = [budget["spec"] for budget in of_kind("PodDisruptionBudget")]
    held = {
        name: {key: value for key, value in budget.items() if key != "selector"}
        for name, template in templates()
        for budget in budgets
        if budget["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    }
    assert held == {"head": {"minAvailable": 1}, "redis": {"maxUnavailable": 0}}
    assert len(budgets) == len(held)


def test_what_is_worked_on_is_on_the_volume_of_the_home_and_rays_own_where_its_autoscaler_looks() -> None:
    for name, template in templates():
        if name in ("job", "redis"):
            continue
        container = template["spec"]["containers"][0]
        environment = {entry["name"]: entry.get("value") for entry in container["env"]}
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert environment["TMPDIR"] in mounted, name  # a folder that is missing is not used
        assert str(Path(environment["YTRAY_HOME"]).parent) == environment["TMPDIR"], name
        assert environment["RAY_TMPDIR"] == "/tmp", name
        assert "/tmp" in mounted, name


def test_nobody_but_ytray_reaches_redis_and_names_agree() -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in of_kind("NetworkPolicy")}
    pods = dict(templates())
    (source,) = [peer for rule in policies["ytray-redis"]["ingress"] for peer in rule["from"]]
    allowed = source["podSelector"]["matchLabels"].items()
    for name, template in pods.items():
        labels = template["metadata"]["labels"]
        assert (allowed <= labels.items()) == (name != "redis"), name
        chosen = "ytray-redis" if name == "redis" else "ytray"
        assert policies[chosen]["podSelector"]["matchLabels"].items() <= labels.items()
    (redis,) = [service for service in of_kind("Service") if service["metadata"]["name"] == "ytray-redis"]
    assert redis["spec"]["selector"].items() <= pods["redis"]["metadata"]["labels"].items()
    host, port = ray_cluster()["spec"]["gcsFaultToleranceOptions"]["redisAddress"].split(":")
    assert (host, int(port)) == ("ytray-redis", redis["spec"]["ports"][0]["port"])
    assert of_kind("RayJob")[0]["spec"]["clusterSelector"] == {"ray.io/cluster": ray_cluster()["metadata"]["name"]}


def test_workers_have_an_account_of_their_own_and_no_token_of_it() -> None:
    accounts = {account["metadata"]["name"]: account for account in of_kind("ServiceAccount")}
    for name, template in templates():
        spec = template["spec"]
        if name == "head":  # the autoscaler beside it asks the API server, by rights that KubeRay gives its account
            assert spec["serviceAccountName"] == "ytray"
            continue
        assert spec["automountServiceAccountToken"] is False, name
        if name not in ("job", "redis"):
            assert spec["serviceAccountName"] == "ytray-worker", name
    assert accounts["ytray-worker"]["automountServiceAccountToken"] is False
    assert not [*of_kind("Role"), *of_kind("RoleBinding"), *of_kind("ClusterRoleBinding")]


@pytest.mark.parametrize(
    ("to", "port", "reached_by"),
    [
        ("169.254.169.254", 80, set()),  # the metadata server, which gives out the node's own account
        ("169.254.169.254", 443, set()),
        ("10.0.0.1", 443, {"head"}),  # the API server, within the network
        ("10.0.0.7", 5432, set()),  # somebody else's database
        ("192.168.1.1", 80, set()),
        ("142.250.1.1", 443, {"head", "cpu", "media", "gpu", "job"}),  # the bucket and the models
        ("142.250.1.1", 80, {"head"}),  # a webhook
        ("142.250.1.1", 25, set()),
    ],
)
def test_pods_reach_outside_what_they_need(to: str, port: int, reached_by: set[str]) -> None:
    reached = set()
    for name, template in templates():
        labels = template["metadata"]["labels"].items()
        chosen = [
            p["spec"] for p in of_kind("NetworkPolicy") if p["spec"]["podSelector"]["matchLabels"].items() <= labels
        ]
        assert any("Egress" in policy["policyTypes"] for policy in chosen), name
        for rule in (rule for policy in chosen for rule in policy.get("egress", [])):
            blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
            inside = any(
                ip_address(to) in ip_network(block["cidr"])
                and not any(ip_address(to) in ip_network(but) for but in block.get("except", []))
                for block in blocks
            )
            if inside and port in [allowed["port"] for allowed in rule["ports"]]:
                reached.add(name)
    assert reached == reached_by


def test_prometheus_asks_one_place_for_figures_that_are_of_the_whole_system_and_names_it_as_the_alerts_do() -> None:
    (watch,) = of_kind("ServiceMonitor")
    (asked,) = [service for service in of_kind("Service") if service["metadata"]["name"] == "ytray-metrics"]
    assert watch["spec"]["selector"]["matchLabels"].items() <= asked["metadata"]["labels"].items()
    (endpoint,) = watch["spec"]["endpoints"]
    (port,) = asked["spec"]["ports"]
    assert (endpoint["port"], port["targetPort"]) == (port["name"], 8000)
    reached = [
        name for name, pod in templates() if asked["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    ]
    assert set(reached) == {"head"}
    (named,) = endpoint["relabelings"]
    assert named["targetLabel"] == "job"
    assert f'up{{job="{named["replacement"]}"}}' in (CLUSTER / "monitoring" / "alerts.yml").read_text()


def test_the_port_of_the_api_has_the_name_that_kuberay_asks_for() -> None:
    service = of_kind("RayService")[0]["spec"]["serveService"]["spec"]
    assert service["ports"] == [{"name": "serve", "port": 8000, "targetPort": 8000}]
    assert [endpoint["port"] for endpoint in of_kind("ServiceMonitor")[0]["spec"]["endpoints"]] == ["serve"]
    for name, template in templates():
        if name not in ("job", "redis"):
            ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
            assert ports["serve"] == 8000, name


@pytest.mark.parametrize("setting", ["appendonly yes", "maxmemory-policy noeviction"])
def test_redis_keeps_what_it_was_given(setting: str) -> None:
    (config,) = of_kind("ConfigMap")
    assert setting in config["data"]["redis.conf"].splitlines()
    (claim,) = of_kind("StatefulSet")[0]["spec"]["volumeClaimTemplates"]
    mounted = of_kind("StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/data"} in mounted
