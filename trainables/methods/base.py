"""What a method is: a forget loss, what it needs beside the model, its retain term and its hyper-parameters.

Pure functions of log-probabilities (or logits, or hidden states). Knows nothing of models, batches over workers, or
DeepSpeed: `trainables.methods.reduction` sums and divides. Nothing here imports torch; losses use methods of
the tensors they get.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.batching.scores import Scores
    from trainables.config import Compat, Hyperparameters

Reference: TypeAlias = Literal["none", "log_probs", "logits"]
"""What a forget loss reads of the frozen target model: nothing, log-probs of the answer tokens (a cached table), or
logits (which take a second model)."""

Alternative: TypeAlias = Literal["none", "refusal", "generated"]
"""Other answers to the forgotten questions: none, refusals ("I don't know."), or what the target model makes up."""

Reduction: TypeAlias = Literal[
    "rows", "tokens", "tokens_but_first", "alternative_tokens", "positions", "rows_by_length"
]
"""What the sum over rows is divided by, of the whole optimizer batch: the rows, the answer tokens, those but the first
of each answer, or the tokens of the alternative answers. Only in published code: all positions with prompt and padding;
or the rows over the mean of 1 / answer tokens, which gives mean(sums of rows) * mean(1 / answer tokens)."""

RetainTerm: TypeAlias = Literal["none", "nll", "kl", "hidden", "preference"]

Values: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Published:
    """How a published code base counts the tokens of a loss, where it is not as here.

    `everywhere`: all positions, prompt and padding too. `later`: one position later, where the tokens of the answer are
    read instead of predicted. `reduction`: what the sum is divided by.
    """

    reduction: Reduction
    everywhere: bool = False
    later: bool = False


@dataclass(frozen=True)
class Forget:
    """What a forget loss may read, one row an answer that must go. A part that the method did not declare is None.

    `model`: scores of the answers under the model in training. `reference`: the same under the frozen target model
    (only log-probs, or logits too). `alternative`, `alternative_reference`: scores of the other answers to the same
    questions. `statistic`: scalar, the mean of `Method.statistic` over the whole optimizer batch. `seed`: the trial's.
    """

    model: Scores
    reference: Scores | None = None
    alternative: Scores | None = None
    alternative_reference: Scores | None = None
    statistic: Tensor | None = None
    seed: int = 0


@dataclass(frozen=True)
class Retain:
    """What a retain term may read, one row an answer that must stay; `reference` and `alternative` as in `Forget`."""

    model: Scores
    reference: Scores | None = None
    alternative: Scores | None = None


ForgetLoss: TypeAlias = Callable[[Forget, Values], "Tensor"]
"""-> (rows,) what each row adds to the loss, nats."""


@dataclass(frozen=True)
class Products:
    """Squared lengths of the gradients of forget loss and (unweighted) retain term, and their inner product."""

    forget: float
    retain: float
    both: float


Combine: TypeAlias = Callable[[Products, Values], tuple[float, float]]
"""-> (a, b): the step's gradient is a * forget gradient + b * retain gradient."""

Multiplier: TypeAlias = Callable[[float, float, Values], float]
"""(retain weight now, retain loss of the whole step, values) -> retain weight of the next step."""


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
    """loss = sum(forget_loss) / n_forget + retain_weight * sum(retain term) / n_retain, n_forget by `reduction`.

    `source`: the paper, as "Authors year, arXiv number, equation". `hyperparameters` is all that the method has of its
    own (learning rate and the like belong to every trial); each name is a field of
    `trainables.config.Hyperparameters`. `needs_logits`, `needs_hidden`: what `forget_loss` reads of `Forget.model`.
    `statistic`: (rows,) values whose mean over the whole optimizer batch `forget_loss` is given, without gradient.
    `combine`: takes the place of loss = forget + weight * retain (gradient-level methods). `worst_nearby`: the forget
    gradient is taken at the weights, at most `radius` away, where the loss is largest. `multiplier`: the retain weight
    moves from step to step. `task_vector`: no unlearning loop; `forget_loss` fits the vector that is subtracted.
    `published`: code bases that count the tokens of the forget loss otherwise.

    Raises ValueError when `retain_weight` is declared without a retain term, or the reverse.
    """

    name: str
    forget_loss: ForgetLoss
    reduction: Reduction
    source: str
    reference: Reference = "none"
    alternative: Alternative = "none"
    retain: RetainTerm = "none"
    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)
    needs_logits: bool = False
    needs_hidden: bool = False
    statistic: ForgetLoss | None = None
    combine: Combine | None = None
    worst_nearby: bool = False
    multiplier: Multiplier | None = None
    task_vector: bool = False
    published: Mapping[Compat, Published] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.combine is not None or self.worst_nearby) and self.retain == "none":
            raise ValueError(f"{self.name} works on two gradients; declare the retain term that gives the second")
        weighted = self.retain != "none" and self.combine is None
        if ("retain_weight" in self.hyperparameters) != weighted:
            raise ValueError(
                f"{self.name} with retain term {self.retain!r} has hyper-parameters {sorted(self.hyperparameters)}; "
                "retain_weight goes with a retain term: declare both (`with_retain` does) or neither"
            )

    @property
    def needs_reference_model(self) -> bool:
        """Whether the target model itself must be loaded: distributions and hidden states are too large to cache."""
        return self.retain in ("kl", "hidden") or self.reference == "logits"

    @property
    def needs_reference_table(self) -> bool:
        """Whether the cached log-probs of the forget rows (and of their alternatives) are enough."""
        return self.reference == "log_probs"

    @property
    def needs_whole_gradients(self) -> bool:
        """Whether every worker must hold whole gradients and weights, which ZeRO stage 3 does not give."""
        return self.combine is not None or self.worst_nearby or self.task_vector

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


def given(scores: Scores | None, what: str) -> Scores:
    """`scores`, which the method declared. Raises ValueError for None: a wiring error, never a user's."""
    if scores is None:
        raise ValueError(f"{what} None must be scores: the method reads them; declare what it needs and pass it")
    return scores


def log_ratio(model: Scores, reference: Scores | None) -> Tensor:
    """(rows,) log( p(y|x) / p_ref(y|x) ).

    Raises ValueError for None and for other rows than the model's: broadcasting would give a wrong loss silently.
    """
    frozen = given(reference, "reference").sequence.detach()
    rows = model.sequence
    if frozen.shape != rows.shape:
        raise ValueError(
            f"reference of shape {tuple(frozen.shape)} must be {tuple(rows.shape)}; pass one log-prob per row"
        )
    return rows - frozen


def log_sigmoid(x: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))), exact at both ends."""
    return -(-x).logaddexp(x.new_zeros(()))
