"""Did it forget? One verdict on a checkpoint, from its metrics and the target model's. Pure, loads no torch.

A p-value alone is no verdict: a model that answers every forgotten question with one repeated word can have p = 0.7.
So the retain model, which never saw what must go, is the measure on both sides: what is still known, and what was
forgotten so hard that it shows. All comparisons with it are metrics already (`summary.compare`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from trainables.config import VerdictConfig
from trainables.evaluation.metrics.catalog import number

Name = Literal["forgotten", "not forgotten", "over-forgotten", "damaged", "cannot say"]
NAMES: tuple[Name, ...] = get_args(Name)
Metrics = Mapping[str, Any]

QUALITIES = ("forget_quality", "loss_quality")
"""The p-values that a verdict is about; the first that there is counts."""

FORGOTTEN = VerdictConfig().p
"""A forget quality above it passes for forgotten, where a sweep file does not say otherwise."""


@dataclass(frozen=True)
class Verdict:
    """`reasons`: why, one clause each, the weightiest first."""

    name: Name
    reasons: tuple[str, ...]

    @property
    def forgotten(self) -> bool:
        return self.name == "forgotten"

    def __str__(self) -> str:
        return f"{self.name}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class Ceiling:
    """A metric that is above `high` where a model was made to forget so hard that it can be told by it."""

    metric: str
    high: float
    text: str


def ceilings(limits: VerdictConfig) -> tuple[Ceiling, ...]:
    """What shows that too much was forgotten. `text` has a place for the value."""
    return (
        Ceiling("privleak", limits.privleak, "its losses are too high beside unseen text (PrivLeak {:+.0f}%)"),
        Ceiling("loss_shift", limits.loss_shift, "its losses are above the retain model's (shift {:+.2f})"),
        Ceiling("stammer_excess", limits.stammer, "its answers stammer ({:+.2f} repeated word pairs)"),
        Ceiling("gibberish_excess", limits.gibberish, "its answers are gibberish ({:+.2f})"),
        Ceiling("length_excess", math.log(limits.length), "its answers are of another length (log ratio {:.2f})"),
    )


def verdict(metrics: Metrics, target: Metrics, limits: VerdictConfig) -> Verdict:
    """`metrics` of the checkpoint, compared with the retain model's; `target`: the untouched target model's.

    Damaged where too little utility is left, or NaN. Cannot say where utility was not measured, where there is no test,
    or where the test does not even tell the target model from the retain model. Then what shows too much is looked
    for, and after it what shows too little.
    """
    quality = next((name for name in QUALITIES if math.isfinite(_p(metrics, name))), None)
    utility = number(metrics, "utility_ratio")
    if "utility_ratio" not in metrics:
        return Verdict("cannot say", ("no utility was measured",))
    if not utility >= limits.utility:
        kept = "its utility is not a number" if math.isnan(utility) else f"{utility:.0%} of the utility is left"
        return Verdict("damaged", (f"{kept} (needs {limits.utility:.0%})",))
    if quality is None:
        return Verdict("cannot say", ("nothing compares it with a retain model",))
    if _p(target, quality) > limits.p:
        rule = f"the test does not tell the target model from the retain model (p = {_p(target, quality):.2g})"
        return Verdict("cannot say", (f"{rule}: too few rows",))
    sides: tuple[tuple[Name, Iterator[str]], ...] = (
        ("over-forgotten", _above(metrics, limits)),
        ("not forgotten", _below(metrics, quality, limits)),
    )
    for name, reasons in sides:
        if found := tuple(reasons):
            return Verdict(name, found)
    return Verdict("forgotten", (f"p = {_p(metrics, quality):.2g}, {utility:.0%} of the utility",))


def _above(metrics: Metrics, limits: VerdictConfig) -> Iterator[str]:
    for ceiling in ceilings(limits):
        value = number(metrics, ceiling.metric)
        if value > ceiling.high:
            yield ceiling.text.format(value)


def _below(metrics: Metrics, quality: str, limits: VerdictConfig) -> Iterator[str]:
    p, leak, shift = _p(metrics, quality), number(metrics, "privleak"), number(metrics, "loss_shift")
    if not p > limits.p:
        yield f"p = {p:.2g} (needs > {limits.p:g})"
    if leak < -limits.privleak:
        yield f"membership inference still tells it (PrivLeak {leak:+.0f}%)"
    if shift < -limits.loss_shift:
        yield f"its losses are below the retain model's (shift {shift:+.2f})"
    back = number(metrics, "audit_worst_forget_rouge_excess")
    if back > limits.audit:
        yield f"an attack brings back {back:.0%} more of it than from the retain model"


def _p(metrics: Metrics, quality: str) -> float:
    """The p-value, from its logarithm if it was not recorded itself."""
    p = number(metrics, quality)
    return 10 ** number(metrics, f"log10_{quality}") if math.isnan(p) else p
