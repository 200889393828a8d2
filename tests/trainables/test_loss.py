"""The loss of an optimizer step: the same for every way of cutting the batch into micro-batches and workers."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.config import Hyperparameters
from trainables.loss import Counts, step_loss
from trainables.methods import METHODS, Method
from trainables.scores import Encoded, Scores, collate, score

HYPER = Hyperparameters(method="npo", forget_fraction=0.1, learning_rate=1e-5, beta=0.2, retain_weight=1.7)
POSITIONS, VOCABULARY = 6, 9
MAX_ROWS = 6


def features(rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(rows, positions, 4) inputs of a linear model, targets, and a mask with answers of differing lengths."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, POSITIONS, 4, dtype=torch.float64, generator=generator)
    targets = torch.randint(VOCABULARY, (rows, POSITIONS), generator=generator)
    lengths = torch.randint(1, POSITIONS + 1, (rows,), generator=generator)
    return inputs, targets, torch.arange(POSITIONS) < lengths.unsqueeze(-1)


def linear_scores(weight: Tensor, data: tuple[Tensor, Tensor, Tensor]) -> Scores:
    inputs, targets, mask = data
    logits = inputs @ weight
    log_probs = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return Scores(log_probs * mask, mask, logits)


def cuts(rows: int, points: list[int]) -> list[tuple[int, int]]:
    edges = [0, *sorted(min(point, rows) for point in points), rows]
    return list(itertools.pairwise(edges))


def part(data: tuple[Tensor, Tensor, Tensor], start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
    return data[0][start:stop], data[1][start:stop], data[2][start:stop]


def loss_and_gradient(
    method: Method, rows: tuple[int, int], points: tuple[list[int], list[int]]
) -> tuple[float, dict[str, float], Tensor]:
    """Sum of loss, terms and gradient over the parts; each part is scored on its own, as a worker would."""
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(4, VOCABULARY, dtype=torch.float64, generator=generator).requires_grad_()
    frozen = weight.detach() + 0.5 * torch.randn(4, VOCABULARY, dtype=torch.float64, generator=generator)
    forget, retain = features(rows[0], 1), features(rows[1], 2)
    counts = Counts(rows[0], int(forget[2].sum()), int(retain[2].sum()))
    total, terms, gradient = 0.0, dict[str, float](), torch.zeros_like(weight)
    for f, r in zip(cuts(rows[0], points[0]), cuts(rows[1], points[1]), strict=True):
        f_part, r_part = part(forget, *f), part(retain, *r)
        table = linear_scores(frozen, f_part).sequence
        loss, parts = step_loss(
            method,
            linear_scores(weight, f_part),
            linear_scores(weight, r_part),
            table,
            linear_scores(frozen, r_part),
            HYPER,
            counts,
        )
        total += loss.item()
        terms = {name: terms.get(name, 0.0) + value.item() for name, value in parts.items()}
        gradient += torch.autograd.grad(loss, weight)[0]
    return total, terms, gradient


@given(st.data())
@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_any_partition_gives_the_loss_and_gradient_of_the_whole_batch(method: Method, data: st.DataObject) -> None:
    rows = data.draw(st.tuples(st.integers(1, MAX_ROWS), st.integers(1, MAX_ROWS)))
    number = data.draw(st.integers(0, 4))
    points = st.lists(st.integers(0, MAX_ROWS), min_size=number, max_size=number)
    whole = loss_and_gradient(method, rows, ([], []))
    parts = loss_and_gradient(method, rows, (data.draw(points), data.draw(points)))
    assert parts[0] == pytest.approx(whole[0], rel=1e-12, abs=1e-12)
    assert parts[1] == pytest.approx(whole[1], rel=1e-12, abs=1e-12)
    torch.testing.assert_close(parts[2], whole[2], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_loss_is_forget_loss_plus_weighted_retain_loss(method: Method) -> None:
    total, terms, _ = loss_and_gradient(method, (4, 3), ([], []))
    assert ("retain_loss" in terms) == (method.retain != "none")
    assert total == pytest.approx(terms["forget_loss"] + 1.7 * terms.get("retain_loss", 0.0), rel=1e-12)


def test_reductions_are_the_papers() -> None:
    """GA: minus the token-mean cross-entropy. NPO: mean over rows. RT: token-mean cross-entropy."""
    weight = torch.randn(4, VOCABULARY, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    forget, retain = linear_scores(weight, features(4, 1)), linear_scores(weight, features(3, 2))
    counts = Counts(4, int(forget.mask.sum()), int(retain.mask.sum()))

    def cross_entropy(scores: Scores, seed: int, rows: int) -> float:
        assert scores.logits is not None
        targets = features(rows, seed)[1].masked_fill(~scores.mask, -100)
        return torch.nn.functional.cross_entropy(scores.logits.flatten(0, 1), targets.flatten()).item()

    _, ga = step_loss(METHODS["ga_rt"], forget, retain, None, None, HYPER, counts)
    assert ga["forget_loss"].item() == pytest.approx(-cross_entropy(forget, 1, 4), rel=1e-12)
    assert ga["retain_loss"].item() == pytest.approx(cross_entropy(retain, 2, 3), rel=1e-12)
    table = forget.sequence - torch.tensor([0.0, 1.0, -2.0, 3.0])
    _, npo = step_loss(METHODS["npo"], forget, None, table, None, HYPER, counts)
    margins = torch.nn.functional.logsigmoid(0.2 * (table - forget.sequence))
    assert npo["forget_loss"].item() == pytest.approx((-2 / 0.2 * margins).mean().item(), rel=1e-12)


def test_reported_terms_hold_no_graph() -> None:
    scores = linear_scores(torch.zeros(4, VOCABULARY, dtype=torch.float64).requires_grad_(), features(2, 1))
    loss, terms = step_loss(METHODS["ga_kl"], scores, scores, None, scores, HYPER, Counts(2, 5, 5))
    assert loss.requires_grad
    assert not any(term.requires_grad for term in terms.values())


def test_counts_of_encoded_rows_are_what_a_model_is_scored_on() -> None:
    rows = [Encoded((1, 2, 3, 4, 5), 2), Encoded((1, 2), 1), Encoded((3, 4, 5), 0)]

    class Uniform:
        def __call__(self, input_ids: Tensor, logits_to_keep: Tensor, **_: object) -> Uniform:
            self.logits = torch.zeros(len(input_ids), len(logits_to_keep), VOCABULARY)
            return self

    lengths = score(Uniform(), collate(rows, 0)).lengths
    assert Counts.of(rows, rows[:1]) == Counts(3, int(lengths.sum()), int(lengths[0])) == Counts(3, 6, 3)
    assert Counts.of(rows).retain_tokens == 0


def test_what_is_missing_is_said() -> None:
    scores = linear_scores(torch.zeros(4, VOCABULARY, dtype=torch.float64), features(2, 1))
    counts = Counts(2, 5, 5)
    with pytest.raises(ValueError, match="retain None must"):
        step_loss(METHODS["ga_rt"], scores, None, None, None, HYPER, counts)
    with pytest.raises(ValueError, match="retain_reference None must"):
        step_loss(METHODS["ga_kl"], scores, scores, None, None, HYPER, counts)
    with pytest.raises(ValueError, match="retain_tokens 0 must be at least 1"):
        step_loss(METHODS["ga_rt"], scores, scores, None, None, HYPER, Counts(2, 5))
    with pytest.raises(ValueError, match="forget_rows 0 must be at least 1"):
        step_loss(METHODS["npo"], scores, None, scores.sequence, None, HYPER, Counts(0, 5))
