"""What the tests of losses draw: seeds of cases, and values of hyper-parameters."""

from __future__ import annotations

from hypothesis import strategies as st

from trainables.methods import METHODS, Method

seeds = st.integers(0, 2**32 - 1)
names = sorted(METHODS)


@st.composite
def values_of(draw: st.DrawFn, method: Method) -> dict[str, float]:
    """Values of all hyper-parameters within the declared ranges."""
    return {name: draw(st.floats(each.low, each.high)) for name, each in method.hyperparameters.items()}
