"""Inputs, labels and models of the synthetic experiment are the paper's; seeds are independent."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.batching.scores import Scores
from trainables.synthetic.data import FEATURES, FORGET_ROWS, RETAIN_ROWS, draw, forget_rows
from trainables.synthetic.model import Yardstick, divergence, logits, score


def share_of_class_one(seeds: range, part: str) -> float:
    problems = draw(1.0, list(seeds))
    rows = problems.forget if part == "forget" else problems.retain
    return float(rows.labels.to(torch.float64).mean())


def test_labels_follow_the_paper_and_do_not_depend_on_alpha() -> None:
    """P(usual label) = E[sigmoid(1 + u)], u ~ N(0, 1): 0.697. Forget rows usually have class 1, retain rows class 0."""
    u = np.random.default_rng(0).standard_normal(1_000_000)
    usual = float((1 / (1 + np.exp(-1 - u))).mean())
    assert share_of_class_one(range(40), "forget") == pytest.approx(usual, abs=0.02)
    assert share_of_class_one(range(10), "retain") == pytest.approx(1 - usual, abs=0.02)
    near, far = draw(0.0, [3]), draw(1.0, [3])
    assert torch.equal(near.forget.labels, far.forget.labels)
    assert torch.equal(near.retain.refusals, far.retain.refusals)


def test_alpha_moves_forget_and_retain_inputs_apart() -> None:
    """relu(w.x) over w ~ N(0, I/16) has the mean |x| / (4 sqrt(2 pi)), and |x|^2 is 16 (alpha^2 + 1) on average."""
    for alpha in (0.0, 1.0):
        problems = draw(alpha, list(range(20)))
        expected = math.sqrt((alpha**2 + 1) / (2 * math.pi))
        for features in (problems.forget_evaluation, problems.retain_evaluation):
            assert float(features.mean()) == pytest.approx(expected, rel=0.05)
    apart = draw(1.0, [0])
    together = draw(0.0, [0])

    def distance(features: torch.Tensor, others: torch.Tensor) -> float:
        return float((features.mean(1) - others.mean(1)).norm())

    assert distance(apart.forget_evaluation, apart.retain_evaluation) > 5
    assert distance(together.forget_evaluation, together.retain_evaluation) < 0.5


def test_a_seed_gives_the_same_problem_alone_and_among_others() -> None:
    alone, among = draw(1.0, [2000]), draw(1.0, [1000, 2000])
    assert torch.equal(alone.retain.features[0], among.retain.features[1])
    assert torch.equal(alone.forget.labels[0], among.forget.labels[1])
    assert not torch.equal(among.projection[0], among.projection[1])


@pytest.mark.parametrize(("fraction", "count"), [(1.0, 200), (0.5, 100), (0.001, 1)])
def test_a_fraction_forgets_the_last_rows_and_retains_the_others(fraction: float, count: int) -> None:
    whole, part = draw(1.0, [7]), draw(1.0, [7], fraction)
    assert part.forget.labels.shape[1] == forget_rows(fraction) == count
    assert torch.equal(part.forget.features, whole.forget.features[:, -count:])
    assert part.retain.labels.shape[1] == RETAIN_ROWS + FORGET_ROWS - count
    assert torch.equal(part.retain.labels[:, RETAIN_ROWS:], whole.forget.labels[:, : FORGET_ROWS - count])
    assert torch.equal(part.forget_evaluation, whole.forget_evaluation)


def test_scores_are_log_probabilities_of_one_token() -> None:
    problems = draw(1.0, [1, 2])
    weights = torch.randn(2, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seen = score(logits(problems.forget.features, weights), problems.forget.labels)
    assert isinstance(seen, Scores)
    assert seen.lengths.tolist() == [1] * (2 * FORGET_ROWS)
    first = torch.einsum("srn,sn->sr", problems.forget.features, weights)
    odds = torch.where(problems.forget.labels == 0, first, -first)
    torch.testing.assert_close(seen.sequence, odds.sigmoid().log().flatten(), rtol=1e-12, atol=1e-12)


def test_divergence_is_that_of_bernoulli_variables() -> None:
    p, q = torch.tensor([[0.2, 0.9]], dtype=torch.float64), torch.tensor([[0.4, 0.9]], dtype=torch.float64)

    def as_logits(probability: torch.Tensor) -> torch.Tensor:
        return torch.stack([probability.logit(), torch.zeros_like(probability)], -1)

    expected = (0.2 * math.log(0.2 / 0.4) + 0.8 * math.log(0.8 / 0.6)) / 2
    assert float(divergence(as_logits(p), as_logits(q))) == pytest.approx(expected, rel=1e-12)


def test_the_yardstick_is_0_for_the_models_it_compares_with() -> None:
    problems = draw(1.0, [1, 2])
    target, retain = (torch.full((2, FEATURES), value, dtype=torch.float64) for value in (0.01, -0.02))
    yardstick = Yardstick(problems, target, retain)
    of_retain, of_target = yardstick.measure(retain), yardstick.measure(target)
    assert of_retain.forget_kl.tolist() == of_retain.retain_kl.tolist() == [0.0, 0.0]
    assert of_target.utility_ratio.tolist() == [1.0, 1.0]
    assert of_target.weight_drift.tolist() == of_target.forget_kl_to_target.tolist() == [0.0, 0.0]
    assert (of_retain.utility_ratio > 1).all()
    assert float(of_retain.weight_drift[0]) == pytest.approx(0.03 * math.sqrt(FEATURES))
    assert of_retain.of(1)["weight_drift"] == pytest.approx(of_retain.means()["weight_drift"])
