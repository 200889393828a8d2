"""The doctor's findings for what nodes report."""

from __future__ import annotations

from typing import Any

import pytest

from letheon.doctor.finding import ORDER, Finding, worst
from letheon.doctor.nodes import judge_clocks, judge_ports, judge_storage, judge_versions


def node(host: str, **changes: Any) -> dict[str, Any]:
    facts = {
        "host": host,
        "versions": {"python": "3.11.7", "ray": "2.60.0", "torch": "2.13.0"},
        "ports": [("127.0.0.1", 8265, "dashboard"), ("0.0.0.0", 6379, "gcs_server")],
        "addresses": ["10.0.0.7", "127.0.0.1", "::1", "fe80::1"],
    }
    return {**facts, **changes}


def test_equal_versions_are_named_and_different_ones_with_their_nodes() -> None:
    assert judge_versions([node("a"), node("b")]).state == "ok"
    other = node("b", versions={"python": "3.12.1", "ray": "2.60.0"})
    found = judge_versions([node("a"), other, node("c")])
    assert found.state == "failed" and "requirements.lock" in found.fix
    assert "python is 3.11.7 on a, c and 3.12.1 on b" in found.found
    assert "torch is missing on b" in found.found
    assert "ray is" not in found.found


@pytest.mark.parametrize(
    ("ahead", "unsure", "state"),
    [(0.01, 0.001, "ok"), (-4.0, 0.0, "ok"), (30.0, 0.1, "warning"), (-30.0, 0.1, "warning"), (30.0, 60.0, "ok")],
)
def test_a_clock_is_off_only_if_the_network_cannot_explain_it(ahead: float, unsure: float, state: str) -> None:
    found = judge_clocks({"a": (0.0, 0.0), "b": (ahead, unsure)})
    assert found.state == state
    assert ("b is" in found.found) == (state == "warning")


@pytest.mark.parametrize(
    ("addresses", "port", "state"),
    [
        (["10.0.0.7"], ("0.0.0.0", 8265, "dashboard"), "ok"),
        (["192.168.1.2", "172.20.0.3", "fd00::1"], ("::", 8265, "dashboard"), "ok"),
        (["8.8.4.4"], ("127.0.0.1", 8265, "dashboard"), "ok"),
        (["8.8.4.4", "10.0.0.7"], ("10.0.0.7", 8265, "dashboard"), "ok"),
        (["8.8.4.4"], ("0.0.0.0", 8265, "dashboard"), "warning"),
        (["8.8.4.4"], ("8.8.4.4", 8265, "dashboard"), "warning"),
        (["2606:4700::1"], ("::", 8265, "dashboard"), "warning"),
    ],
)
def test_only_publicly_reachable_ports_are_reported(
    addresses: list[str], port: tuple[str, int, str], state: str
) -> None:
    found = judge_ports([node("a"), node("b", addresses=addresses, ports=[port])])
    assert found.state == state
    assert ("dashboard on port 8265 of b" in found.found) == (state == "warning")


def test_storage_names_the_nodes_that_do_not_share_it() -> None:
    assert judge_storage("/srv", {}, 3).state == "ok"
    found = judge_storage("/srv", {"b": "does not see the driver's file within 10 s"}, 3)
    assert found.state == "failed" and "b: does not see" in found.found and "mount the same folder" in found.fix


def test_the_worst_finding_counts() -> None:
    assert worst([]) == "ok"
    findings = [Finding("x", state, "") for state in ORDER]
    assert [worst(findings[: i + 1]) for i in range(4)] == list(ORDER)
