"""Slots are computed from the resources of the nodes, so that no trial waits forever."""

from __future__ import annotations

import pytest

from letheon.cluster.capacity import potential_nodes, shortage, slots_that_fit
from trainables.config import WorkersConfig


@pytest.mark.parametrize(
    ("nodes", "workers", "slots"),
    [
        ([{"CPU": 2}], WorkersConfig(), 2),
        ([{"CPU": 2}], WorkersConfig(workers=2), 1),
        ([{"CPU": 2}], WorkersConfig(cpus_per_worker=3), 0),
        ([{"CPU": 8, "GPU": 2}], WorkersConfig(gpus_per_worker=1, cpus_per_worker=2), 2),
        ([{"CPU": 8, "GPU": 1}], WorkersConfig(gpus_per_worker=0.25), 4),
        ([{"CPU": 3}, {"CPU": 3}], WorkersConfig(workers=2, cpus_per_worker=2), 1),
        ([{"CPU": 1}, {"CPU": 1}], WorkersConfig(cpus_per_worker=2), 0),
        ([{"CPU": 0.3}], WorkersConfig(cpus_per_worker=0.1), 3),
        ([], WorkersConfig(), 0),
    ],
)
def test_slots(nodes: list[dict[str, float]], workers: WorkersConfig, slots: int) -> None:
    assert slots_that_fit(nodes, workers) == slots
    assert (shortage(nodes, workers) is None) == (slots > 0)


def test_a_shortage_names_the_request_the_resources_and_the_fix() -> None:
    text = shortage([{"CPU": 2}], WorkersConfig(gpus_per_worker=1)) or ""
    assert "1 GPU" in text
    assert "trial.gpus_per_worker" in text
    assert "2 CPUs and 0 GPUs" in text


AUTOSCALER = {
    "max_workers": 3,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 4}, "max_workers": 0},
        "small": {"resources": {"CPU": 4, "GPU": 1}, "max_workers": 4},
        "big": {"resources": {"CPU": 32, "GPU": 8}, "max_workers": 1},
        "unknown": {"max_workers": 9},
    },
}


def test_a_cluster_grows_up_to_the_limits_of_its_types_and_its_own() -> None:
    nodes = potential_nodes(AUTOSCALER, WorkersConfig(gpus_per_worker=1))
    assert nodes == [{"CPU": 32, "GPU": 8}, *[{"CPU": 4, "GPU": 1}] * 2]
    assert slots_that_fit(nodes, WorkersConfig(gpus_per_worker=1)) == 10
    assert potential_nodes({**AUTOSCALER, "max_workers": None}, WorkersConfig())[-1] == {}
    assert potential_nodes({}, WorkersConfig()) == []
