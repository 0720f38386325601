"""The files of cluster/ are right, and each check that says so finds what it is for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import jsonschema
import kubernetes_validate
import pytest
import typer
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config

from orchestrator.cli.main import app
from orchestrator.runtime.autoscaler import largest
from tests.cluster import checks
from tests.cluster.files import ROOT, SCHEMAS, Files, cluster_specs, launcher

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKS = [
    checks.the_launcher_file_is_what_ray_takes,
    checks.nothing_is_paid_for_when_nothing_runs,
    checks.there_are_nodes_of_each_sort,
    checks.the_job_and_the_cluster_are_alike,
    checks.resources_of_kuberay_are_valid,
    checks.objects_of_kubernetes_are_valid,
    checks.pods_are_valid,
    checks.pods_have_no_rights,
    checks.versions_agree,
    checks.the_image_is_what_the_files_expect,
    checks.nodes_listen_to_spot_notices,
    checks.tokens_are_asked_for,
    checks.nothing_is_open_to_the_world,
    checks.pods_call_only_whom_they_must,
    checks.machines_connect_to_https_and_each_other_only,
    checks.the_bucket_keeps_what_its_users_delete,
    checks.machines_keep_their_secrets,
    checks.no_file_holds_a_secret,
    checks.rights_name_what_they_allow,
    checks.every_variable_is_explained,
]
AWS, BASE, IMAGE = "aws.yaml", "kuberay/base.yaml", "Dockerfile"
EGRESS, KEPT, README = "egress.json", "bucket-lifecycle.json", "README.md"
CLUSTER, JOB = "kuberay/raycluster.yaml", "kuberay/rayjob.yaml"
WRONG = [
    (checks.the_launcher_file_is_what_ray_takes, AWS, "max_workers: 8\nup", "most_workers: 8\nup"),
    (checks.the_launcher_file_is_what_ray_takes, AWS, "CPU: 48", "CPU: many"),
    (checks.the_launcher_file_is_what_ray_takes, AWS, "head_node_type: head", "head_node_type: tail"),
    (checks.nothing_is_paid_for_when_nothing_runs, AWS, "idle_timeout_minutes: 5", "idle_timeout_minutes: 500"),
    (checks.nothing_is_paid_for_when_nothing_runs, AWS, "min_workers: 0\n    max_workers: 2", "min_workers: 1"),
    (checks.nothing_is_paid_for_when_nothing_runs, CLUSTER, "enableInTreeAutoscaling: true", "suspend: false"),
    (checks.nothing_is_paid_for_when_nothing_runs, CLUSTER, "version: v2", "version: v1"),
    (checks.nothing_is_paid_for_when_nothing_runs, JOB, "shutdownAfterJobFinishes: true", "suspend: false"),
    (checks.there_are_nodes_of_each_sort, AWS, "priority: 2", "priority: 0"),
    (checks.there_are_nodes_of_each_sort, AWS, "{CPU: 48, GPU: 4}", "{CPU: 48, GPU: 1}"),
    (checks.there_are_nodes_of_each_sort, CLUSTER, 'num-cpus: "0"', 'num-cpus: "4"'),
    (checks.there_are_nodes_of_each_sort, JOB, "priority: 2", "priority: 0"),
    (checks.the_job_and_the_cluster_are_alike, JOB, "maxReplicas: 8", "maxReplicas: 9"),
    (checks.resources_of_kuberay_are_valid, CLUSTER, "mode: token", "mode: tokens"),
    (checks.resources_of_kuberay_are_valid, CLUSTER, "maxReplicas: 8", "maxReplica: 8"),
    (checks.resources_of_kuberay_are_valid, CLUSTER, "numOfHosts: 1", "numOfHosts: one"),
    (checks.resources_of_kuberay_are_valid, JOB, "entrypoint:", "entryPoint:"),
    (checks.resources_of_kuberay_are_valid, JOB, "imagePullPolicy", "imagePolicy"),
    (checks.objects_of_kubernetes_are_valid, BASE, "protocol: TCP", "protocols: TCP"),
    (checks.objects_of_kubernetes_are_valid, BASE, "maxUnavailable: 0", "maxUnavailable: [0]"),
    (checks.pods_are_valid, CLUSTER, "terminationGracePeriodSeconds: 115", "terminationGraceSeconds: 115"),
    (checks.pods_are_valid, JOB, "containerPort: 6379", "containerPort: gcs"),
    (checks.pods_are_valid, JOB, "operator: Exists", "operators: Exists"),
    (checks.pods_have_no_rights, CLUSTER, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
    (checks.pods_have_no_rights, JOB, "runAsUser: 1000", "runAsUser: 0"),
    (checks.pods_have_no_rights, JOB, "automountServiceAccountToken: false", "hostNetwork: true"),
    (checks.pods_have_no_rights, BASE, "enforce: restricted", "enforce: privileged"),
    (checks.pods_have_no_rights, AWS, "    - --cap-drop=ALL\n", "    - --privileged\n"),
    (checks.versions_agree, IMAGE, "torch==2.14.1", "torch==2.14.0"),
    (checks.versions_agree, IMAGE, "python:3.11.14", "python:3.10.14"),
    (checks.versions_agree, IMAGE, "bookworm@sha256:65a93d69fa", "bookworm # 65a93d69fa"),
    (checks.versions_agree, IMAGE, "\nWORKDIR", "\nFROM python:latest\nWORKDIR"),
    (checks.versions_agree, IMAGE, "--constraint constraints.txt .", "."),
    (checks.versions_agree, IMAGE, "ray[default,train,tune]==2.60.0", "ray[default,train,tune]"),
    (checks.versions_agree, CLUSTER, "rayVersion: 2.60.0", "rayVersion: 2.59.0"),
    (checks.versions_agree, AWS, "image: ${ORCH_IMAGE}", "image: rayproject/ray:latest"),
    (checks.the_image_is_what_the_files_expect, IMAGE, "USER 1000:1000", "USER 0:0"),
    (checks.the_image_is_what_the_files_expect, IMAGE, "HOME=/home/ray", "LANG=C.UTF-8"),
    (checks.the_image_is_what_the_files_expect, IMAGE, "COPY jobs jobs", "COPY job jobs"),
    (checks.the_image_is_what_the_files_expect, AWS, "/opt/orch/spot_notice.py", "/opt/spot_notice.py"),
    (checks.nodes_listen_to_spot_notices, AWS, "spot_notice.py watch", "spot_notice.py --help"),
    (checks.nodes_listen_to_spot_notices, JOB, "--seconds 100", "--seconds 300"),
    (checks.tokens_are_asked_for, AWS, "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"),
    (checks.tokens_are_asked_for, AWS, "~/orch-token: ~/.orch/aws", "~/other: ~/.orch/aws"),
    (checks.tokens_are_asked_for, CLUSTER, "mode: token", "mode: disabled"),
    (checks.nothing_is_open_to_the_world, AWS, "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0"),
    (checks.nothing_is_open_to_the_world, AWS, 'SecurityGroupIds: ["${ORCH_SECURITY_GROUP}"]', "Monitoring: {}"),
    (checks.nothing_is_open_to_the_world, CLUSTER, "serviceType: ClusterIP", "serviceType: LoadBalancer"),
    (checks.nothing_is_open_to_the_world, JOB, "enableIngress: false", "enableIngress: true"),
    (checks.nothing_is_open_to_the_world, JOB, "containerPort: 8265}", "containerPort: 8265, hostPort: 8265}"),
    (checks.nothing_is_open_to_the_world, BASE, "  podSelector: {}\n", "  podSelector: {matchLabels: {a: b}}\n"),
    (checks.nothing_is_open_to_the_world, BASE, "  ingress:\n", "  ingress:\n    - {}\n"),
    (
        checks.nothing_is_open_to_the_world,
        BASE,
        "    - from:\n",
        "    - from: [{ipBlock: {cidr: 0.0.0.0/0}}]\n    - from:\n",
    ),
    (
        checks.pods_call_only_whom_they_must,
        BASE,
        "cidr: 0.0.0.0/0\n            except:",
        "cidr: 0.0.0.0/0\n            but:",
    ),
    (checks.pods_call_only_whom_they_must, BASE, "169.254.0.0/16, ", ""),
    (checks.pods_call_only_whom_they_must, BASE, "100.64.0.0/10, ", ""),
    (checks.pods_call_only_whom_they_must, BASE, "port: 443}", "port: 80}"),
    (checks.pods_call_only_whom_they_must, BASE, "169.254.170.23/32", "169.254.169.254/32"),
    (checks.pods_call_only_whom_they_must, BASE, ", app.kubernetes.io/component: head}\n  policy", "}\n  policy"),
    (checks.pods_call_only_whom_they_must, BASE, "            matchLabels: {k8s-app: kube-dns}\n", "            {}\n"),
    (checks.pods_call_only_whom_they_must, BASE, "  egress:\n", "  egress:\n    - {}\n"),
    (checks.pods_call_only_whom_they_must, BASE, "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]"),
    (checks.machines_connect_to_https_and_each_other_only, EGRESS, '"tcp"', '"-1"'),
    (checks.machines_connect_to_https_and_each_other_only, EGRESS, "443", "80"),
    (checks.machines_connect_to_https_and_each_other_only, README, "revoke-security-group-egress", "describe"),
    (checks.machines_connect_to_https_and_each_other_only, README, "$(curl -s https://checkip", "0.0.0.0/0 $("),
    (checks.the_bucket_keeps_what_its_users_delete, README, "Status=Enabled", "Status=Suspended"),
    (checks.the_bucket_keeps_what_its_users_delete, README, "put-bucket-encryption", "get-bucket-encryption"),
    (checks.the_bucket_keeps_what_its_users_delete, README, "put-public-access-block", "get-public-access-block"),
    (checks.the_bucket_keeps_what_its_users_delete, KEPT, '"NoncurrentDays": 14', '"NoncurrentDays": 1'),
    (checks.the_bucket_keeps_what_its_users_delete, KEPT, '"ExpiredObjectDeleteMarker": true', '"Days": 30'),
    (checks.machines_keep_their_secrets, AWS, "HttpPutResponseHopLimit: 1", "HttpPutResponseHopLimit: 2"),
    (checks.machines_keep_their_secrets, AWS, "HttpTokens: required", "HttpTokens: optional"),
    (checks.machines_keep_their_secrets, AWS, "Encrypted: true", "Encrypted: false"),
    (checks.no_file_holds_a_secret, AWS, "max_workers: 8\nup", "auth_token: hush\nup"),
    (checks.no_file_holds_a_secret, "README.md", "# ", f"# {'AKIA' + 'ABCDEFGHIJKLMNOP'} "),
    (checks.no_file_holds_a_secret, JOB, "RAY_USAGE_STATS_ENABLED", "RAY_AUTH_TOKEN"),
    (checks.rights_name_what_they_allow, "iam/bucket.json", "s3:ListBucket", "s3:List*"),
    (checks.rights_name_what_they_allow, "iam/head.json", ":role/orch-worker", ':role/orch-worker", "*'),
    (checks.rights_name_what_they_allow, "iam/bucket-policy.json", '"false"', '"true"'),
    (
        checks.rights_name_what_they_allow,
        "iam/bucket-policy.json",
        '"NotAction": [',
        '"NotAction": ["s3:PutBucketPolicy", ',
    ),
    (checks.rights_name_what_they_allow, "iam/bucket-policy.json", "role/orch-worker", "role/orch-workers"),
    (checks.rights_name_what_they_allow, "iam/bucket.json", '"s3:DeleteObject"', '"s3:DeleteObjectVersion"'),
    (checks.every_variable_is_explained, AWS, "${ORCH_REGION}", "${ORCH_PLACE}"),
]
REFUSALS = (AssertionError, jsonschema.ValidationError, kubernetes_validate.ValidationError, ValueError, KeyError)


def only_with_schemas(check: Callable[[Files], None]) -> None:
    if check is checks.resources_of_kuberay_are_valid and not SCHEMAS.is_dir():
        pytest.skip(f"KubeRay's resource definitions are not at {SCHEMAS}")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds(check: Callable[[Files], None], files: Files) -> None:
    only_with_schemas(check)
    check(files)


@pytest.mark.parametrize(
    ("check", "name", "right", "wrong"),
    WRONG,
    ids=[f"{check.__name__}-{wrong[:30].strip()}" for check, _, _, wrong in WRONG],
)
def test_the_check_bites(check: Callable[[Files], None], name: str, right: str, wrong: str, files: Files) -> None:
    only_with_schemas(check)
    assert right in files[name], "the test's mutation changes nothing"
    with pytest.raises(REFUSALS):
        check({**files, name: files[name].replace(right, wrong)})


def test_every_check_is_bitten() -> None:
    assert {check for check, *_ in WRONG} == set(CHECKS)


def test_the_plan_sees_what_may_come(files: Files) -> None:
    """Two machines with four GPUs on both; with one GPU, on EC2 the rest of its eight, on Kubernetes all twelve."""
    on_ec2 = largest(prepare_config(launcher(files)))
    assert [machine.gpus for machine in on_ec2] == [4] * 2 + [1] * 6
    for spec in cluster_specs(files):
        config = _derive_autoscaling_config_from_ray_cr({"metadata": {"name": "a", "namespace": "b"}, "spec": spec})
        assert [machine.gpus for machine in largest(config)] == [4] * 2 + [1] * 12


def test_links_of_the_guide_lead_somewhere(files: Files) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", files["README.md"]):
        target = (ROOT / "cluster" / link.partition("#")[0]).resolve()
        assert link.startswith("https:") or target.exists(), link


def test_commands_of_the_guide_exist(files: Files) -> None:
    blocks = "".join(re.findall(r"^```bash\n(.*?)^```$", files["README.md"], flags=re.M | re.S)).replace("\\\n", " ")
    lines = [line.split("#")[0].split() for line in blocks.splitlines() if line.startswith("orch ")]
    assert {"plan", "submit", "status", "logs", "cancel", "results"} <= {words[1] for words in lines}
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for words in lines:
        known = {option for parameter in commands[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, words
        assert [word for word in words if word.startswith("jobs/") and not (ROOT / word).is_file()] == []


def test_the_guide_names_every_file(files: Files) -> None:
    assert [name for name in files if name != "README.md" and name not in files["README.md"]] == []
