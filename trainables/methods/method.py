"""What a method is: a forget loss, what it needs of the reference, its retain term and its hyper-parameters.

Pure functions of log-probabilities (or logits). Knows nothing of models, batches over workers, or DeepSpeed:
`trainables.loss` sums and divides. Nothing here imports torch; the losses use methods of the tensors they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.config import Hyperparameters
    from trainables.scores import Scores

Reference: TypeAlias = Literal["none", "sequence", "token", "logits"]
"""What a forget loss reads of the frozen target model: nothing, log p(y|x) of every row (the cached table), log-probs
of every answer token, or logits (which take a second model)."""

Reduction: TypeAlias = Literal["sequence", "token"]
"""What the sum over rows is divided by: the rows or the answer tokens of the whole optimizer batch."""

RetainTerm: TypeAlias = Literal["none", "nll", "kl"]

ForgetLoss: TypeAlias = "Callable[[Scores, Scores | Tensor | None, Mapping[str, float]], Tensor]"
"""(scores of the forget rows, reference, values of the hyper-parameters) -> (rows,) what each row adds to the loss."""


@dataclass(frozen=True)
class Hyperparameter:
    """The range worth searching, and the paper's value. A value outside the range is unusual, not wrong."""

    low: float
    high: float
    log: bool
    default: float

    def __post_init__(self) -> None:
        if not self.low <= self.default <= self.high:
            raise ValueError(f"default {self.default} must lie in [{self.low}, {self.high}]; move one of them")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} must be > 0 on a log scale; raise it or set log to False")


RETAIN_WEIGHT = Hyperparameter(low=0.1, high=10.0, log=True, default=1.0)


@dataclass(frozen=True)
class Method:
    """loss = sum(forget_loss) / n_forget + retain_weight * sum(retain term) / (retain tokens), n_forget by `reduction`.

    `hyperparameters` is all that the method has of its own (learning rate and the like belong to every trial); each
    name is a field of `trainables.config.Hyperparameters`. Raises ValueError when `retain_weight` is declared without
    a retain term, or the reverse.
    """

    name: str
    forget_loss: ForgetLoss
    reduction: Reduction
    reference: Reference
    retain: RetainTerm = "none"
    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if ("retain_weight" in self.hyperparameters) != (self.retain != "none"):
            raise ValueError(
                f"{self.name} with retain term {self.retain!r} has hyper-parameters {sorted(self.hyperparameters)}; "
                "retain_weight goes with a retain term: declare both (`with_retain` does) or neither"
            )

    @property
    def needs_reference_model(self) -> bool:
        """Whether the target model itself must be loaded: full distributions are too large to be cached."""
        return self.retain == "kl" or self.reference == "logits"

    @property
    def needs_reference_table(self) -> bool:
        """Whether the cached sequence log-probs of the forget rows are enough (see `trainables.reference`)."""
        return self.reference == "sequence"

    def with_retain(self, name: str, term: RetainTerm, weight: Hyperparameter = RETAIN_WEIGHT) -> Method:
        """The same forget loss beside a retain term."""
        return replace(self, name=name, retain=term, hyperparameters={**self.hyperparameters, "retain_weight": weight})

    def values(self, hyper: Hyperparameters) -> dict[str, float]:
        """The value of each declared hyper-parameter: the trial's, or the default where the trial has None."""
        values: dict[str, float] = {}
        for name, declared in self.hyperparameters.items():
            value: float | None = getattr(hyper, name)
            values[name] = declared.default if value is None else float(value)
        return values


def sequence_log_probs(reference: Scores | Tensor | None, rows: int) -> Tensor:
    """(rows,) log p_ref(y|x), from the table or from a reference model's scores.

    Raises ValueError for None and for any other shape: broadcasting would give a wrong loss silently.
    """
    if reference is None:
        raise ValueError("reference None must be log-probs of the forget rows; pass rows of the reference table")
    table: Tensor = reference.sequence if hasattr(reference, "sequence") else reference
    if tuple(table.shape) != (rows,):
        raise ValueError(f"reference of shape {tuple(table.shape)} must be ({rows},); pass one log-prob per forget row")
    return table.detach()


def log_sigmoid(x: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))), exact at both ends."""
    return -(-x).logaddexp(x.new_zeros(()))
