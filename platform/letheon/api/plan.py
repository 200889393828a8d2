"""What a plan says, for the command and for notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from letheon.analysis.time_left import duration
from letheon.api.html import facts_table, heading, lines, page, table
from letheon.common.counting import several, words
from letheon.common.numbers import short
from letheon.sweep.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

SHOWN_TRIALS = 24
_LIMITS = {"trials": "trial", "epochs": "epoch", "gpu_hours": "GPU-hour", "wall_hours": "hour"}
_PASSING = {"activations": "a training step", "evaluation": "evaluation", "update": "an optimizer step"}
"""Parts of the memory that come one after another."""
_LIBRARIES = "PyTorch and other libraries take about 700 MiB more"


@dataclass(frozen=True)
class SweepPlan(Plan):
    """A plan that shows itself. Its attributes are the keys of `letheon plan --json`."""

    def frame(self) -> pd.DataFrame:
        """The trials that are known in advance: one row per trial, one column per hyper-parameter."""
        import pandas as pd

        index = pd.Index([trial["trial"] for trial in self.trials], name="trial")
        return pd.DataFrame([trial["config"] for trial in self.trials], index=index).dropna(axis=1, how="all")

    def _repr_html_(self) -> str:
        names = searched_names(self)
        rows = (
            [escape(trial["trial"]), *(escape(short(trial["config"].get(name))) for name in names)]
            for trial in self.trials[:SHOWN_TRIALS]
        )
        problems = "".join(heading("", "failed", error) for error in self.errors)
        trials = table(("trial", *map(words, names)), rows)
        return page(problems, trials, lines(more_trials(self, "frame()")), facts_table(plan_facts(self)))


def searched_names(plan: Plan) -> list[str]:
    """The hyper-parameters that the file searches and a trial has, method and fraction first."""
    present = [name for name in plan.searched if any(name in trial["config"] for trial in plan.trials)]
    return sorted(present, key=lambda name: name not in ("method", "forget_fraction"))


def more_trials(plan: Plan, where: str) -> Iterator[str]:
    """What the table of the first trials leaves out, and where all of them are."""
    if len(plan.trials) > SHOWN_TRIALS:
        yield f"… and {len(plan.trials) - SHOWN_TRIALS} more trials ({where} lists all)"
    if plan.chosen == "first":
        how = "as the searcher learns from their results" if plan.learns else "until the budget is used"
        yield f"… and more, {how}"


def plan_facts(plan: Plan) -> Iterator[tuple[str, str]]:
    """All but the trials, as (label, text)."""
    most = plan.resources["epochs_at_most"]
    yield "fixed", ", ".join(f"{words(name)} {short(value)}" for name, value in plan.fixed.items()) or "nothing"
    at_most = f", at most {several(most, 'epoch')} in all" if most else ""
    yield "trials", f"{plan.count or 'as many as the budget gives'}{at_most}"
    limits = [several(limit, _LIMITS[name]) for name, limit in plan.budget.items()]
    yield "budget", ", ".join(limits) or "none: the sweep ends when it has tried all combinations"
    yield "searcher", plan.searcher
    yield (
        "fractions",
        ", ".join(
            name if facts["trials"] is None else f"{name} ({several(facts['trials'], 'trial')})"
            for name, facts in plan.strata.items()
        ),
    )
    yield "rungs", f"epochs {', '.join(map(str, plan.rungs))}" if plan.rungs else "none"
    if plan.probe:
        when = "at every rung" if plan.rungs else "after every epoch"
        yield "probe", f"{', '.join(plan.probe)} {when}, which makes those epochs longer"
    if plan.model:
        yield "model", plan.model
    yield "slots", _slots(plan.resources)
    if plan.resources["memory"] is not None:
        yield "memory", _memory(plan.resources["memory"])
        if len(plan.resources["memory"]["recipes"]) > 1:
            yield "recipes", _recipes(plan.resources["memory"])
    yield "time", _time(plan)
    missing = (f"{it['kind']}{'' if it['fraction'] is None else ' ' + short(it['fraction'])}" for it in plan.to_prepare)
    yield "to prepare", ", ".join(missing) or "nothing"
    if plan.audit:
        yield (
            "audit",
            f"after the search, of every front checkpoint and retain model: {several(len(plan.audit), 'attack')}",
        )
    for note in plan.notes:
        yield "note", note


def _slots(resources: Mapping[str, Any]) -> str:
    gpus = f" and {several(resources['gpus_per_worker'], 'GPU')}" if resources["gpus_per_worker"] else ""
    workers, cpus = several(resources["workers"], "worker"), several(resources["cpus_per_worker"], "CPU")
    each = "" if resources["workers"] == 1 else " each"
    return f"{resources['slots']} at a time, each {workers} with {cpus}{gpus}{each}"


def _memory(memory: Mapping[str, Any]) -> str:
    """A worker's predicted memory as a sum, and the share of a GPU it needs."""
    unit, name = _unit(memory)
    parts = dict(memory["parts"])
    passing = {what: parts.pop(name, 0) for name, what in _PASSING.items()}
    what = max(passing, key=lambda name: passing[name])
    states = sum(parts.values())
    context = memory["predicted_bytes"] - states - passing[what]
    terms = {"weights and optimizer": states, what: passing[what]}
    terms |= {"CUDA": context} if context else {}
    total = " + ".join(f"{what} {size / unit:.1f}" for what, size in terms.items())
    why = memory["why"] if memory["card_bytes"] else _LIBRARIES
    return f"{memory['predicted_bytes'] / unit:.1f} {name} per worker = {total}; {why}"


def _unit(memory: Mapping[str, Any]) -> tuple[int, str]:
    return (2**30, "GiB") if memory["predicted_bytes"] >= 2**30 else (2**20, "MiB")


def _recipes(memory: Mapping[str, Any]) -> str:
    """Bytes per parameter and per worker of each memory recipe, and which one trials use."""
    each, (unit, name) = [], _unit(memory)
    for it in memory["recipes"]:
        smaller = "" if it["in_one_pass"] else " in smaller passes"
        verdict = {True: f", fits{smaller}", False: ", does not fit", None: ""}[it["fits"]]
        size = f"{it['bytes_per_parameter']:.2g} B/parameter, {it['predicted_bytes'] / unit:.1f} {name}"
        each.append(f"{it['name']} {size}{verdict}")
    return f"trial.memory {memory['recipe']}; {'; '.join(each)}"


def _time(plan: Plan) -> str:
    time = plan.time
    known = {"preparation": time["preparation"], "the audit": time["audit"]}
    steps = [word for word, todo in (("preparation", plan.to_prepare), ("the audit", plan.audit)) if todo]
    parts = [f"about {duration(math.ceil(known[step]))} of {step}" for step in steps if known[step] is not None]
    unknown = [step for step in steps if known[step] is None]
    cost = "" if time["seconds_per_epoch"] is None else f"{time['seconds_per_epoch']:.2g} s per epoch{_source(time)}"
    if time["seconds"] is None:
        why = cost or "no earlier sweep here has unlearned from this model (--measure runs a few steps)"
        before = f"{', '.join(parts)}; the search is " if parts else ""
        return f"{before}not known: {why}; `letheon status` estimates it while the sweep runs"
    by = cost if time["limit"] == "epochs" else time["limit"]
    likely = (
        "" if time["likely"] >= time["seconds"] else f", about {duration(math.ceil(time['likely']))} with early stops"
    )
    parts.insert(0, f"at most {duration(math.ceil(time['seconds']))} of search ({by}{likely})")
    extra = f", plus {' and '.join(unknown)}" if unknown else ""
    gpus = f"; {time['gpu_hours']:.3g} GPU-hours" if time["gpu_hours"] is not None else ""
    return f"{', '.join(parts)}{extra}{gpus}"


def _source(time: Mapping[str, Any]) -> str:
    return " as measured" if time["sweep"] is None else f" in sweep {time['sweep']}"
