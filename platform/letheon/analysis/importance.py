"""Which hyper-parameters the results hang on, by PED-ANOVA (Watanabe et al., IJCAI 2023) as Optuna has it. Pure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from letheon.journal import Row
from letheon.pareto.objectives import Goals

MIN_TRIALS = 12  # with fewer, shares say more about luck than about hyper-parameters
LOG_SPREAD = 20.0  # a positive number whose values span more than this factor is looked at on a log scale

Values = list[tuple[Mapping[str, Any], float]]


def importance(rows: Sequence[Row], goals: Goals) -> dict[str, list[dict[str, Any]]]:
    """Stratum -> [{"name", "share", "trials"}], the most important first; shares of a stratum sum to 1.

    What a trial is worth is the hypervolume of its best feasible checkpoint alone (0 without one). A hyper-parameter
    that only some methods have is judged among the trials that have it, weighted by how many those are. Strata with
    fewer than MIN_TRIALS ended or reported trials are left out.
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
    return (
        name not in ("seed", "forget_fraction") and len({str(config.get(name)) for config, _ in values} - {"None"}) > 1
    )


def _ped_anova(values: Values, name: str) -> float:
    """How much the best trials' values of `name` differ from all trials' values; 0 where nothing can be said."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    distribution = _distribution([config[name] for config, _ in values])
    with warnings.catch_warnings(), _quiet():
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

    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not numbers:
        return optuna.distributions.CategoricalDistribution(sorted({str(value) for value in values}))
    low, high = float(min(values)), float(max(values))
    return optuna.distributions.FloatDistribution(low, high, log=low > 0 and high / low > LOG_SPREAD)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


class _quiet:
    """Optuna's log lines are not for the reader of a page."""

    def __enter__(self) -> None:
        import optuna

        self._before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)

    def __exit__(self, *_: object) -> None:
        import optuna

        optuna.logging.set_verbosity(self._before)
