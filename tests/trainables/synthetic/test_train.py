"""A step follows the gradient of the paper's loss, seeds are independent, every supported method runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from trainables.config import Hyperparameters
from trainables.methods import METHODS
from trainables.synthetic.data import FEATURES, Problems, draw
from trainables.synthetic.rules import method_problem, possible_methods
from trainables.synthetic.train import Unlearning

Array = npt.NDArray[np.float64]
RATE = 0.01
BETA = 0.5


def hyper(method: str) -> Hyperparameters:
    return Hyperparameters(method=method, forget_fraction=1.0, learning_rate=RATE, beta=BETA)


def some_weights(seeds: int, number: int) -> torch.Tensor:
    noise = torch.randn(seeds, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(number))
    return 0.1 * noise


def moved(problems: Problems, method: str, target: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """The weights after one step from `at`, when the target model is `target`."""
    unlearning = Unlearning(problems, target, hyper(method))
    with torch.no_grad():
        unlearning.weights.copy_(at)
    unlearning.step()
    return unlearning.weights.detach()


class Plain:
    """The losses of one seed, written from the equations with numpy; gradients by central differences."""

    def __init__(self, problems: Problems, target: torch.Tensor) -> None:
        self.forget, self.retain = problems.forget.features[0].numpy(), problems.retain.features[0].numpy()
        self.y, self.idk = problems.forget.labels[0].numpy(), problems.forget.refusals[0].numpy()
        self.y_retain, self.target = problems.retain.labels[0].numpy(), target[0].numpy()

    @staticmethod
    def lp(x: Array, y: npt.NDArray[np.int64], a: Array) -> Array:
        """log p(y|x)."""
        odds = x @ a
        return -np.logaddexp(0.0, np.where(y == 0, -odds, odds))

    def ratio(self, y: npt.NDArray[np.int64], a: Array) -> Array:
        return self.lp(self.forget, y, a) - self.lp(self.forget, y, self.target)

    def loss(self, method: str, a: Array, anchor: float) -> float:
        base, _, term = method.partition("_")
        value = {
            "ga": lambda: self.lp(self.forget, self.y, a).mean(),
            "idk": lambda: -self.lp(self.forget, self.idk, a).mean(),
            "npo": lambda: 2 / BETA * np.logaddexp(0.0, BETA * self.ratio(self.y, a)).mean(),
            "dpo": lambda: (
                2 / BETA * np.logaddexp(0.0, -BETA * (self.ratio(self.idk, a) - self.ratio(self.y, a))).mean()
            ),
            "kto": lambda: 1 + 2 / BETA * np.logaddexp(0.0, BETA * self.ratio(self.y, a) - anchor).mean(),
        }[base]()
        return float(value + self._term(term, a))

    def _term(self, term: str, a: Array) -> float:
        if term == "rt":
            return float(-self.lp(self.retain, self.y_retain, a).mean())
        if term == "kl":
            parts = [np.full(len(self.retain), label) for label in (0, 1)]
            pairs = [(self.lp(self.retain, y, self.target), self.lp(self.retain, y, a)) for y in parts]
            return float(sum((np.exp(p) * (p - q)).mean() for p, q in pairs))
        return 0.0

    def gradient(self, method: str, a: Array) -> Array:
        anchor = float(self.ratio(self.idk, a).mean())  # no gradient flows through KTO's anchor
        width = 1e-5
        steps = width * np.eye(len(a))
        ends = [(self.loss(method, a + step, anchor), self.loss(method, a - step, anchor)) for step in steps]
        return np.array([(up - down) / (2 * width) for up, down in ends])


PAPER = ["ga", "ga_rt", "ga_kl", "idk_rt", "dpo", "dpo_rt", "dpo_kl", "kto", "kto_rt", "npo", "npo_rt", "npo_kl"]


@pytest.mark.parametrize("method", PAPER)
def test_a_step_follows_the_gradient_of_the_papers_loss(method: str) -> None:
    problems, target, at = draw(1.0, [1]), some_weights(1, 0), some_weights(1, 1)
    gradient = Plain(problems, target).gradient(method, at[0].numpy())
    step = (at - moved(problems, method, target, at))[0] / RATE
    np.testing.assert_allclose(step.numpy(), gradient, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", ["ga_kl", "dpo_rt", "kto_rt", "idk_ap"])
def test_several_seeds_at_once_give_what_each_gives_alone(method: str) -> None:
    target, at = some_weights(3, 0), some_weights(3, 1)
    together = moved(draw(1.0, [1, 2, 3]), method, target, at)
    alone = [moved(draw(1.0, [i + 1]), method, target[i : i + 1], at[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", possible_methods())
def test_every_method_that_fits_lowers_its_loss(method: str) -> None:
    unlearning = Unlearning(draw(1.0, [1, 2]), some_weights(2, 0), hyper(method))
    losses = torch.stack([unlearning.step()["loss"] for _ in range(10)])
    assert torch.isfinite(losses).all()
    if METHODS[method].statistic is None:  # KTO's anchor moves, so its loss is another one at every step
        assert (losses[-1] < losses[0]).all()


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(possible_methods())))
def test_methods_that_do_not_fit_are_refused_with_a_reason(method: str) -> None:
    refusal = method_problem(method)
    assert refusal is not None
    reason, _, fix = refusal.partition("; ")
    assert reason
    assert "npo_rt" in fix
    assert method not in fix.removeprefix("choose from ").split(", ")


def test_the_methods_of_the_paper_all_fit() -> None:
    assert set(PAPER) <= set(possible_methods())


def test_the_target_weights_are_left_alone() -> None:
    target = some_weights(1, 0)
    before = target.clone()
    Unlearning(draw(1.0, [1]), target, hyper("npo")).step()
    assert torch.equal(target, before)
