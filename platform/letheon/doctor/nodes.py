"""Judges what the probes of all nodes said. Pure."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from letheon.common.counting import several
from letheon.doctor.finding import Finding, failed, ok, warning

SKEW_SECONDS = 5.0
EVERYWHERE = ("0.0.0.0", "::")
SHOWN_PORTS = 6


def judge_versions(facts: Sequence[Mapping[str, Any]]) -> Finding:
    """All nodes must have the same: workers import what the driver pickled."""
    hosts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for node in facts:
        for name, version in node["versions"].items():
            hosts[name][version].append(node["host"])
    wrong = []
    for name, by_version in sorted(hosts.items()):
        if len(by_version) > 1:
            told = " and ".join(f"{version} on {', '.join(where)}" for version, where in sorted(by_version.items()))
            wrong.append(f"{name} is {told}")
    wrong += [
        f"{name} is missing on {node['host']}" for node in facts for name in sorted({*hosts} - {*node["versions"]})
    ]
    if wrong:
        return failed("versions", "; ".join(wrong), "install the same requirements.lock on every node")
    told = ", ".join(f"{name} {version}" for name, version in sorted(facts[0]["versions"].items()))
    return ok("versions", f"{told} on {several(len(facts), 'node')}")


def judge_clocks(offsets: Mapping[str, tuple[float, float]]) -> Finding:
    """`offsets`: host -> (seconds ahead of the driver, uncertainty)."""
    wrong = {host: ahead for host, (ahead, unsure) in offsets.items() if abs(ahead) - unsure > SKEW_SECONDS}
    if wrong:
        told = ", ".join(f"{host} is {ahead:+.1f} s off" for host, ahead in sorted(wrong.items()))
        found = f"{told}; records of nodes are compared by eye"
        return warning("clocks", found, "let every node follow the same NTP server")
    most = max((abs(ahead) for ahead, _ in offsets.values()), default=0.0)
    return ok("clocks", f"at most {most:.2f} s apart")


def judge_ports(facts: Sequence[Mapping[str, Any]]) -> Finding:
    """Ports of Ray, MLflow and Letheon that the whole world could reach if no firewall is in between."""
    public = []
    for node in facts:
        world = {address for address in node["addresses"] if ipaddress.ip_address(address).is_global}
        for address, port, process in node["ports"]:
            if world and (address in EVERYWHERE or address in world):
                public.append(f"{process} on port {port} of {node['host']}")
    if public:
        more = f" and {len(public) - SHOWN_PORTS} more" if len(public) > SHOWN_PORTS else ""
        fix = "let a firewall admit the cluster's own nodes only, or give `ray start` a private --node-ip-address"
        return warning("ports", f"{', '.join(public[:SHOWN_PORTS])}{more}: open on a public address", fix)
    return ok("ports", f"none of {sum(len(node['ports']) for node in facts)} listens on a public address")


def judge_storage(root: str, wrong: Mapping[str, str], nodes: int) -> Finding:
    """`wrong`: host -> what went wrong between it and the driver."""
    if wrong:
        told = "; ".join(f"{host}: {problem}" for host, problem in sorted(wrong.items()))
        fix = "mount the same folder on every node and let the same user write to it"
        return failed("storage", f"{root}: {told}", fix)
    return ok("storage", f"{root}: written and read in both directions on {several(nodes, 'node')}")
