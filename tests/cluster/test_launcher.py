"""The files for Ray's cluster launcher: as far as Ray and Google's own descriptions of the API check them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ray.autoscaler._private.gcp.config import get_node_type
from ray.autoscaler._private.gcp.node import GCPNodeType
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.reading import CLUSTER, LAUNCHED, REPOSITORY, document, node_environment
from ytray.api.environment import SERVE_ENVIRONMENT
from ytray.engine.base.model import QUEUE_PRIORITIES

GOOGLE = REPOSITORY / "cluster.yaml"
QUEUES = {f"queue_{queue}" for queue in QUEUE_PRIORITIES}


def node_types() -> dict[str, Any]:
    found = document(GOOGLE)["available_node_types"]
    assert isinstance(found, dict)
    return found


def google_schema() -> dict[str, Any]:
    """What Google's client says of the Compute Engine API, as a JSON Schema that takes no field it does not know."""
    client = importlib.util.find_spec("googleapiclient")
    assert client is not None
    assert client.submodule_search_locations is not None
    documents = Path(client.submodule_search_locations[0]) / "discovery_cache" / "documents"
    schemas = json.loads((documents / "compute.v1.json").read_text())["schemas"]

    def strict(schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return {"$ref": f"#/definitions/{schema['$ref']}"}
        made: dict[str, Any] = {name: schema[name] for name in ("type", "enum") if name in schema}
        if made.get("type") == "any":
            return {}
        if schema.get("format") == "int64":
            made["type"] = ["string", "integer"]
        if "properties" in schema:
            made["properties"] = {name: strict(inner) for name, inner in schema["properties"].items()}
            made["additionalProperties"] = False
        if "items" in schema:
            made["items"] = strict(schema["items"])
        return made

    return {"$ref": "#/definitions/Instance", "definitions": {name: strict(schema) for name, schema in schemas.items()}}


@pytest.mark.parametrize("path", LAUNCHED, ids=lambda path: path.stem)
def test_the_launcher_accepts_the_file(path: Path) -> None:
    prepared = prepare_config(document(path))
    validate_config(prepared)
    assert prepared["head_node_type"] in prepared["available_node_types"]


def test_each_machine_is_one_that_compute_engine_knows() -> None:
    google = jsonschema.Draft7Validator(google_schema())
    for name, node_type in node_types().items():
        assert get_node_type(node_type["node_config"]) == GCPNodeType.COMPUTE, name
        google.validate(node_type["node_config"])
    with pytest.raises(jsonschema.ValidationError):  # so the schema is one that minds
        google.validate({"machineType": "e2-standard-4", "machinType": "e2"})


def test_ray_up_gets_as_far_as_asking_for_an_account(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "CLOUDSDK_"))}
    done = subprocess.run(
        [Path(sys.executable).parent / "ray", "up", "-y", "--no-config-cache", GOOGLE],
        cwd=REPOSITORY,
        env={**environment, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "NO_GCE_CHECK": "true"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode != 0
    assert "default credentials were not found" in done.stdout + done.stderr


def test_the_head_offers_no_slots_and_the_others_all_queues_between_them() -> None:
    types = node_types()
    offered = {
        name: {key for key in node_type["resources"] if key.startswith("queue")} for name, node_type in types.items()
    }
    assert offered == {
        "head": set(),
        "cpu": {"queue_default", "queue_generation", "queue_batch"},
        "media": {"queue_media"},
        "gpu": {"queue_media"},
    }
    assert set.union(*offered.values()) == QUEUES
    assert types["head"]["resources"]["CPU"] == 0
    assert types["gpu"]["resources"]["GPU"] == types["gpu"]["node_config"]["guestAccelerators"][0]["acceleratorCount"]
    for path in LAUNCHED:
        assert any("--num-cpus=0" in command for command in document(path)["head_start_ray_commands"])
    started = " ".join(document(CLUSTER / "on-premise.yaml")["worker_start_ray_commands"])
    assert set(re.findall(r"queue_\w+", started)) == QUEUES


def test_only_the_head_is_there_to_stay() -> None:
    for name, node_type in node_types().items():
        preemptible = node_type["node_config"].get("scheduling", {}).get("provisioningModel") == "SPOT"
        assert preemptible == (name != "head")
        assert node_type["max_workers"] >= node_type["min_workers"]
    assert sum(node_type["max_workers"] for node_type in node_types().values()) == document(GOOGLE)["max_workers"]


def test_workers_act_by_an_account_that_starts_no_machines() -> None:
    accounts = {
        name: [account["email"].partition("@")[0] for account in node["node_config"].get("serviceAccounts", [])]
        for name, node in node_types().items()
    }
    # The head's is the one that Ray makes for who starts machines: written nowhere, so nobody else has it.
    assert accounts == {"head": [], "cpu": ["ytray-worker"], "media": ["ytray-worker"], "gpu": ["ytray-worker"]}
    assert "gcloud iam service-accounts create ytray-worker" in (REPOSITORY / "docs" / "clusters.md").read_text()


@pytest.mark.parametrize("path", LAUNCHED, ids=lambda path: path.stem)
def test_what_is_sent_to_the_machines_is_there_and_holds_no_secret(path: Path) -> None:
    config = document(path)
    for remote, local in config["file_mounts"].items():
        if local.startswith("~"):
            assert remote == local
            assert remote.startswith("~/.ytray-cluster/")
        else:
            assert (REPOSITORY / local).exists(), local
            assert remote == f"~/ytray/{local}"
            kept_here = CLUSTER / "secrets"
            assert not kept_here.is_relative_to(REPOSITORY / local), f"{local} takes cluster/secrets along"
            assert not (REPOSITORY / local).is_relative_to(kept_here), local
    commands = " ".join(config["setup_commands"])
    assert "uv.lock" in config["file_mounts"].values()
    assert "sync --frozen" in commands
    for script in re.findall(r"scripts/[\w-]+|cluster/[\w.-]+", commands):
        assert (REPOSITORY / script).is_file(), script
        assert {script, script.split("/")[0]} & set(config["file_mounts"].values()), script
    assert "cluster/serve.yaml" in config["file_mounts"].values()  # what docs/clusters.md deploys


def test_the_environment_of_a_node_asks_for_tokens_and_for_the_fast_ingress(tmp_path: Path) -> None:
    (tmp_path / ".ytray-cluster").mkdir()
    (tmp_path / ".ytray-cluster" / "env").write_text("YTRAY_ARTIFACTS=gs://bucket\n")
    environment = node_environment(tmp_path)
    assert environment.items() >= SERVE_ENVIRONMENT.items()
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == f"{tmp_path}/.ytray-cluster/token"
    assert environment["YTRAY_ARTIFACTS"] == "gs://bucket"
