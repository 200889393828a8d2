"""Worker groups on real Ray Train and DeepSpeed: a used group acts like a fresh one, crashes cost an epoch."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from letheon.cluster.session import draining_nodes, node_resources
from letheon.preparation.artifacts import Prepared
from letheon.preparation.builder import build_artifacts
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from letheon.sweep.trial_config import trial_config
from letheon.workers.pool import Pool, pool_of
from letheon.workers.settings import WorkerSettings
from letheon.workers.worker_group import OwnedWorkerGroup, claim_workers
from tests.letheon.small_sweep import SPACE, wait_for, write_space
from trainables.config import Hyperparameters
from trainables.jobs.specs import TrialJob

MEASURED = ("seconds", "per_second", "memory", "restarts")
NPO_RT = {"method": "npo_rt", "learning_rate": 1e-4, "beta": 0.1, "retain_weight": 1.0}
GA = {"method": "ga", "learning_rate": 5e-4}
NPO_KL = {"method": "npo_kl", "learning_rate": 1e-4, "beta": 0.05, "retain_weight": 2.0}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> SweepSpec:
    content = yaml.safe_load(SPACE)
    content["trial"] |= {"cpus_per_worker": 0.25, "max_failures": 1}
    return load_spec(write_space(tmp_path_factory.mktemp("space"), yaml.safe_dump(content)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def pool(ray_session: None, spec: SweepSpec, root: Path) -> Iterator[Pool]:
    with pool_of(spec, 2, root) as pool:
        yield pool


@pytest.fixture(scope="module")
def prepared(pool: Pool, spec: SweepSpec, root: Path) -> Prepared:
    return build_artifacts(spec, root, pool, say=lambda text: None)


class Trials:
    """Runs trials, each in a folder of its own, and keeps the metrics that do not depend on the machine."""

    def __init__(self, spec: SweepSpec, prepared: Prepared, folder: Path) -> None:
        self._spec, self._prepared, self._folder = spec, prepared, folder

    def settings(self, fixed_nodes: bool = True, **changes: Any) -> WorkerSettings:
        workers = self._spec.trial.workers_config.model_copy(update=changes)
        return WorkerSettings(workers, self._folder / "train", self._folder / "logs", fixed_nodes=fixed_nodes)

    def job(self, name: str, hyper: dict[str, Any]) -> TrialJob:
        parameters = Hyperparameters(forget_fraction=0.25, batch_size=8, **hyper)
        return TrialJob(config=trial_config(self._spec, self._prepared, name, parameters, self._folder / name))

    def submit(self, group: OwnedWorkerGroup, name: str, hyper: dict[str, Any]) -> int:
        return group.submit(self.job(name, hyper).model_dump(mode="json"))

    def run(self, group: OwnedWorkerGroup, name: str, hyper: dict[str, Any], epochs: int = 2) -> list[dict[str, Any]]:
        generation = self.submit(group, name, hyper)
        return [kept(group.run_epoch(generation, epoch)) for epoch in range(1, epochs + 1)]

    def weights(self, name: str, epoch: int) -> bytes:
        return (self._folder / name / f"epoch-{epoch:03d}" / "model" / "model.safetensors").read_bytes()


def kept(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if not any(part in key for part in MEASURED)}


@pytest.fixture
def trials(spec: SweepSpec, prepared: Prepared, tmp_path: Path) -> Trials:
    return Trials(spec, prepared, tmp_path)


@pytest.fixture
def group(trials: Trials, request: pytest.FixtureRequest) -> Iterator[OwnedWorkerGroup]:
    """A group with `fixed_nodes`, or without if the parameter is False."""
    workers = OwnedWorkerGroup(trials.settings(getattr(request, "param", True)))
    yield workers
    workers.close()


@pytest.mark.slow
def test_trials_on_a_used_group_are_bit_equal_to_those_on_a_fresh_one(trials: Trials, group: OwnedWorkerGroup) -> None:
    first = trials.run(group, "first", NPO_RT)
    trials.run(group, "collapsing", {**GA, "learning_rate": 0.5})  # leaves NaN or nonsense behind
    trials.run(group, "abandoned", NPO_KL, epochs=1)
    again = trials.run(group, "again", NPO_RT)
    fresh_workers = OwnedWorkerGroup(trials.settings())
    fresh = trials.run(fresh_workers, "fresh", NPO_RT)
    fresh_workers.close()
    assert first == again
    assert first == fresh
    assert trials.weights("first", 2) == trials.weights("again", 2) == trials.weights("fresh", 2)
    assert first[0]["loss"] != first[1]["loss"]


@pytest.mark.slow
def test_trials_on_workers_that_prepared_models_are_bit_equal_to_those_on_fresh_ones(
    trials: Trials, pool: Pool, group: OwnedWorkerGroup
) -> None:
    ((_, handed_over),) = pool.run({"handed over": trials.job("handed-over", NPO_RT)})
    assert [kept(handed_over)] == trials.run(group, "cold", NPO_RT, epochs=1)
    assert trials.weights("handed-over", 1) == trials.weights("cold", 1)


def test_workers_have_one_holder_at_a_time_and_outlive_it(prepared: Prepared, pool: Pool) -> None:
    actor: Any = ray.remote(Holder)
    first, second, third = (actor.options(num_cpus=0).remote() for _ in range(3))
    held = [ray.get(holder.claim.remote(pool.names)) for holder in (first, second, third)]
    assert held == [*pool.names, None]  # the third has waited for a holder to die
    ray.get(second.give_back.remote())
    assert ray.get(third.claim.remote(pool.names)) == pool.names[1]
    assert ray.get(second.claim.remote(pool.names)) is None
    ray.kill(first)
    wait_for(lambda: ray.get(second.claim.remote(pool.names)) == pool.names[0])
    for holder in (second, third):
        ray.get(holder.give_back.remote())


@pytest.mark.slow
@pytest.mark.parametrize("group", [False], indirect=True)
def test_only_the_workers_import_torch(trials: Trials, group: OwnedWorkerGroup) -> None:
    trials.run(group, "only", GA, epochs=1)
    assert has_torch(pid_of_worker(group))
    others = [actor["pid"] for name, actor in alive_actors().items() if not name.startswith("RayTrainWorker")]
    assert len(others) > 2
    assert not any(has_torch(pid) for pid in others)


@pytest.mark.slow
def test_a_worker_collects_garbage_but_does_not_scan_its_imports(trials: Trials, group: OwnedWorkerGroup) -> None:
    trials.run(group, "only", GA, epochs=1)
    worker = ray.get(group.mailbox.worker.remote())
    assert ray.get(worker.execute.remote(gc.isenabled))
    assert ray.get(worker.execute.remote(gc.get_freeze_count)) > 100_000


def test_a_killed_worker_is_restarted_and_the_trial_continues(trials: Trials, group: OwnedWorkerGroup) -> None:
    undisturbed = trials.run(group, "undisturbed", NPO_RT, epochs=3)
    generation = trials.submit(group, "killed", NPO_RT)
    reports = [kept(group.run_epoch(generation, 1))]
    os.kill(pid_of_worker(group), signal.SIGKILL)
    later = [group.run_epoch(generation, epoch) for epoch in (2, 3)]
    assert [report["restarts"] for report in later] == [1, 1]
    assert [*reports, *map(kept, later)] == undisturbed


def test_a_trial_that_raises_fails_with_its_reason_and_the_next_one_runs(
    trials: Trials, group: OwnedWorkerGroup
) -> None:
    pid = pid_of_worker(group)
    generation = trials.submit(group, "broken", {**GA, "method": "no_such_method"})
    assert "KeyError" in group.run_epoch(generation, 1)["failed"]
    assert trials.run(group, "next", GA, epochs=1)[0]["epoch"] == 1
    assert worker_pid(group) == pid


@pytest.mark.slow
def test_a_worker_that_dies_every_time_fails_its_trial_only(trials: Trials, group: OwnedWorkerGroup) -> None:
    generation = trials.submit(group, "doomed", GA)
    group.run_epoch(generation, 1)

    def starts() -> int:
        return int(ray.get(group.mailbox.starts.remote()))

    os.kill(pid_of_worker(group), signal.SIGKILL)
    wait_for(lambda: starts() == 2)
    os.kill(pid_of_worker(group), signal.SIGKILL)  # max_failures is 1
    assert "lost 2 times" in group.run_epoch(generation, 2)["failed"]
    assert trials.run(group, "next", GA, epochs=1)[0]["epoch"] == 1


@pytest.mark.slow
def test_a_worker_that_hangs_fails_its_trial_only(trials: Trials, group: OwnedWorkerGroup) -> None:
    generation = trials.submit(group, "hung", GA)
    group.run_epoch(generation, 1)
    pid = pid_of_worker(group)
    os.kill(pid, signal.SIGSTOP)  # none of its threads answers
    started = time.monotonic()
    failed = group.run_epoch(generation, 2, minutes=0.05)["failed"]
    assert "epoch 2 took longer than trial.epoch_minutes 0.05" in failed
    assert time.monotonic() - started < 30
    assert trials.run(group, "next", GA, epochs=1)[0]["epoch"] == 1
    assert not process_exists(pid)


@pytest.mark.slow
def test_two_workers_under_zero_3_agree_with_one_and_outlive_a_lost_one(
    trials: Trials, group: OwnedWorkerGroup, spec: SweepSpec
) -> None:
    alone = trials.run(group, "alone", NPO_RT, epochs=1)[0]
    sharded: dict[str, Any] = {"workers": 2, "deepspeed": {"zero_optimization": {"stage": 3}}}
    trials._spec = spec.model_copy(update={"trial": spec.trial.model_copy(update=sharded)})
    pair = OwnedWorkerGroup(trials.settings(**sharded))
    generation = trials.submit(pair, "together", NPO_RT)
    together = kept(pair.run_epoch(generation, 1))
    os.kill(pid_of_worker(pair, rank=1), signal.SIGKILL)  # rank 0 sees only a broken connection
    assert pair.run_epoch(generation, 2)["restarts"] == 1
    pair.close()
    assert together.keys() == alone.keys()
    for key in ("loss", "model_utility", "forget_probability", "retain_probability", "forget_truth_ratio"):
        assert together[key] == pytest.approx(alone[key], rel=1e-3)


def test_nodes_count_as_staying_if_ray_does_not_say_which_leave(
    ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = node_resources()
    monkeypatch.setitem(sys.modules, "ray.autoscaler.v2.sdk", None)  # as if this Ray had no such module
    assert draining_nodes() == set()
    assert node_resources() == known != []


@pytest.mark.parametrize("fixed_nodes", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_closing_leaves_no_actor_no_placement_group_and_no_process(trials: Trials, fixed_nodes: bool) -> None:
    groups = open_placement_groups()
    workers = OwnedWorkerGroup(trials.settings(fixed_nodes))
    trials.run(workers, "only", GA, epochs=1)
    pid = worker_pid(workers)
    assert pid is not None
    assert open_placement_groups() == groups + 1
    before = alive_actors()
    workers.close()
    wait_for(lambda: not process_exists(pid))
    wait_for(lambda: not any(workers.name in name for name in alive_actors()))
    wait_for(lambda: pid not in {actor["pid"] for actor in alive_actors().values()})
    wait_for(lambda: open_placement_groups() == groups)
    assert before


@pytest.mark.slow
@pytest.mark.parametrize("at", ["start", "work"])
def test_workers_that_do_not_leave_are_killed(trials: Trials, at: str) -> None:
    """`at`: whether they are just starting or hang in a job."""
    groups = open_placement_groups()
    workers, pid = OwnedWorkerGroup(trials.settings()), None
    wait_for(lambda: open_placement_groups() == groups + 1)
    if at == "work":
        generation = trials.submit(workers, "stuck", GA)
        workers.run_epoch(generation, 1)
        os.kill(pid := pid_of_worker(workers), signal.SIGSTOP)
        workers.begin_epoch(generation, 2)
    workers.close(patience=1.0)
    if at == "work":
        wait_for(lambda: isinstance(workers.error, ray.exceptions.RayActorError))  # its controller has ended
    wait_for(lambda: not workers._thread.is_alive())
    wait_for(lambda: pid is None or not process_exists(pid))
    wait_for(lambda: open_placement_groups() == groups)
    wait_for(lambda: worker_pid(workers) is None)  # the list of actors lags


class Holder:
    """An actor that claims workers, as a slot does."""

    def claim(self, names: list[str]) -> str | None:
        self._workers = claim_workers(names)
        return None if self._workers is None else self._workers.name

    def give_back(self) -> None:
        assert self._workers is not None
        self._workers.close()


def has_torch(pid: int) -> bool:
    return "libtorch" in Path("/proc", str(pid), "maps").read_text()


def here() -> str:
    """The address of this session's Ray; the machine may run others."""
    return str(ray.get_runtime_context().gcs_address)


def alive_actors() -> dict[str, dict[str, Any]]:
    from ray.util.state import list_actors

    found = list_actors(address=here(), filters=[("state", "=", "ALIVE")], detail=True, limit=1000)
    return {f"{actor.class_name} {actor.name} {actor.actor_id}": {"pid": actor.pid} for actor in found}


def open_placement_groups() -> int:
    from ray.util.state import list_placement_groups

    return sum(group.state != "REMOVED" for group in list_placement_groups(address=here(), limit=1000))


def process_exists(pid: int) -> bool:
    return Path("/proc", str(pid)).exists()


def pid_of_worker(group: OwnedWorkerGroup, rank: int = 0) -> int:
    """The process of a rank, once it has started."""
    wait_for(lambda: worker_pid(group, rank) is not None)
    return worker_pid(group, rank) or 0


def worker_pid(group: OwnedWorkerGroup, rank: int = 0) -> int | None:
    """The process of a rank now, known by its log file."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "fd" / "1").endswith(f"{group.name}-rank{rank}.log"):
                return int(process.name)
        except OSError:
            continue
    return None
