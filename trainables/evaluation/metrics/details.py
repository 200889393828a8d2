"""What an evaluation measured, row by row: one form for live evaluations, baselines and published logs.

Plain values that JSON can hold. Every metric is computed from these in `summary`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from trainables.data.rows import Role

Numbers: TypeAlias = Sequence[float]


@dataclass(frozen=True)
class SetDetails:
    """One evaluation set; every sequence has one value per row, in row order. None or absent: not measured.

    `loss`, `paraphrase_loss`, `perturbed_losses` (rows, k): mean negative log-likelihood per answer token (nats, end of
    sequence included) of the answer, the paraphrased answer and each wrong answer. `rouge_1_recall`, `rouge_l_recall`,
    `rouge_l_f1`: of `generated` against the answer. `extraction_strength`, `exact_memorization`: in [0, 1], end of
    sequence excluded. `attacks`: membership scores by attack (`loss`, `zlib`, `min_k`, `min_k_plus_plus`, `gradnorm`),
    lower for training data. `tokens`: answer tokens, end included.
    """

    role: Role
    multiple_choice: bool = False
    rouge: str = "recall"
    loss: Numbers | None = None
    tokens: Sequence[int] | None = None
    paraphrase_loss: Numbers | None = None
    perturbed_losses: Sequence[Numbers] | None = None
    rouge_1_recall: Numbers | None = None
    rouge_l_recall: Numbers | None = None
    rouge_l_f1: Numbers | None = None
    generated: Sequence[str] | None = None
    extraction_strength: Numbers | None = None
    exact_memorization: Numbers | None = None
    attacks: Mapping[str, Numbers] = field(default_factory=dict)


Details: TypeAlias = Mapping[str, SetDetails]
"""By set name: `forget`, `retain`, and any others of the benchmark."""
