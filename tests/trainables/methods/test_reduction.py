"""What sums are divided by: the sizes of the whole optimizer batch. Goldens hold what published code divides by."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.batching.rows import Encoded, collate
from trainables.batching.scores import Scores
from trainables.methods import METHODS, Forget
from trainables.methods.reduction import Divisors, Size, forget_term
from trainables.model.scoring import score

ROWS = [Encoded((5, 6, 7, 8), 2), Encoded((5, 6), 1), Encoded((1, 2, 3), 0)]
FORGET, ALTERNATIVE, RETAIN = Size(3, 7, 4, 30, 1.5), Size(3, 5, 2, 20, 2.0), Size(2, 11, 9, 40, 0.5)


class Uniform(torch.nn.Module):
    """A model that gives every token the same probability."""

    def forward(self, input_ids: torch.Tensor, logits_to_keep: torch.Tensor, **_: object) -> object:
        logits = torch.zeros(len(input_ids), len(logits_to_keep), 9)
        return dataclasses.make_dataclass("Output", ["logits"])(logits)


def test_sizes_count_the_tokens_that_are_scored() -> None:
    lengths = score(Uniform(), collate(ROWS, 0)).lengths
    assert lengths.tolist() == [2, 1, 2]
    assert Size.of(ROWS, width=9) == Size(rows=3, tokens=5, tokens_but_first=2, positions=27, inverse=2.0)
    assert Size.of([]) == Size()


@pytest.mark.parametrize(
    ("name", "forget", "retain"),
    [
        ("ga", 7, 0),
        ("ga_rt", 7, 11),
        ("ga_kl", 7, 11),
        ("npo", 3, 0),
        ("npo_kl", 3, 11),
        ("idk_rt", 5, 11),
        ("ce_u", 4, 0),
    ],
)
def test_exact_divisors(name: str, forget: int, retain: int) -> None:
    assert Divisors.exact(METHODS[name], FORGET, ALTERNATIVE, RETAIN) == Divisors(forget, retain)


def test_a_mean_over_no_tokens_is_zero_not_an_error() -> None:
    one_token = Size.of([Encoded((5, 6), 1)])
    assert Divisors.exact(METHODS["ce_u"], one_token, Size(), Size()).forget == 1


@given(st.integers(0, 3))
def test_zero_rows_are_a_valid_part(positions: int) -> None:
    empty = Scores(torch.zeros(0, positions), torch.zeros(0, positions, dtype=torch.bool))
    assert forget_term(METHODS["ga"], Forget(empty), {}, Divisors(7)) == 0


def test_a_divisor_of_nothing_is_refused() -> None:
    scores = Scores(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="must be positive"):
        forget_term(METHODS["ga"], Forget(scores), {}, Divisors(0))
