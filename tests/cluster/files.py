"""The files of cluster/ as a user applies them: with the variables of an account that does not exist filled in."""

from __future__ import annotations

import gzip
import json
import string
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
SCHEMAS = ROOT.parent / "shared" / "schemas"
"""Where the definitions of KubeRay's resources may lie; they are no part of the project."""
VALUES = {
    "ORCH_REGION": "eu-west-1",
    "ORCH_ACCOUNT": "123456789012",
    "ORCH_REGISTRY": "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
    "ORCH_IMAGE": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/orch:0.1.0",
    "ORCH_AMI": "ami-12c6146b",
    "ORCH_SECURITY_GROUP": "sg-0123456789abcdef0",
    "ORCH_BUCKET": "a-bucket",
    "ORCH_PREFIX": "studies",
    "ORCH_STORAGE": "s3://a-bucket/studies",
}

Files = dict[str, str]
"""Text of each file of cluster/, by its path in it."""


def read_files() -> Files:
    """Every file of cluster/ as it is."""
    paths = sorted(path for path in CLUSTER.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(CLUSTER).as_posix(): path.read_text() for path in paths}


def fill(text: str, **values: str) -> str:
    """What ``envsubst`` makes of the text, given the variables of this project only."""
    return string.Template(text).safe_substitute({**VALUES, **values})


def launcher(files: Files) -> dict[str, Any]:
    """The file of Ray's cluster launcher."""
    config: dict[str, Any] = yaml.safe_load(fill(files["aws.yaml"]))
    return config


def policy(files: Files, name: str) -> list[dict[str, Any]]:
    """The statements of iam/<name>.json."""
    statements: list[dict[str, Any]] = json.loads(fill(files[f"iam/{name}.json"]))["Statement"]
    return statements


def objects(files: Files) -> list[dict[str, Any]]:
    """Every Kubernetes object."""
    texts = [fill(text) for name, text in files.items() if name.startswith("kuberay/")]
    return [one for text in texts for one in yaml.safe_load_all(text)]


def of_kind(files: Files, kind: str) -> list[dict[str, Any]]:
    """The Kubernetes objects of one kind."""
    found = [one for one in objects(files) if one["kind"] == kind]
    assert found, f"no {kind}"
    return found


def cluster_specs(files: Files) -> list[dict[str, Any]]:
    """What is said of the cluster: as one that stays, and as a job's own."""
    return [one["spec"] for one in of_kind(files, "RayCluster")] + [
        one["spec"]["rayClusterSpec"] for one in of_kind(files, "RayJob")
    ]


def groups(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The head's group and the workers'."""
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


@cache
def custom_schema(kind: str) -> dict[str, Any]:
    """The schema of KubeRay's resource of version v1, refusing what it does not name, as a strict API server does."""
    with gzip.open(SCHEMAS / f"ray.io_{kind}.yaml.gz", "rt") as file:
        versions = yaml.load(file, yaml.CSafeLoader)["spec"]["versions"]
    schema: dict[str, Any] = next(one for one in versions if one["name"] == "v1")["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"]["x-kubernetes-preserve-unknown-fields"] = True
    return _closed(schema)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    if "properties" in schema:
        schema["properties"] = {name: _closed(one) for name, one in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema["additionalProperties"] = False
    for below in ("items", "additionalProperties"):
        if isinstance(schema.get(below), dict):
            schema[below] = _closed(schema[below])
    return schema
