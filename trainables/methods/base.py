"""What a method is: a forget loss, the inputs it needs, a retain term and hyper-parameters.

A loss is a pure function of log-probabilities (or logits, or hidden states): see `npo.py` for the shortest example.
`trainables.methods.reduction` sums over rows and divides. This package depends on no model, and importing it loads no
torch: losses call methods of the tensors they are given.
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
logits (a second model in memory)."""

Alternative: TypeAlias = Literal["none", "refusal", "generated"]
"""Other answers to the forget questions: none, refusals ("I don't know."), or what the target model generates."""

Reduction: TypeAlias = Literal[
    "rows", "tokens", "tokens_but_first", "alternative_tokens", "positions", "rows_by_length"
]
"""What the sum over the rows of the whole optimizer batch is divided by.

`rows`: their number. `tokens`: answer tokens. `tokens_but_first`: answer tokens except the first of each answer.
`alternative_tokens`: tokens of the alternative answers. Two occur in published code only: `positions`, all positions
including prompt and padding; and `rows_by_length`, rows / mean(1 / answer tokens), which gives
mean(sums of rows) * mean(1 / answer tokens).
"""

RetainTerm: TypeAlias = Literal["none", "nll", "kl", "hidden", "preference"]

Values: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Published:
    """How a published code base counts the tokens of a loss, if it differs from this one.

    `everywhere`: all positions, prompt and padding too. `later`: one position later, where the answer's tokens are read
    instead of predicted. `reduction`: what the sum is divided by.
    """

    reduction: Reduction
    everywhere: bool = False
    later: bool = False


@dataclass(frozen=True)
class Forget:
    """The inputs of a forget loss, one row per answer to forget. Inputs that the method did not declare are None.

    `model`: scores of the answers under the model in training. `reference`: the same under the frozen target model
    (log-probs only, or logits too). `alternative`, `alternative_reference`: scores of the other answers to the same
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
    """The inputs of a retain term, one row per answer to keep; `reference` and `alternative` as in `Forget`."""

    model: Scores
    reference: Scores | None = None
    alternative: Scores | None = None


ForgetLoss: TypeAlias = Callable[[Forget, Values], "Tensor"]
"""(inputs, hyper-parameter values) -> (rows,) loss of each row, nats."""


@dataclass(frozen=True)
class Products:
    """Squared lengths of the gradients of forget loss and (unweighted) retain term, and their inner product."""

    forget: float
    retain: float
    inner: float


Combine: TypeAlias = Callable[[Products, Values], tuple[float, float]]
"""-> (a, b): the step's gradient is a * forget gradient + b * retain gradient."""

Multiplier: TypeAlias = Callable[[float, float, Values], float]
"""(current retain weight, retain loss of the whole step, values) -> retain weight of the next step."""

Line: TypeAlias = Callable[[float, Values], float]
"""(share of the trial's epochs that are over, values) -> factor of the movement from the target model's weights."""


@dataclass(frozen=True)
class Hyperparameter:
    """A number of a method: the range worth searching, the paper's value, and the values that are possible at all.

    Values outside `low` to `high` are unusual, not wrong. Wrong are those that are not > `gt`, >= `ge` or <= `le`,
    fractions where `whole` is set, and, if `choices` are given, all others. `about`: what it means, in a few words.
    """

    low: float
    high: float
    log: bool
    default: float
    whole: bool = False
    gt: float | None = None
    ge: float | None = None
    le: float | None = None
    choices: tuple[float, ...] = ()
    about: str = ""

    @classmethod
    def one_of(cls, *choices: float, default: float, about: str = "") -> Hyperparameter:
        """One of a few numbers."""
        whole = all(isinstance(each, int) for each in choices)
        return cls(min(choices), max(choices), False, default, whole=whole, choices=choices, about=about)

    def __post_init__(self) -> None:
        if not self.low <= self.default <= self.high:
            raise ValueError(f"default {self.default} must lie in [{self.low}, {self.high}]; move one of them")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} must be > 0 on a log scale; raise it or set log to False")
        for value in (self.low, self.default, self.high):
            if (reason := self.refusal(value)) is not None:
                raise ValueError(f"{value} {reason}; low, default and high must be possible values")

    def refusal(self, value: float) -> str | None:
        """Why the number is no possible value (`must be > 0`), or None."""
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(f'{each:g}' for each in self.choices)}"
        if self.whole and value != int(value):
            return "must be a whole number"
        if self.gt is not None and not value > self.gt:
            return f"must be > {self.gt:g}"
        if self.ge is not None and not value >= self.ge:
            return f"must be >= {self.ge:g}"
        if self.le is not None and not value <= self.le:
            return f"must be <= {self.le:g}"
        return None


RETAIN_WEIGHT = Hyperparameter(low=0.1, high=10.0, log=True, default=1.0, ge=0)
FIT_EPOCHS = Hyperparameter(
    low=1, high=20, log=True, default=5, whole=True, ge=1, about="epochs of training before the line"
)
BETA = Hyperparameter(low=0.01, high=1.0, log=True, default=0.1, gt=0)
"""The inverse temperature of losses on the log-ratio of whole answers (NPO, DPO, KTO)."""


@dataclass(frozen=True)
class Method:
    """loss = sum(forget_loss) / n_forget + retain_weight * sum(retain term) / n_retain, n_forget by `reduction`.

    `source`: the paper, as "Authors year, arXiv number, equation". `hyperparameters`: the method's own (every trial has
    those of `trainables.config.Hyperparameters`, such as a learning rate). `needs_logits`,
    `needs_hidden`: what `forget_loss` reads of `Forget.model`. `statistic`: (rows,) values; `forget_loss` gets their
    mean over the whole optimizer batch, without gradient. `combine`: replaces loss = forget + weight * retain
    (gradient-level methods). `worst_nearby`: the forget gradient is taken at the weights within `radius` where the loss
    is largest. `multiplier`: updates the retain weight after each step. `line`: the losses train for
    `fit_epochs` epochs before the trial's first one; each epoch then evaluates theta + line * (trained - theta).
    `published`: code bases that count the forget loss's tokens differently.

    Raises ValueError if `retain_weight` is declared without a retain term, or a retain term without it.
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
    line: Line | None = None
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
        """Whether the target model must be in memory: logits and hidden states are too large to cache."""
        return self.retain in ("kl", "hidden") or self.reference == "logits"

    @property
    def needs_reference_table(self) -> bool:
        """Whether cached log-probs of the forget rows and their alternatives are enough."""
        return self.reference == "log_probs"

    @property
    def needs_whole_gradients(self) -> bool:
        """Whether every worker must hold whole gradients and weights, which rules out ZeRO stage 3."""
        return self.combine is not None or self.worst_nearby or self.line is not None

    def with_retain(self, name: str, term: RetainTerm, weight: Hyperparameter = RETAIN_WEIGHT) -> Method:
        """The same forget loss with a retain term added."""
        return replace(self, name=name, retain=term, hyperparameters={**self.hyperparameters, "retain_weight": weight})

    def on_line(self, name: str, line: Line, source: str, **hyperparameters: Hyperparameter) -> Method:
        """This method as training, followed by points on the line through the target model and its result.

        `hyperparameters`: `fit_epochs` and what `line` reads, added to this method's own.
        """
        own = {**self.hyperparameters, **hyperparameters}
        return replace(self, name=name, line=line, source=source, hyperparameters=own)

    def values(self, hyper: Hyperparameters) -> dict[str, float]:
        """The value of each declared hyper-parameter: the trial's, or the default if the trial has None."""
        values: dict[str, float] = {}
        for name, declared in self.hyperparameters.items():
            values[name] = float(hyper.own.get(name, declared.default))
        return values


def require(scores: Scores | None, what: str) -> Scores:
    """`scores`, which the method declared. Raises ValueError for None: a wiring error, never a user's."""
    if scores is None:
        raise ValueError(f"{what} None must be scores: the method reads them; declare what it needs and pass it")
    return scores


def log_ratio(model: Scores, reference: Scores | None) -> Tensor:
    """(rows,) log( p(y|x) / p_ref(y|x) ).

    Raises ValueError for None and for a shape that differs from the model's, which would broadcast to a wrong loss.
    """
    frozen = require(reference, "reference").sequence.detach()
    rows = model.sequence
    if frozen.shape != rows.shape:
        raise ValueError(
            f"reference of shape {tuple(frozen.shape)} must be {tuple(rows.shape)}; pass one log-prob per row"
        )
    return rows - frozen


def log_sigmoid(x: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))), exact at both ends."""
    return -(-x).logaddexp(x.new_zeros(()))
