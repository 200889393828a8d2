"""Did it forget? One verdict on a checkpoint, from its metrics and the target model's. Pure, loads no torch.

A p-value alone is not a verdict: a model that answers every forget question with one repeated word can have p = 0.7.
So a checkpoint is compared with the retain model, which never saw the forget set, on both sides: what it still knows,
and what shows over-forgetting. These comparisons are metrics of `summary.compare`.
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
"""The p-values that a verdict uses; the first available one counts."""

FORGOTTEN = VerdictConfig().p
"""A forget quality above it counts as forgotten, unless a sweep file sets another limit."""


@dataclass(frozen=True)
class Verdict:
    """`reasons`: one clause each, the most important first."""

    name: Name
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class Ceiling:
    """A metric that exceeds `high` in over-forgotten models. `text`: the reason, with a placeholder for the value."""

    metric: str
    high: float
    text: str


def ceilings(limits: VerdictConfig) -> tuple[Ceiling, ...]:
    """The limits above which a model is over-forgotten."""
    return (
        Ceiling("privleak", limits.privleak, "its losses are too high compared with unseen text (PrivLeak {:+.0f}%)"),
        Ceiling("loss_shift", limits.loss_shift, "its losses are above the retain model's (shift {:+.2f})"),
        Ceiling("stammer_excess", limits.stammer, "its answers repeat themselves ({:+.2f} repeated word pairs)"),
        Ceiling("gibberish_excess", limits.gibberish, "its answers are gibberish ({:+.2f})"),
        Ceiling("length_excess", math.log(limits.length), "its answers differ in length (log ratio {:.2f})"),
    )


def verdict(metrics: Metrics, target: Metrics, limits: VerdictConfig) -> Verdict:
    """`metrics`: the checkpoint's, from `summary.compare`; `target`: the target model's, before unlearning.

    "cannot say" if utility was not measured, no test was possible, or the test cannot tell even the target model from
    the retain model; "damaged" if too little utility is left, or NaN. Signs of forgetting too much come before signs of
    forgetting too little.
    """
    quality = next((name for name in QUALITIES if math.isfinite(_p(metrics, name))), None)
    utility = number(metrics, "utility_ratio")
    if "utility_ratio" not in metrics:
        return Verdict("cannot say", ("utility was not measured",))
    if not utility >= limits.utility:
        kept = "its utility is not a number" if math.isnan(utility) else f"{utility:.0%} of the utility is left"
        return Verdict("damaged", (f"{kept} (needs {limits.utility:.0%})",))
    if quality is None:
        return Verdict("cannot say", ("no metric compares it with a retain model",))
    if _p(target, quality) > limits.p:
        rule = f"the test cannot tell the target model from the retain model (p = {_p(target, quality):.2g})"
        return Verdict("cannot say", (f"{rule}: too few rows",))
    too_much, too_little = tuple(_over_forgotten(metrics, limits)), tuple(_still_known(metrics, quality, limits))
    if too_much or too_little:
        return Verdict("over-forgotten" if too_much else "not forgotten", too_much or too_little)
    return Verdict("forgotten", (f"p = {_p(metrics, quality):.2g}, {utility:.0%} of the utility",))


def _over_forgotten(metrics: Metrics, limits: VerdictConfig) -> Iterator[str]:
    for ceiling in ceilings(limits):
        value = number(metrics, ceiling.metric)
        if value > ceiling.high:
            yield ceiling.text.format(value)


def _still_known(metrics: Metrics, quality: str, limits: VerdictConfig) -> Iterator[str]:
    p, leak, shift = _p(metrics, quality), number(metrics, "privleak"), number(metrics, "loss_shift")
    if not p > limits.p:
        yield f"p = {p:.2g} (needs > {limits.p:g})"
    if leak < -limits.privleak:
        yield f"membership inference still detects it (PrivLeak {leak:+.0f}%)"
    if shift < -limits.loss_shift:
        yield f"its losses are below the retain model's (shift {shift:+.2f})"
    recovered = number(metrics, "audit_worst_forget_rouge_excess")
    if recovered > limits.audit:
        yield f"an attack recovers {recovered:.0%} more of it than from the retain model"


def _p(metrics: Metrics, quality: str) -> float:
    """The p-value; from its logarithm if only that was recorded."""
    p = number(metrics, quality)
    return 10 ** number(metrics, f"log10_{quality}") if math.isnan(p) else p
