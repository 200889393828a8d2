"""The probe of a running trial: attacks of the audit on a copy of its current weights.

The trial's own engine is never touched, and the random generators are put back, so a trial trains on bit for bit as if
there had been no probe. With an audit's settings the results are those of an audit of the epoch's checkpoint.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from trainables.audit.attacks import RUN, AttackContext
from trainables.audit.config import ATTACKS, AuditConfig
from trainables.audit.job import AuditJob
from trainables.audit.summary import headline, named
from trainables.config import ProbePlan, TrialConfig
from trainables.data.rows import Split
from trainables.runtime.progress import within
from trainables.runtime.ranks import Group


def probe(trial: TrialConfig, model: Any, tokenizer: Any, split: Split, group: Group) -> dict[str, float]:
    """`probe_<attack>_<value>` of every attack of the trial's plan, their headline, and `probe_seconds`.

    `model`: the current weights on the CPU in float32; the probe may change it. An attack that destroys the model leaks
    what the model leaks without an attack, since an attacker would rather not attack. Raises ValueError without a plan,
    and for an attack that the data cannot support.
    """
    started, plan = time.monotonic(), trial.probe
    if plan is None:
        raise ValueError(f"trial {trial.trial} has no probe: its configuration must have one; set scheduler.probe")
    on_gpu = torch.device(group.device).type == "cuda"
    taken = torch.cuda.memory_allocated(group.device) if on_gpu else 0  # by the engine of the trial
    with random_states_kept(group):
        context = AttackContext(_job(trial, plan), split, (), model, tokenizer, group, other_bytes=taken)
        found: dict[str, float] = {}
        for attack in (one for one in ATTACKS if one in plan.settings.attacks):
            with within(f"probe {attack}"):
                result = RUN[attack](context)
            if isinstance(result, str):
                raise ValueError(f"scheduler.probe.attacks {attack}: {result}; leave the attack out")
            unattacked = context.unattacked.means()
            leaks = {name: unattacked[name] if math.isnan(value) else value for name, value in result.values.items()}
            found |= named(attack, leaks, by="probe")
        context.free()
    return found | headline(found, by="probe") | {"probe_seconds": max(group.gather([time.monotonic() - started]))}


def _job(trial: TrialConfig, plan: ProbePlan) -> AuditJob:
    """The audit that the probe is, of a model that is in no folder."""
    settings = plan.settings
    return AuditJob(
        model="",
        benchmark=trial.benchmark,
        fraction=trial.hyperparameters.forget_fraction,
        template=trial.template,
        evaluation=trial.evaluation,
        workers=trial.workers,
        recipe=plan.recipe,
        lora=trial.lora,
        audit=AuditConfig(
            attacks=settings.attacks,
            rows=settings.rows,
            relearn_steps=settings.relearn_steps,
            relearn_learning_rates=settings.relearn_learning_rates or (plan.recipe.learning_rate,),
            relearn_checks=1,
        ),
        file="",
    )


@contextmanager
def random_states_kept(group: Group) -> Iterator[None]:
    """Put all random generators back afterwards: attacks seed their own."""
    device = torch.device(group.device)
    python, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
