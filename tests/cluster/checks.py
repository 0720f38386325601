"""What must hold of the files of cluster/. Each check takes the files' texts, so that it can be given wrong ones."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from typing import Any

import jsonschema
import kubernetes_validate
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.files import (
    ROOT,
    VALUES,
    Files,
    cluster_specs,
    custom_schema,
    fill,
    groups,
    launcher,
    objects,
    of_kind,
    policy,
)
from tests.cluster.traffic import CALLS, may_call

KUBERNETES = "1.33"
EVERYWHERE = re.compile(r"\b0\.0\.0\.0\b|::/0")


def the_launcher_file_is_what_ray_takes(files: Files) -> None:
    validate_config(prepare_config(launcher(files)))


def nothing_is_paid_for_when_nothing_runs(files: Files) -> None:
    config = launcher(files)
    assert 0 < config["idle_timeout_minutes"] <= 15
    assert not config["provider"]["cache_stopped_nodes"]
    workers = [one for name, one in config["available_node_types"].items() if name != config["head_node_type"]]
    assert {one["min_workers"] for one in workers} == {0}
    assert all(0 < one["max_workers"] <= config["max_workers"] for one in workers)
    for spec in cluster_specs(files):
        assert spec["enableInTreeAutoscaling"] is True
        assert spec["autoscalerOptions"]["version"] == "v2"
        assert 0 < spec["autoscalerOptions"]["idleTimeoutSeconds"] <= 900
        assert {(one["minReplicas"], one["replicas"]) for one in spec["workerGroupSpecs"]} == {(0, 0)}
    for job in of_kind(files, "RayJob"):
        assert job["spec"]["shutdownAfterJobFinishes"] is True
        assert job["spec"]["activeDeadlineSeconds"] <= 86_400


def there_are_nodes_of_each_sort(files: Files) -> None:
    """A head without trials; one GPU on spot, preferred; one GPU on demand; several GPUs in one machine."""
    types = launcher(files)["available_node_types"]
    head = types.pop("head")
    assert head["resources"]["CPU"] == 0
    assert "InstanceMarketOptions" not in head["node_config"]
    seen = sorted(
        (-one["priority"], one["resources"]["GPU"], "InstanceMarketOptions" in one["node_config"])
        for one in types.values()
    )
    assert [(gpus > 1, spot) for _, gpus, spot in seen] == [(False, True), (False, False), (True, False)]
    for spec in cluster_specs(files):
        config = _derive_autoscaling_config_from_ray_cr({"metadata": {"name": "a", "namespace": "b"}, "spec": spec})
        of_ray = config["available_node_types"]
        assert of_ray.pop("headgroup")["resources"]["CPU"] == 0
        spots = {one["groupName"]: _selected(one)["karpenter.sh/capacity-type"] for one in spec["workerGroupSpecs"]}
        order = sorted((-one["priority"], one["resources"]["GPU"], spots[name]) for name, one in of_ray.items())
        assert [(gpus > 1, spot) for _, gpus, spot in order] == [
            (False, "spot"),
            (False, "on-demand"),
            (True, "on-demand"),
        ]


def _selected(group: dict[str, Any]) -> dict[str, str]:
    selector: dict[str, str] = group["template"]["spec"]["nodeSelector"]
    return selector


def the_job_and_the_cluster_are_alike(files: Files) -> None:
    first, second = cluster_specs(files)
    assert first == second


def resources_of_kuberay_are_valid(files: Files) -> None:
    for kind in ("RayCluster", "RayJob"):
        schema = custom_schema(f"{kind.lower()}s")
        for one in of_kind(files, kind):
            jsonschema.Draft202012Validator(schema).validate(one)


def objects_of_kubernetes_are_valid(files: Files) -> None:
    checked = [one for one in objects(files) if one["apiVersion"].split("/")[0] not in ("ray.io", "karpenter.sh")]
    assert {one["kind"] for one in checked} >= {"NetworkPolicy", "ServiceAccount", "PodDisruptionBudget"}
    for one in checked:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


def pods_are_valid(files: Files) -> None:
    """KubeRay's own schema is lenient about some of a pod's fields, and says nothing of what it adds."""
    for spec in cluster_specs(files):
        for group in groups(spec):
            template = copy.deepcopy(group["template"])
            pod = {"apiVersion": "v1", "kind": "Pod", **template}
            pod["metadata"]["name"] = "a"
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def pods_have_no_rights(files: Files) -> None:
    for spec in cluster_specs(files):
        locks = [spec["autoscalerOptions"]["securityContext"]]
        for group in groups(spec):
            pod = group["template"]["spec"]
            assert pod["securityContext"]["runAsUser"] >= 1000
            assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
            assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
            locks += [one.get("securityContext", {}) for one in pod["containers"] + pod.get("initContainers", [])]
        for lock in locks:
            assert lock["allowPrivilegeEscalation"] is False
            assert lock["runAsNonRoot"] is True
            assert lock["capabilities"] == {"drop": ["ALL"]}
            assert "privileged" not in lock
        for group in spec["workerGroupSpecs"]:
            assert group["template"]["spec"]["automountServiceAccountToken"] is False
    labels = of_kind(files, "Namespace")[0]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    options = launcher(files)["docker"]["run_options"]
    assert {"--cap-drop=ALL", "--security-opt=no-new-privileges"} <= set(options)
    assert not [one for one in options if "privileged" in one]


def versions_agree(files: Files) -> None:
    """Image, manifests and constraints name the same versions, within what pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {one.name: one.specifier for one in map(Requirement, project["dependencies"])}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    dockerfile = files["Dockerfile"]
    installed = dict(re.findall(r"\b([a-z]+)(?:\[[a-z,]+\])?==([\w.]+)", dockerfile))
    assert installed.keys() == {"ray", "torch", "torchvision"}
    assert installed == {name: pins[name] for name in installed}
    assert all(asked[name].contains(version) for name, version in installed.items())
    base = re.findall(r"^FROM python:(\d+\.\d+\.\d+)-slim-\w+@sha256:[0-9a-f]{64}$", dockerfile, flags=re.M)
    assert len(base) == 1 == len(re.findall(r"^FROM\b", dockerfile, flags=re.M))
    assert SpecifierSet(project["requires-python"]).contains(base[0])
    assert dockerfile.count("pip install") == len(
        re.findall(r"pip install [^\n]*--constraint constraints.txt", dockerfile)
    )
    images = [launcher(files)["docker"]["image"]]
    for spec in cluster_specs(files):
        assert spec["rayVersion"] == pins["ray"]
        images += [one["image"] for group in groups(spec) for one in group["template"]["spec"]["containers"]]
        assert "image" not in spec["autoscalerOptions"]  # then it is the head's
    assert set(images) == {VALUES["ORCH_IMAGE"]}
    assert not re.search(r"pip install", "".join(text for name, text in files.items() if name.endswith(".yaml")))


def the_image_is_what_the_files_expect(files: Files) -> None:
    dockerfile, text = files["Dockerfile"], "".join(files[name] for name in files if name.endswith(".yaml"))
    assert re.findall(r"^USER (.*)$", dockerfile, flags=re.M)[-1] == "1000:1000"
    assert re.search(r"^ENV HOME=/home/ray\b", dockerfile, flags=re.M)  # Ray's launcher asks the image for it
    assert re.search(r"^WORKDIR /opt/orch\n(?:.*\n)*?COPY cluster/spot_notice.py \./$", dockerfile, flags=re.M)
    assert set(re.findall(r"[\w/]+/spot_notice\.py", text)) == {"/opt/orch/spot_notice.py"}
    users = {group["template"]["spec"]["securityContext"]["runAsUser"] for group in groups(cluster_specs(files)[0])}
    assert users == {1000}
    sources = {word for line in re.findall(r"^COPY (.*) \S+$", dockerfile, flags=re.M) for word in line.split()}
    assert all((ROOT / source).exists() for source in sources)
    kept = {line[1:] for line in files["Dockerfile.dockerignore"].splitlines() if line.startswith("!")}
    assert kept == sources


def nodes_listen_to_spot_notices(files: Files) -> None:
    config = launcher(files)
    assert any("spot_notice.py watch" in command for command in config["worker_start_ray_commands"])
    for spec in cluster_specs(files):
        for group in spec["workerGroupSpecs"]:
            pod = group["template"]["spec"]
            command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
            seconds = int(re.search(r"spot_notice.py now --seconds (\d+)", command)[1])  # type: ignore[index]
            assert 60 <= seconds < pod["terminationGracePeriodSeconds"] <= 120


def tokens_are_asked_for(files: Files) -> None:
    config = launcher(files)
    options = config["docker"]["run_options"]
    assert "--env=RAY_AUTH_MODE=token" in options
    path = next(one.partition("PATH=")[2] for one in options if "RAY_AUTH_TOKEN_PATH=" in one)
    assert path.rpartition("/")[0].replace("/home/ray", "~") in config["file_mounts"]
    assert not re.search(r"RAY_AUTH_MODE=(?!token\b)", "".join(files.values()))
    for spec in cluster_specs(files):
        assert spec["authOptions"] == {"mode": "token", "secretName": "orch-token"}


def nothing_is_open_to_the_world(files: Files) -> None:
    _launcher_is_closed(launcher(files))
    for spec in cluster_specs(files):
        head = spec["headGroupSpec"]
        assert head["serviceType"] == "ClusterIP"
        assert head["enableIngress"] is False
        for group in groups(spec):
            ports = [port for one in group["template"]["spec"]["containers"] for port in one.get("ports", [])]
            assert not [port for port in ports if "hostPort" in port]
            assert group["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "orch"
    kinds = {one["kind"] for one in objects(files)}
    assert not kinds & {"Ingress", "Gateway", "HTTPRoute", "Route", "Service"}
    _policies_are_closed(of_kind(files, "NetworkPolicy"))


def _launcher_is_closed(config: dict[str, Any]) -> None:
    assert "security_group" not in config["provider"]
    for node in config["available_node_types"].values():
        # Ray opens SSH to everybody in the group that it makes for a node type without one.
        assert node["node_config"]["SecurityGroupIds"] == [VALUES["ORCH_SECURITY_GROUP"]]
        assert "NetworkInterfaces" not in node["node_config"]
    start = " ".join(config["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in start
    assert not EVERYWHERE.search(json.dumps(config))
    assert not re.search(r"(--publish|-p)[ =]", " ".join(config["docker"]["run_options"]))


def _policies_are_closed(policies: list[dict[str, Any]]) -> None:
    """Only the dashboard of KubeRay's head listens on all of its pod's addresses; these policies stand before it."""
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in [one["spec"] for one in policies]
    for one in policies:
        for rule in one["spec"].get("ingress", []):
            assert rule.get("from"), "a rule without sources lets everybody in"
            for source in rule["from"]:
                assert "ipBlock" not in source
                assert source["podSelector"]["matchLabels"]


def pods_call_only_whom_they_must(files: Files) -> None:
    policies = of_kind(files, "NetworkPolicy")
    for labels, peer, protocol, port, wanted in CALLS:
        assert may_call(policies, labels, peer, protocol, port) == wanted, (labels, peer, protocol, port)


def machines_connect_to_https_and_each_other_only(files: Files) -> None:
    group = VALUES["ORCH_SECURITY_GROUP"]
    rules = json.loads(fill(files["egress.json"]))
    for one in rules:
        for below in one.get("IpRanges", []) + one.get("UserIdGroupPairs", []):
            del below["Description"]
    assert rules == [
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
        {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    ]
    commands = " ".join(_commands(files))
    assert "revoke-security-group-egress --group-id $ORCH_SECURITY_GROUP --ip-permissions" in commands
    assert 'authorize-security-group-egress --group-id $ORCH_SECURITY_GROUP --ip-permissions "$(fill egress' in commands
    opened = re.findall(r"authorize-security-group-ingress [^\n]*?--cidr (\S+ ?\S*)", commands)
    assert opened == ["$(curl -s"], "SSH is for one address"


def the_bucket_keeps_what_its_users_delete(files: Files) -> None:
    commands = _commands(files)
    made = {words.split()[2] for words in commands if words.startswith("aws s3api put-")}
    assert made >= {"put-public-access-block", "put-bucket-encryption", "put-bucket-versioning", "put-bucket-policy"}
    assert any("put-bucket-lifecycle-configuration" in one and "fill bucket-lifecycle.json" in one for one in commands)
    assert any(one.endswith("--versioning-configuration Status=Enabled") for one in commands)
    (rule,) = json.loads(files["bucket-lifecycle.json"])["Rules"]
    assert (rule["Status"], rule["Filter"]) == ("Enabled", {"Prefix": ""})
    assert 7 <= rule["NoncurrentVersionExpiration"]["NoncurrentDays"] <= 90
    assert rule["Expiration"] == {"ExpiredObjectDeleteMarker": True}, "what is current never goes by itself"


def _commands(files: Files) -> list[str]:
    """The commands of the guide, each in one line."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", files["README.md"], flags=re.M | re.S)
    return [" ".join(line.split()) for line in "".join(blocks).replace("\\\n", " ").splitlines()]


def machines_keep_their_secrets(files: Files) -> None:
    for node in launcher(files)["available_node_types"].values():
        metadata = node["node_config"]["MetadataOptions"]
        assert metadata["HttpTokens"] == "required"
        assert metadata["HttpPutResponseHopLimit"] == 1
        assert {disk["Ebs"]["Encrypted"] for disk in node["node_config"]["BlockDeviceMappings"]} == {True}
        assert {disk["Ebs"]["DeleteOnTermination"] for disk in node["node_config"]["BlockDeviceMappings"]} == {True}
        assert node["node_config"]["IamInstanceProfile"]["Name"] in ("orch-head", "orch-worker")


SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN|(?<!sha256:)\b[0-9a-f]{40,}\b|(?<![\w/+])[A-Za-z0-9/+]{40}(?![\w/+])"
    r"|(?i:secret_access_key|session_token|auth_token|password)[\"']?\s*[:=]\s*[\"']?(?![\"'$<]|\s|\$\()\w"
)


def no_file_holds_a_secret(files: Files) -> None:
    assert {name: found[0] for name, text in files.items() if (found := SECRET.search(text))} == {}
    assert "Secret" not in {one["kind"] for one in objects(files)}
    for spec in cluster_specs(files):
        names = [
            variable["name"]
            for group in groups(spec)
            for container in group["template"]["spec"]["containers"]
            for variable in container.get("env", [])
        ]
        assert not [name for name in names if re.search("TOKEN|SECRET|KEY", name)]


def rights_name_what_they_allow(files: Files) -> None:
    """No wildcard among actions, and among resources only where AWS knows no narrower one."""
    for name in ("bucket", "head", "image"):
        for statement in policy(files, name):
            assert statement["Effect"] == "Allow"
            actions = _listed(statement["Action"])
            assert not [one for one in actions if "*" in one]
            if "*" in _listed(statement["Resource"]):
                assert set(actions) <= {"ec2:DescribeInstances", "ecr:GetAuthorizationToken"}
    for name in ("assume-ec2", "assume-pods"):
        assert all("Service" in one["Principal"] for one in policy(files, name))
    in_the_clear, by_the_cluster = policy(files, "bucket-policy")
    everything = [f"arn:aws:s3:::{VALUES['ORCH_BUCKET']}", f"arn:aws:s3:::{VALUES['ORCH_BUCKET']}/*"]
    for refusal in (in_the_clear, by_the_cluster):
        assert (refusal["Effect"], refusal["Principal"], refusal["Resource"]) == ("Deny", "*", everything)
    assert in_the_clear["Action"] == "s3:*"
    assert in_the_clear["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    # Not even with rights that an account's administrator adds one day.
    needed = {action for one in policy(files, "bucket") for action in _listed(one["Action"])}
    assert set(by_the_cluster["NotAction"]) == needed
    assert not needed & {"s3:DeleteObjectVersion", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"}
    roles = re.findall(r"create-role --role-name (orch-\w+)|for role in (orch-\w+) (orch-\w+)", files["README.md"])
    names = {name for found in roles for name in found if name}
    assert by_the_cluster["Condition"] == {
        "ArnEquals": {
            "aws:PrincipalArn": [f"arn:aws:iam::{VALUES['ORCH_ACCOUNT']}:role/{name}" for name in sorted(names)]
        }
    }


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def every_variable_is_explained(files: Files) -> None:
    used = {
        name for file, text in files.items() if file != "README.md" for name in re.findall(r"\$\{(ORCH_\w+)\}", text)
    }
    assert used == set(VALUES) & used
    exported = set(re.findall(r"^export (ORCH_\w+)=", files["README.md"], flags=re.M))
    assert used <= exported
    assert not re.search(r"\$\{ORCH", fill("".join(text for name, text in files.items() if name != "README.md")))
