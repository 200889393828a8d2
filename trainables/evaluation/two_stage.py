"""Evaluates in two stages: first what a decision needs, then the rest for models that go on."""

from __future__ import annotations

from collections.abc import Callable

from trainables.evaluation.evaluate import StagedEvaluation
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.needs import Needs


def evaluate_in_stages(
    staged: StagedEvaluation,
    compared: Callable[[Evaluation], dict[str, float]],
    needs: Needs | None,
    goes_on: Callable[[dict[str, float]], bool],
) -> tuple[dict[str, float], list[dict[str, str]]]:
    """Metrics and samples: of the whole evaluation if `needs` is None or the needed metrics make `goes_on` true, else
    of the needed parts.

    `compared` computes all metrics of an evaluation. Metrics that the needed parts do not give correctly are left out,
    so every metric returned has the value of a whole evaluation.
    """
    if needs is not None and needs.parts != staged.parts:
        staged.measure(needs.parts)
        evaluation = staged.evaluation()
        metrics = {name: value for name, value in compared(evaluation).items() if name not in needs.lost}
        if not goes_on(metrics):
            return metrics, list(evaluation.samples)
    staged.measure(staged.parts)
    evaluation = staged.evaluation()
    return compared(evaluation), list(evaluation.samples)
