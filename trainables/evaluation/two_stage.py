"""An evaluation that goes only as deep as it must: what a decision needs, and the rest of those that go on.

Knows neither which metrics decide nor who goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from trainables.evaluation.evaluate import StagedEvaluation
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.needs import Needs


def examined(
    examination: StagedEvaluation,
    compared: Callable[[Evaluation], dict[str, float]],
    needs: Needs | None,
    goes_on: Callable[[dict[str, float]], bool],
) -> tuple[dict[str, float], list[dict[str, str]]]:
    """Metrics and samples: whole (`needs` None), or of what `needs` asks for unless that `goes_on`.

    `compared` makes all metrics of an evaluation. What the needed parts do not give truly is left out, so that a metric
    that is there has the value that a whole evaluation gives it.
    """
    if needs is not None and needs.parts != examination.parts:
        examination.measure(needs.parts)
        evaluation = examination.evaluation()
        metrics = {name: value for name, value in compared(evaluation).items() if name not in needs.lost}
        if not goes_on(metrics):
            return metrics, list(evaluation.samples)
    examination.measure(examination.parts)
    evaluation = examination.evaluation()
    return compared(evaluation), list(evaluation.samples)
