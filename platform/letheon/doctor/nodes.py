"""Judges what the probes of all nodes said. Pure."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from letheon.counting import several
from letheon.doctor.finding import Finding, failed, ok, warning

SKEW_SECONDS = 5.0
EVERYWHERE = ("0.0.0.0", "::")


def judge_versions(facts: Sequence[Mapping[str, Any]]) -> Finding:
    """All nodes must have the same: workers import what the driver pickled."""
    by_version: dict[tuple[str, str], list[str]] = defaultdict(list)
    for node in facts:
        for name, version in node["versions"].items():
            by_version[name, version].append(node["host"])
    names = {name for name, _ in by_version}
    different = []
    for name in sorted(names):
        found = [(version, hosts) for (known, version), hosts in sorted(by_version.items()) if known == name]
        if len(found) > 1:
            told = " and ".join(f"{version} on {', '.join(hosts)}" for version, hosts in found)
            different.append(f"{name} is {told}")
    lacking = [
        f"{name} is missing on {node['host']}" for node in facts for name in sorted(names - set(node["versions"]))
    ]
    if different or lacking:
        return failed("versions", "; ".join(different + lacking), "install the same requirements.lock on every node")
    told = ", ".join(f"{name} {version}" for name, version in sorted(facts[0]["versions"].items()))
    return ok("versions", f"{told} on {several(len(facts), 'node')}")


def judge_clocks(offsets: Mapping[str, tuple[float, float]]) -> Finding:
    """`offsets`: host -> (seconds ahead of the driver, uncertainty)."""
    wrong = {host: ahead for host, (ahead, unsure) in offsets.items() if abs(ahead) - unsure > SKEW_SECONDS}
    if wrong:
        told = ", ".join(f"{host} is {ahead:+.1f} s off" for host, ahead in sorted(wrong.items()))
        return warning(
            "clocks", f"{told}; records of nodes are compared by eye", "let every node follow the same NTP server"
        )
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
        shown = ", ".join(public[:6]) + (f" and {len(public) - 6} more" if len(public) > 6 else "")  # noqa: PLR2004
        return warning(
            "ports",
            f"{shown}: open on a public address",
            "let a firewall admit the cluster's own nodes only, or give `ray start` a private --node-ip-address",
        )
    count = sum(len(node["ports"]) for node in facts)
    return ok("ports", f"none of {count} listens on a public address")


def judge_storage(root: str, wrong: Mapping[str, str], nodes: int) -> Finding:
    """`wrong`: host -> what went wrong between it and the driver."""
    if wrong:
        told = "; ".join(f"{host}: {problem}" for host, problem in sorted(wrong.items()))
        return failed(
            "storage", f"{root}: {told}", "mount the same folder on every node and let the same user write to it"
        )
    return ok("storage", f"{root}: written and read in both directions on {several(nodes, 'node')}")
