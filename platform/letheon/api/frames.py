"""Fronts, trials, epochs and samples as data frames. Pure: rows of the journal in, frames out.

Columns: what identifies a row, its hyper-parameters, its metrics (objectives first), and reasons in words. Values are
as recorded; what a trial does not have is missing (NaN, None). Rates and shares are plain numbers: 0.5 is 50 %, except
that PrivLeak is in percent. Times are in seconds, memory in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from letheon.checkpoints.best import BestCheckpoints
from letheon.dashboard.trial_columns import verdicts_of
from letheon.journal import Row
from letheon.pareto.front import name_of, reasons_of, verdict_of, with_audits
from letheon.pareto.labels import COMPANIONS, objectives_of
from letheon.pareto.objectives import Goals

if TYPE_CHECKING:
    import pandas as pd

_IN_WORDS = ("reason", "reasons", "origin")
_TEXTS = ("epoch", "attack", "set", "prompt", "answer", "generated")


def front_frame(front: Mapping[str, Any]) -> pd.DataFrame:
    """One row per front point, indexed by checkpoint (`t003@14`): in the order of `letheon front`.

    `front`: in the shape of `front --json`.
    """
    order, made = _in_order(objectives_of(front)), {}
    configs = [point["config"] for stratum in front["strata"].values() for point in stratum["points"]]
    settings = _names_of_settings(configs)
    for key, stratum in front["strata"].items():
        for point in stratum["points"]:
            made[name_of(point)] = {
                "fraction": float(key),
                "trial": point["trial"],
                "epoch": point["epoch"],
                "knee": stratum["knee"] is not None and name_of(stratum["knee"]) == name_of(point),
                "verdict": verdict_of(point),
                **{name: point["config"].get(name) for name in settings},
                **_sorted(point["metrics"], order),
                "reasons": reasons_of(point),
            }
    return _frame(made, "checkpoint", ("fraction", "trial", "epoch", "knee", "verdict"))


def trials_frame(rows: Sequence[Row], goals: Goals, active: bool) -> pd.DataFrame:
    """One row per trial, indexed by its name, in the order of their start.

    Metrics and verdict are those of its best checkpoint, at epoch `best`: the feasible one whose objectives span the
    largest area. A trial without one has those of its last epoch, and no `best`. `active`: whether a driver runs.
    """
    rows = with_audits(rows)
    best, ends = BestCheckpoints(goals), {row["trial"]: row for row in rows if row["kind"] == "end"}
    last: dict[str, Row] = {}
    for row in rows:
        if row["kind"] == "report":
            best.take(row)
            last[row["trial"]] = row
    verdicts, order = verdicts_of(rows, goals), _in_order(axis.metric for axis in goals.axes)
    trials, made = [row for row in rows if row["kind"] == "trial"], {}
    settings = _names_of_settings([trial["config"] for trial in trials])
    for trial in trials:
        name = str(trial["trial"])
        found = best.of(name)
        shown, end = (found[1] if found else last.get(name)), ends.get(name)
        made[name] = {
            "fraction": float(trial["stratum"]),
            "outcome": end["outcome"] if end else "running" if active else "interrupted",
            "epochs": last[name]["epoch"] if name in last else 0,
            "best": found[1]["epoch"] if found else None,
            "verdict": verdicts[name, shown["epoch"]]["name"] if shown else None,
            **{name: trial["config"].get(name) for name in settings},
            **_sorted(shown["metrics"] if shown else {}, order),
            "reason": end["reason"] if end else None,
            "origin": trial.get("origin"),
        }
    frame = _frame(made, "trial", ("fraction", "outcome", "epochs", "best", "verdict"))
    return frame.astype({"best": "Int64"})


def epochs_frame(rows: Sequence[Row], goals: Goals, trial: str | None = None) -> pd.DataFrame:
    """Every evaluated epoch, indexed by (trial, epoch), with verdict, decision and metrics.

    Epoch 0 is the untouched target model, without verdict and decision. `trial`: only this one.
    """
    rows = [row for row in with_audits(rows) if trial in (None, row.get("trial"))]
    verdicts, order = verdicts_of(rows, goals), _in_order(axis.metric for axis in goals.axes)
    strata = {row["trial"]: float(row["stratum"]) for row in rows if row["kind"] == "trial"}
    made: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        if row["kind"] == "trial":
            begun = {"fraction": float(row["stratum"]), "verdict": None, "decision": None}
            made[row["trial"], 0] = {**begun, **_sorted(row.get("baseline") or {}, order)}
        elif row["kind"] == "report" and row["trial"] in strata:
            judged, decision = verdicts[row["trial"], row["epoch"]], row.get("decision") or {}
            made[row["trial"], row["epoch"]] = {
                "fraction": strata[row["trial"]],
                "verdict": judged["name"],
                "decision": decision.get("action"),
                **_sorted(row["metrics"], order),
                "reasons": "; ".join(judged["reasons"]),
            }
    frame = _frame(made, ("trial", "epoch"), ("fraction", "verdict", "decision"))
    return frame.sort_index()


def samples_frame(samples: Mapping[str, Any], audits: Mapping[str, Any]) -> pd.DataFrame:
    """Texts that a trial's models generated: `epoch`, `attack` (None without one), `set`, `prompt`, `answer` (the
    right one) and `generated`. Epoch 0 is the target model; the retain model's have no epoch."""
    import pandas as pd

    found: list[dict[str, Any]] = []
    for epoch, texts in (samples.get("epochs") or {}).items():
        found += [{"epoch": int(epoch), "attack": None, **text} for text in texts]
    found += [{"epoch": None, "attack": None, **text} for text in samples.get("retain") or ()]
    for epoch, audit in (audits.get("epochs") or {}).items():
        for attack, texts in (audit.get("samples") or {}).items():
            found += [{"epoch": int(epoch), "attack": attack, **text} for text in texts]
    return pd.DataFrame(found, columns=list(_TEXTS)).astype({"epoch": "Int64"})


def _frame(rows: Mapping[Any, Mapping[str, Any]], index: str | Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """The rows as a frame; these columns are there even if there is no row. Those in words come last."""
    import pandas as pd

    names = [index] if isinstance(index, str) else list(index)
    keys = pd.MultiIndex.from_tuples(list(rows), names=names) if len(names) > 1 else pd.Index(list(rows), name=index)
    if not rows:
        keys = pd.MultiIndex.from_arrays([[] for _ in names], names=names) if len(names) > 1 else keys
        return pd.DataFrame(index=keys, columns=list(columns))
    frame = pd.DataFrame(list(rows.values()), index=keys)
    words = [name for name in _IN_WORDS if name in frame]
    return frame[[*(name for name in frame if name not in words), *words]]


def _names_of_settings(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The hyper-parameters that any of the trials has, without the fraction, which has a column of its own."""
    names = dict.fromkeys(name for config in configs for name, value in config.items() if value is not None)
    return ["method", *(name for name in names if name not in ("method", "forget_fraction"))]


def _in_order(objectives: Iterable[str]) -> list[str]:
    """Objectives and their values in other units: the metrics that come first."""
    return [name for metric in objectives for name in (metric, *COMPANIONS.get(metric, ()))]


def _sorted(metrics: Mapping[str, Any], first: Sequence[str]) -> dict[str, Any]:
    """Numbers that come `first`, then the others by name. The epoch is left out: it is in the index."""
    names = [*(name for name in first if name in metrics), *sorted(set(metrics) - {*first, "epoch"})]
    return {name: metrics[name] for name in names}
