"""Probed trials train on as if unprobed, bit for bit, and a probe finds what an audit of the checkpoint finds."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from letheon.sweep.trial_config import probe_plan, trial_config
from tests import tiny
from tests.trainables.training.test_trial import FRACTION, MEASURED, Reports, prepared_in
from trainables.audit.config import AuditConfig
from trainables.audit.job import AuditJob
from trainables.audit.probe import probe, random_states_kept
from trainables.audit.run import run_audit
from trainables.audit.summary import measured_by
from trainables.config import Hyperparameters, LoraConfig, ProbeConfig, ProbePlan, TrialConfig
from trainables.inputs.cache import WorkerCache
from trainables.runtime.ranks import Group
from trainables.training import trial
from trainables.training.trial import run_trial

EPOCHS = 3
PROBED = (1, 3)
SETTINGS = ProbeConfig(attacks=("rtn4", "relearn"), rows=4, relearn_steps=3)
DROPOUT = LoraConfig(rank=4, dropout=0.2)  # its masks come from the global random state


def work(_: Group, folder: Path) -> None:
    """Trials with and without a probe, and the audit of a checkpoint of the probed one."""
    spec, prepared = prepared_in(folder)
    spec = spec.model_copy(
        update={"scheduler": spec.scheduler.model_copy(update={"max_epochs": EPOCHS, "probe": SETTINGS})}
    )
    hyper = Hyperparameters(method="npo_rt", forget_fraction=FRACTION, learning_rate=3e-4, batch_size=8)
    decides: Any = trial
    decides.must_save_state = lambda *_: True
    plan = probe_plan(spec)
    assert plan is not None
    plan = plan.model_copy(update={"epochs": PROBED})
    for name, lora in (("full", None), ("lora", DROPOUT)):
        for kind, own in (("plain", None), ("probed", plan)):
            config = trial_config(spec, prepared, f"{name}-{kind}", hyper, folder / f"{name}-{kind}")
            config = config.model_copy(update={"lora": lora, "probe": own})
            reports = Reports(EPOCHS)
            run_trial(config, WorkerCache(), Group(), reports, probe)
            (folder / f"{config.trial}.json").write_text(json.dumps(reports.found))
    (folder / "config.json").write_text(config.model_dump_json())
    _audited(config.model_copy(update={"lora": None}), plan, folder)


def _audited(config: TrialConfig, plan: ProbePlan, folder: Path) -> None:
    job = AuditJob(
        model=str(folder / "full-probed" / "epoch-001" / "model"),
        benchmark=config.benchmark,
        fraction=FRACTION,
        template=config.template,
        evaluation=config.evaluation,
        workers=config.workers,
        recipe=plan.recipe,
        audit=AuditConfig(
            attacks=SETTINGS.attacks,
            rows=SETTINGS.rows,
            relearn_steps=SETTINGS.relearn_steps,
            relearn_learning_rates=(plan.recipe.learning_rate,),
        ),
        file=str(folder / "audit.json"),
    )
    run_audit(job, WorkerCache(), Group())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("probe")
    tiny.spawned(work, made, sizes=(1,))
    return made


def epochs_of(folder: Path, name: str) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads((folder / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_probed_trial_is_bit_equal_to_one_without(folder: Path, kind: str) -> None:
    plain, probed = epochs_of(folder, f"{kind}-plain"), epochs_of(folder, f"{kind}-probed")
    for one, other in zip(plain, probed, strict=True):
        expected = {name: value for name, value in one.items() if not _is_measured(name)}
        found = {name: value for name, value in other.items() if name in expected}
        assert found == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
    saved = 0
    for epoch in range(1, EPOCHS + 1):
        model = Path(f"epoch-00{epoch}") / "model" / "model.safetensors"
        if (folder / f"{kind}-plain" / model).exists():
            ours, theirs = (load_file(folder / f"{kind}-{name}" / model) for name in ("plain", "probed"))
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
            saved += 1
        state = Path(f"epoch-00{epoch}") / "state"
        for file in sorted((folder / f"{kind}-plain" / state).rglob("*.pt")):
            other_file = folder / f"{kind}-probed" / file.relative_to(folder / f"{kind}-plain")
            one, other = (torch.load(each, weights_only=False) for each in (file, other_file))
            assert _same(one, other), file.name
            saved += 1
    assert saved > 1


def _is_measured(name: str) -> bool:
    return any(part in name for part in MEASURED)


def _same(one: Any, other: Any) -> bool:
    """Whether two states of an engine, optimizer included, have the same content."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or not isinstance(one, (int, float, str, bool, type(None)))


def test_the_random_generators_are_put_back() -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed(value: int) -> None:
        random.seed(value)
        np.random.seed(value)
        torch.manual_seed(value)

    seed(1)
    expected = drawn()
    seed(1)
    with random_states_kept(Group()):
        seed(9)
        drawn()
    assert drawn() == expected


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_probe_reports_at_its_epochs_only(folder: Path, kind: str) -> None:
    metrics = {*measured_by(SETTINGS.attacks), "probe_seconds"}
    for epoch, found in enumerate(epochs_of(folder, f"{kind}-probed"), start=1):
        assert {name for name in found if name.startswith("probe_")} == (metrics if epoch in PROBED else set())
        assert all(math.isfinite(found[name]) for name in metrics & found.keys())
    assert not any(name.startswith("probe_") for found in epochs_of(folder, f"{kind}-plain") for name in found)


def test_a_probe_finds_what_an_audit_of_the_checkpoint_finds(folder: Path) -> None:
    audit = json.loads((folder / "audit.json").read_text())["metrics"]
    found = epochs_of(folder, "full-probed")[0]
    for name in measured_by(SETTINGS.attacks):
        if "worst" not in name:  # the audit's worst counts the rows without an attack too
            assert found[name] == audit[name.replace("probe_", "audit_")], name
    assert found["probe_worst_forget_rouge"] == max(
        found["probe_relearn_forget_rouge"], found["probe_rtn4_forget_rouge"]
    )


def test_a_trial_that_must_be_probed_needs_a_probe(folder: Path, tmp_path: Path) -> None:
    config = TrialConfig.model_validate_json((folder / "config.json").read_text())
    with pytest.raises(ValueError, match=r"give run_trial a probe, or remove scheduler\.probe"):
        run_trial(config.model_copy(update={"folder": str(tmp_path)}), WorkerCache(), Group(), Reports(1))
    with pytest.raises(ValueError, match=r"has no probe"):
        probe(config.model_copy(update={"probe": None}), None, None, None, Group())  # type: ignore[arg-type]
