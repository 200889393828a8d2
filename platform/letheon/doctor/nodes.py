"""Judges the results of the probes of all nodes. Pure."""

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
    """All nodes need the same versions, since workers unpickle objects of the driver."""
    hosts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for node in facts:
        for name, version in node["versions"].items():
            hosts[name][version].append(node["host"])
    problems = []
    for name, by_version in sorted(hosts.items()):
        if len(by_version) > 1:
            listed = " and ".join(f"{version} on {', '.join(where)}" for version, where in sorted(by_version.items()))
            problems.append(f"{name} is {listed}")
    problems += [
        f"{name} is missing on {node['host']}" for node in facts for name in sorted({*hosts} - {*node["versions"]})
    ]
    if problems:
        return failed("versions", "; ".join(problems), "install the same requirements.lock on every node")
    listed = ", ".join(f"{name} {version}" for name, version in sorted(facts[0]["versions"].items()))
    return ok("versions", f"{listed} on {several(len(facts), 'node')}")


def judge_clocks(offsets: Mapping[str, tuple[float, float]]) -> Finding:
    """`offsets`: host -> (seconds ahead of the driver, uncertainty)."""
    wrong = {host: ahead for host, (ahead, unsure) in offsets.items() if abs(ahead) - unsure > SKEW_SECONDS}
    if wrong:
        listed = ", ".join(f"{host} is {ahead:+.1f} s off" for host, ahead in sorted(wrong.items()))
        found = f"{listed}; times in the logs of nodes cannot be compared"
        return warning("clocks", found, "sync every node with the same NTP server")
    most = max((abs(ahead) for ahead, _ in offsets.values()), default=0.0)
    return ok("clocks", f"at most {most:.2f} s apart")


def judge_ports(facts: Sequence[Mapping[str, Any]]) -> Finding:
    """Ports of Ray, MLflow and Letheon that are reachable from the internet unless a firewall blocks them."""
    public = []
    for node in facts:
        world = {address for address in node["addresses"] if ipaddress.ip_address(address).is_global}
        for address, port, process in node["ports"]:
            if world and (address in EVERYWHERE or address in world):
                public.append(f"{process} on port {port} of {node['host']}")
    if public:
        more = f" and {len(public) - SHOWN_PORTS} more" if len(public) > SHOWN_PORTS else ""
        fix = "let a firewall allow only the cluster's own nodes, or give `ray start` a private --node-ip-address"
        return warning("ports", f"{', '.join(public[:SHOWN_PORTS])}{more}: open on a public address", fix)
    return ok("ports", f"none of {sum(len(node['ports']) for node in facts)} listens on a public address")


def judge_storage(root: str, problems: Mapping[str, str], nodes: int) -> Finding:
    """`problems`: host -> what failed between it and the driver."""
    if problems:
        listed = "; ".join(f"{host}: {problem}" for host, problem in sorted(problems.items()))
        fix = "mount the same folder on every node and let the same user write to it"
        return failed("storage", f"{root}: {listed}", fix)
    return ok("storage", f"{root}: written and read in both directions on {several(nodes, 'node')}")
