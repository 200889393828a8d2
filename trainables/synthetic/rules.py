"""Which methods and options the synthetic experiment supports. Loads no torch."""

from __future__ import annotations

from trainables.config import BenchmarkConfig
from trainables.methods import METHODS, Method

STEPS_PER_EPOCH = 25
"""The paper measures every 25 steps."""

ALPHA = 1.0
"""The paper uses this and 0."""


def alpha_of(benchmark: BenchmarkConfig) -> float:
    """The distance of forget and retain inputs from 0."""
    return ALPHA if benchmark.alpha is None else benchmark.alpha


def method_problem(name: str) -> str | None:
    """Why a known method cannot run on two labels by plain gradient descent (rule; fix), or None."""
    reason = _misfit(METHODS[name])
    return None if reason is None else f"{reason}; choose from {', '.join(possible_methods())}"


def possible_methods() -> list[str]:
    """Names of the supported methods, in the order of their declaration."""
    return [name for name, method in METHODS.items() if _misfit(method) is None]


def _misfit(method: Method) -> str | None:
    if method.line is not None or method.needs_whole_gradients or method.multiplier is not None:
        return "needs more than the gradient of a loss, and the synthetic experiment only does gradient descent"
    if method.needs_hidden or method.retain == "hidden":
        return "reads hidden states, and those of the synthetic model are fixed"
    if method.alternative == "generated":
        return "needs answers that the target model generates, and the synthetic experiment has only two labels"
    if method.name == "ce_u":
        return "leaves out the first token of an answer, and synthetic answers have only one"
    return None
