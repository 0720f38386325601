"""What Kubernetes's network policies let pods of the namespace call, by the rules of its documents."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

RAY = {"app.kubernetes.io/part-of": "orch"}
HEAD, WORKER = ({**RAY, "app.kubernetes.io/component": one} for one in ("head", "worker"))
CALLS: list[tuple[dict[str, str], str | tuple[str, dict[str, str]], str, int, bool]] = [
    (WORKER, ("orch", HEAD), "TCP", 6379, True),
    (HEAD, ("orch", WORKER), "TCP", 10002, True),
    (WORKER, ("orch", {}), "TCP", 443, False),
    (WORKER, ("kube-system", {"k8s-app": "kube-dns"}), "UDP", 53, True),
    (WORKER, ("kube-system", {"k8s-app": "kube-dns"}), "TCP", 443, False),
    (WORKER, ("kube-system", {"app": "other"}), "UDP", 53, False),
    (WORKER, "172.20.0.10", "UDP", 53, True),
    (WORKER, "8.8.8.8", "UDP", 53, False),
    (WORKER, "52.218.1.1", "TCP", 443, True),  # of S3
    (WORKER, "52.218.1.1", "TCP", 80, False),
    (WORKER, "52.218.1.1", "TCP", 22, False),
    *((one, "169.254.169.254", "TCP", port, False) for one in (HEAD, WORKER) for port in (53, 80, 443)),
    (WORKER, "169.254.170.23", "TCP", 80, True),  # a pod's role
    *((WORKER, address, "TCP", 443, False) for address in ("10.0.0.1", "172.20.0.1", "192.168.1.1", "100.64.0.1")),
    (HEAD, "10.0.0.1", "TCP", 443, True),  # Kubernetes
    (HEAD, "10.0.0.1", "TCP", 22, False),
    ({}, "52.218.1.1", "TCP", 443, False),
    ({}, ("orch", HEAD), "TCP", 8265, False),
]
"""Who of the namespace calls whom (an address, or the namespace and labels of a pod), how, and whether that may be."""


def may_call(
    policies: list[dict[str, Any]],
    labels: dict[str, str],
    peer: str | tuple[str, dict[str, str]],
    protocol: str,
    port: int,
) -> bool:
    """Kubernetes's rule: what no policy is for may call anybody, else some rule of some policy has to let it."""
    binding = [
        one["spec"]
        for one in policies
        if "Egress" in one["spec"]["policyTypes"] and _selects(one["spec"]["podSelector"], labels)
    ]
    rules = [rule for spec in binding for rule in spec.get("egress", [])]
    return not binding or any(
        ("to" not in rule or any(_is_peer(one, peer) for one in rule["to"]))
        and ("ports" not in rule or {"protocol": protocol, "port": port} in rule["ports"])
        for rule in rules
    )


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def _is_peer(rule: dict[str, Any], peer: str | tuple[str, dict[str, str]]) -> bool:
    if isinstance(peer, str):
        block = rule.get("ipBlock", {"cidr": "255.255.255.255/32"})
        address = ip_address(peer)
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(one) for one in block.get("except", [])
        )
    if "ipBlock" in rule:
        return False
    namespace, labels = peer
    name = {"kubernetes.io/metadata.name": namespace}
    there = _selects(rule["namespaceSelector"], name) if "namespaceSelector" in rule else namespace == "orch"
    return there and _selects(rule.get("podSelector", {}), labels)
