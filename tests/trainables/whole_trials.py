"""What the process of `test_whole_trials` does: prepare a small model, then one trial in fresh and in used workers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from letheon.preparation import Prepared, layout, trial_config
from letheon.spec import SweepSpec, load_spec
from tests.letheon.small_sweep import SPACE, write_space
from trainables import trial_memory
from trainables.config import Hyperparameters
from trainables.gpu_share import Place
from trainables.group import Group
from trainables.jobs import BaseJob, BaselineJob, FinetuneJob
from trainables.loop import run_trial
from trainables.prepare import finetune, make_base, make_baseline
from trainables.resident import Resident

FRACTION = 0.25
METHODS = ("npo_kl", "npo_rt")
EPOCHS = 1


class Reports:
    """The channel of a trial that is stopped after some epochs."""

    def __init__(self, epochs: int = EPOCHS) -> None:
        self.epochs, self.found = epochs, list[dict[str, Any]]()

    def may_run(self, epoch: int) -> bool:
        return epoch <= self.epochs

    def report(self, epoch: int, metrics: dict[str, Any]) -> None:
        self.found.append(metrics)


def prepared_in(folder: Path) -> tuple[SweepSpec, Prepared]:
    """Everything that trials need, made in this process."""
    content = yaml.safe_load(SPACE)
    content["model"]["recipe"]["epochs"] = 2
    content.setdefault("evaluation", {})["gradient_norm"] = True  # which no decision reads
    content["search"]["forget_fraction"] = {"choice": [FRACTION]}
    spec = load_spec(write_space(folder, yaml.safe_dump(content)))
    prepared, group = layout(spec, folder / "root"), Group()
    for artefact in prepared.missing:
        job = artefact.job
        if isinstance(job, BaseJob):
            make_base(job)
        elif isinstance(job, FinetuneJob):
            finetune(job, group)
        elif isinstance(job, BaselineJob):
            make_baseline(job, Resident(), group)
    return spec, prepared


@contextmanager
def placed(place: Place) -> Iterator[None]:
    """As if a GPU had this place for the weights that trials start from."""
    decides: Any = trial_memory
    decided = decides.place_of_weights
    decides.place_of_weights = lambda *_: place
    try:
        yield
    finally:
        decides.place_of_weights = decided


def process(_: int, path: str) -> None:
    """Entry of a spawned process."""
    os.environ |= {"LOCAL_RANK": "0", "DS_ACCELERATOR": "cpu"}
    torch.set_num_threads(1)
    folder = Path(path)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=0, world_size=1)
    spec, prepared = prepared_in(folder)

    def run(name: str, method: str, resident: Resident) -> None:
        hyper = Hyperparameters(
            method=method, forget_fraction=FRACTION, learning_rate=3e-4, batch_size=8, warmup_epochs=0
        )
        reports = Reports()
        run_trial(trial_config(spec, prepared, name, hyper, folder / name), resident, Group(), reports)
        (folder / f"{name}.json").write_text(json.dumps(reports.found))

    for method in METHODS:
        run(f"{method}-cold".replace("_", "-"), method, Resident())
    places: tuple[Place, ...] = ("device", "pinned")
    for place in places:
        used = Resident()
        with placed(place):
            for method in METHODS:
                run(f"{method}-{place}".replace("_", "-"), method, used)
    trials_of_both_depths(folder, spec, prepared)
    torch.distributed.destroy_process_group()


def trials_of_both_depths(folder: Path, spec: SweepSpec, prepared: Prepared) -> None:
    """One that gets worse by the epoch, evaluated whole, as deep as the decision needs, and so in two attempts."""
    hyper = Hyperparameters(method="ga", forget_fraction=FRACTION, learning_rate=2e-3, batch_size=8, warmup_epochs=0)
    resident = Resident()
    for name, depth, attempts in (
        ("whole", "full", (4,)),
        ("deciding", "decision", (4,)),
        ("again", "decision", (2, 4)),
    ):
        scheduler = spec.scheduler.model_copy(update={"evaluate": depth})
        config = trial_config(spec.model_copy(update={"scheduler": scheduler}), prepared, name, hyper, folder / name)
        for epochs in attempts:
            reports = Reports(epochs)
            run_trial(config, resident, Group(), reports)
        (folder / f"{name}.json").write_text(json.dumps(reports.found))
