"""A whole evaluation: metrics, rows and sample texts. `dataclasses.asdict` writes its JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainables.evaluation.metrics.details import Details


@dataclass(frozen=True)
class Evaluation:
    """Plain values that JSON can hold (NaN as Python writes it).

    `metrics`: `summary.summarise(details)`, harness tasks and `eval_seconds`. `details`: every set, row by row.
    `samples`: set, question, answer and generated text of the first rows of the forget and the retain set.
    """

    metrics: dict[str, float]
    details: Details
    samples: Sequence[dict[str, str]]
