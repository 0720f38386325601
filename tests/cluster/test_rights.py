"""The policies allow what the code does, and nothing else: the calls are recorded, not listed by hand."""

from __future__ import annotations

import copy
import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import boto3
import botocore.client
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config

from orchestrator.errors import NotFoundError
from orchestrator.store.s3 import S3Store
from tests.cluster.files import ROOT, VALUES, Files, fill, policy

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ACTIONS = {
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
}
"""What AWS asks for each operation, by its authorization reference; an operation that is not here fails the test."""

Call = tuple[str, dict[str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Every operation that a client of botocore is asked for from now on, with its parameters."""
    seen: list[Call] = []
    original = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def recorded(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        seen.append((operation, parameters))
        return original(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", recorded)
    return seen


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def holds(condition: dict[str, dict[str, str | list[str]]], context: dict[str, str]) -> bool:
    for operator, keys in condition.items():
        assert operator in ("Bool", "StringLike", "StringLikeIfExists", "ArnEquals")
        for key, wanted in keys.items():
            if key not in context:
                if not operator.endswith("IfExists"):
                    return False
            elif not any(fnmatchcase(context[key], one) for one in listed(wanted)):
                return False
    return True


def allowed(statements: list[dict[str, Any]], action: str, resource: str, context: dict[str, str]) -> bool:
    """IAM's rule, as far as the policies of roles use it: some statement allows it (there is none that denies)."""
    return any(applies(one, action, resource, context) for one in statements)


def applies(one: dict[str, Any], action: str, resource: str, context: dict[str, str]) -> bool:
    """Whether a statement is about a call."""
    named = any(fnmatchcase(action, pattern) for pattern in listed(one.get("Action", one.get("NotAction"))))
    return (
        named == ("Action" in one)
        and any(fnmatchcase(resource, pattern) for pattern in listed(one["Resource"]))
        and holds(one.get("Condition", {}), context)
    )


def asked(operation: str, parameters: dict[str, Any], *, secure: bool = True) -> tuple[str, str, dict[str, str]]:
    """Action, resource and context of a call."""
    bucket = f"arn:aws:s3:::{parameters['Bucket']}"
    context = {"aws:SecureTransport": str(secure).lower()}
    if "Prefix" in parameters:
        context["s3:prefix"] = parameters["Prefix"]
    return ACTIONS[operation], f"{bucket}/{parameters['Key']}" if "Key" in parameters else bucket, context


def use_everything(store: S3Store) -> None:
    """Each method of a store, on what is there and on what is not."""
    store.check()
    store.write("a/b", b"1")
    store.write("a/b", b"2", replace=False)
    store.write("a/c", b"3", replace=False)
    store.read("a/b")
    with pytest.raises(NotFoundError):
        store.read("a/missing")
    store.keys()
    store.keys("a")
    store.child("a").keys()
    store.delete("a/b")


def test_the_store_may_do_what_it_does_and_nothing_else(s3_bucket: str, calls: list[Call], files: Files) -> None:
    statements = policy_for(files, s3_bucket)
    use_everything(S3Store(s3_bucket, VALUES["ORCH_PREFIX"]))
    requests = [asked(*call) for call in calls]
    assert len(requests) > 10
    assert [one for one in requests if not allowed(statements, *one)] == []
    granted = {action for one in statements for action in listed(one["Action"])}
    assert granted == {action for action, _, _ in requests}


def policy_for(files: Files, bucket: str) -> list[dict[str, Any]]:
    text = files["iam/bucket.json"].replace("${ORCH_BUCKET}", bucket)
    return policy({**files, "iam/bucket.json": text}, "bucket")


@pytest.mark.parametrize("prefix", ["other", "", f"{VALUES['ORCH_PREFIX']}2"])
def test_no_other_prefix_may_be_touched(s3_bucket: str, calls: list[Call], files: Files, prefix: str) -> None:
    statements = policy_for(files, s3_bucket)
    use_everything(S3Store(s3_bucket, prefix))
    assert not [call for call in calls if allowed(statements, *asked(*call))]


def test_no_other_bucket_and_nothing_in_the_clear(s3_bucket: str, calls: list[Call], files: Files) -> None:
    use_everything(S3Store(s3_bucket, VALUES["ORCH_PREFIX"]))
    statements = policy_for(files, f"{s3_bucket}-other")
    assert not [call for call in calls if allowed(statements, *asked(*call))]
    statements = policy_for(files, s3_bucket)
    assert not [call for call in calls if allowed(statements, *asked(*call, secure=False))]


@pytest.mark.parametrize("role", ["orch-head", "orch-worker", "orch-pods"])
def test_the_bucket_refuses_the_cluster_all_else_whatever_its_roles_are_given(files: Files, role: str) -> None:
    statements = policy(files, "bucket-policy")
    needed = {action for one in policy(files, "bucket") for action in listed(one["Action"])}
    bucket = f"arn:aws:s3:::{VALUES['ORCH_BUCKET']}"

    def denied(who: str, action: str, secure: str = "true") -> set[bool]:
        context = {"aws:PrincipalArn": who, "aws:SecureTransport": secure}
        return {allowed(statements, action, resource, context) for resource in (bucket, f"{bucket}/studies/a")}

    of_cluster = f"arn:aws:iam::{VALUES['ORCH_ACCOUNT']}:role/{role}"
    of_administrator = f"arn:aws:iam::{VALUES['ORCH_ACCOUNT']}:user/jane"
    more = [
        "DeleteObjectVersion",
        "PutBucketVersioning",
        "PutLifecycleConfiguration",
        "PutBucketPolicy",
        "DeleteBucket",
    ]
    for action in (*needed, *(f"s3:{one}" for one in more)):
        assert denied(of_cluster, action) == {action not in needed}, action
        assert denied(of_administrator, action) == {False}
        assert denied(of_cluster, action, "false") == denied(of_administrator, action, "false") == {True}


def test_what_a_store_deletes_and_overwrites_can_be_had_again(s3_bucket: str, s3_admin: Any, files: Files) -> None:
    at = {"Bucket": s3_bucket}
    s3_admin.put_bucket_versioning(**at, VersioningConfiguration={"Status": "Enabled"})
    s3_admin.put_bucket_lifecycle_configuration(
        **at, LifecycleConfiguration=json.loads(fill(files["bucket-lifecycle.json"]))
    )
    (rule,) = s3_admin.get_bucket_lifecycle_configuration(**at)["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 14}
    store = S3Store(s3_bucket, "studies")
    store.write("a", b"first")
    store.write("a", b"second")
    store.delete("a")
    store.write("a", b"third", replace=False)  # what is hidden does not count as there
    store.delete("a")
    assert store.keys() == []
    versions = s3_admin.list_object_versions(**at)["Versions"]
    kept = {s3_admin.get_object(**at, Key=one["Key"], VersionId=one["VersionId"])["Body"].read() for one in versions}
    assert kept == {b"first", b"second", b"third"}


def test_ec2_takes_the_rules_for_what_leaves_a_machine(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with mock_aws():
        ec2 = boto3.client("ec2", region_name=VALUES["ORCH_REGION"])
        group = ec2.create_security_group(GroupName="orch", Description="Ray nodes")["GroupId"]
        everywhere = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everywhere)
        rules = json.loads(fill(files["egress.json"], ORCH_SECURITY_GROUP=group))
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=rules)
        (described,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    left = [(one["IpProtocol"], one.get("ToPort"), len(one["IpRanges"])) for one in described["IpPermissionsEgress"]]
    assert sorted(left) == [("-1", None, 0), ("tcp", 443, 1)]


def test_a_missing_object_reads_as_missing(files: Files) -> None:
    """S3 says 404 only to who may list the bucket, and asks that without a prefix; else it says 403."""
    secure = {"aws:SecureTransport": "true"}
    assert allowed(policy(files, "bucket"), "s3:ListBucket", f"arn:aws:s3:::{VALUES['ORCH_BUCKET']}", secure)


def test_only_the_store_talks_to_s3() -> None:
    """So that its calls are all the calls."""
    users = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "orchestrator").rglob("*.py")
        if re.search(r"^\s*(?:import|from) (?:boto3|botocore|s3fs)\b|S3FileSystem", path.read_text(), flags=re.M)
    ]
    assert {path.rpartition("/")[0] for path in users} <= {"orchestrator/store"}, users


def test_ray_starts_every_type_of_node_with_the_heads_rights(
    calls: list[Call], files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    region = VALUES["ORCH_REGION"]
    with mock_aws():
        ec2 = boto3.client("ec2", region_name=region)
        group = ec2.create_security_group(GroupName="orch", Description="Ray nodes")["GroupId"]
        for profile in ("orch-head", "orch-worker"):
            boto3.client("iam", region_name=region).create_instance_profile(InstanceProfileName=profile)
        text = fill(files["aws.yaml"], ORCH_SECURITY_GROUP=group)
        before = ec2.describe_security_groups()["SecurityGroups"]
        config = bootstrap_aws(prepare_config(yaml.safe_load(text)))
        assert ec2.describe_security_groups()["SecurityGroups"] == before, "Ray opened something"
        calls.clear()
        started = run_cluster(config)
        used = {operation for operation, _ in calls}
    assert used | {"PassRole"} == {
        action.partition(":")[2] for one in policy(files, "head") for action in listed(one["Action"])
    }
    types = next(one for one in policy(files, "head") if one["Sid"] == "StartMachinesOfThisCluster")
    workers = {one["InstanceType"] for one in started if one["IamInstanceProfile"]["Arn"].endswith("/orch-worker")}
    assert workers == set(types["Condition"]["StringEquals"]["ec2:InstanceType"])
    for one in started:
        assert [network["GroupId"] for network in one["SecurityGroups"]] == [group]
        assert one["MetadataOptions"]["HttpTokens"] == "required"
        assert {"Key": "ray-cluster-name", "Value": "orch"} in one["Tags"]
    assert len([one for one in started if one.get("InstanceLifecycle") == "spot"]) == 1


def run_cluster(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Start a node of each type, tag one, end all, as Ray's head does; what EC2 said of them."""
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name, node in config["available_node_types"].items():
        tags = {"ray-node-type": "worker", "ray-user-node-type": name}
        provider.create_node(copy.deepcopy(node["node_config"]), tags, 1)
    nodes = provider.non_terminated_nodes({})
    assert len(nodes) == len(config["available_node_types"])
    provider.set_node_tags(nodes[0], {"ray-node-status": "up-to-date"})
    reservations = provider.ec2.meta.client.describe_instances()["Reservations"]
    provider.terminate_nodes(nodes)
    assert provider.non_terminated_nodes({}) == []
    return [one for reservation in reservations for one in reservation["Instances"]]
