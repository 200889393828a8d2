"""How much each hyper-parameter matters, by Optuna's PED-ANOVA (Watanabe et al., IJCAI 2023). Pure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from letheon.common.numbers import is_number
from letheon.journal import Row
from letheon.pareto.objectives import Goals

MIN_TRIALS = 12  # with fewer, the shares are mostly noise
LOG_SPREAD = 20.0  # positive values that span more than this factor are put on a log scale

Values = list[tuple[Mapping[str, Any], float]]


def importance(rows: Sequence[Row], goals: Goals) -> dict[str, list[dict[str, Any]]]:
    """Stratum -> [{"name", "share", "trials"}], the most important first; shares per stratum sum to 1.

    A trial's value is the hypervolume of its best feasible checkpoint alone (0 without one). A hyper-parameter of only
    some methods is judged among the trials that have it, weighted by their number. Strata with fewer than MIN_TRIALS
    reported trials are left out.
    """
    worth = _worth(rows, goals)
    trials = {row["trial"]: row for row in rows if row["kind"] == "trial" and row["trial"] in worth}
    found: dict[str, list[dict[str, Any]]] = {}
    for stratum in sorted({row["stratum"] for row in trials.values()}, key=float):
        values = [(row["config"], worth[name]) for name, row in trials.items() if row["stratum"] == stratum]
        if len(values) >= MIN_TRIALS:
            found[stratum] = _shares(values)
    return found


def _worth(rows: Sequence[Row], goals: Goals) -> dict[str, float]:
    worth: dict[str, float] = {}
    for row in rows:
        if row["kind"] == "report" and row["epoch"] >= 1:
            feasible = goals.violation(row["metrics"]) == 0
            area = goals.area(row["metrics"]) if feasible else 0.0
            worth[row["trial"]] = max(worth.get(row["trial"], 0.0), area if math.isfinite(area) else 0.0)
    return worth


def _shares(values: Values) -> list[dict[str, Any]]:
    names = [name for name in dict.fromkeys(key for config, _ in values for key in config) if _varies(values, name)]
    raw: dict[str, tuple[float, int]] = {}
    for name in names:
        having = [(config, worth) for config, worth in values if config.get(name) is not None]
        if len(having) >= MIN_TRIALS:
            raw[name] = (_ped_anova(having, name) * len(having) / len(values), len(having))
    total = sum(share for share, _ in raw.values())
    shares = [
        {"name": name, "share": round(share / total, 4) if total else 0.0, "trials": count}
        for name, (share, count) in raw.items()
    ]
    return sorted(shares, key=lambda one: (-float(str(one["share"])), str(one["name"])))


def _varies(values: Values, name: str) -> bool:
    found = {str(config.get(name)) for config, _ in values} - {"None"}
    return name not in ("seed", "forget_fraction") and len(found) > 1


def _ped_anova(values: Values, name: str) -> float:
    """How much the best trials' values of `name` differ from those of all trials; 0 if that is not finite."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    distribution = _distribution([config[name] for config, _ in values])
    with warnings.catch_warnings(), _optuna_silent():
        warnings.simplefilter("ignore")  # the evaluator is marked experimental
        study = optuna.create_study(direction="maximize")
        for config, worth in values:
            trial = optuna.trial.create_trial(
                params={name: _plain(config[name])}, distributions={name: distribution}, value=worth
            )
            study.add_trial(trial)
        found = PedAnovaImportanceEvaluator().evaluate(study, params=[name])[name]
    return float(found) if math.isfinite(found) else 0.0


def _distribution(values: Sequence[Any]) -> Any:
    import optuna

    if not all(map(is_number, values)):
        return optuna.distributions.CategoricalDistribution(sorted({str(value) for value in values}))
    low, high = float(min(values)), float(max(values))
    return optuna.distributions.FloatDistribution(low, high, log=low > 0 and high / low > LOG_SPREAD)


def _plain(value: Any) -> Any:
    return float(value) if is_number(value) else str(value)


@contextmanager
def _optuna_silent() -> Iterator[None]:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
