"""Full-batch gradient descent on the synthetic problems: pre-training, and unlearning with any method's loss.

The losses are those of `trainables.methods`, on scores of one-token answers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.batching.scores import Scores
from trainables.config import Hyperparameters
from trainables.methods import METHODS, Forget, Retain
from trainables.methods.retain_terms import RETAIN_TERMS
from trainables.synthetic.data import FEATURES, Problems, Rows
from trainables.synthetic.model import logits, score

PRETRAINING_STEPS = 20_000
PRETRAINING_RATE = 0.05


def pretrain(rows: Rows, steps: int = PRETRAINING_STEPS, rate: float = PRETRAINING_RATE) -> Tensor:
    """(seeds, 128): gradient descent on the mean cross-entropy from weights 0."""
    # One seed after another: the features of one seed fit into the processor's cache, those of five do not.
    found = [
        _pretrain(features, labels, steps, rate) for features, labels in zip(rows.features, rows.labels, strict=True)
    ]
    return torch.stack(found)


@torch.no_grad()
def _pretrain(features: Tensor, labels: Tensor, steps: int, rate: float) -> Tensor:
    """(128,) from features (rows, 128) and labels (rows,)."""
    features = features.contiguous()
    first = (labels == 0).to(torch.float64)
    weights = torch.zeros(FEATURES, dtype=torch.float64)
    for _ in range(steps):
        excess = (features @ weights).sigmoid_().sub_(first)
        weights.sub_(excess @ features, alpha=rate / len(labels))
    return weights


class Unlearning:
    """Unlearning of several problems at once, each with its own weights (seeds, 128), starting at the target weights.

    Raises KeyError for an unknown method; `rules.method_problem` tells which methods are supported.
    """

    def __init__(self, problems: Problems, target: Tensor, hyper: Hyperparameters) -> None:
        self.method = METHODS[hyper.method]
        self._values, self._rate, self._seed = self.method.values(hyper), hyper.learning_rate, hyper.seed
        self._forget = problems.forget
        self._retain = None if self.method.retain == "none" else problems.retain
        joined = problems.forget if self._retain is None else problems.forget.joined(problems.retain)
        self._features, self._split = joined.features, problems.forget.labels.shape[1]
        self.weights = target.clone().requires_grad_()
        with torch.no_grad():
            self._references = self._scores(target)

    def step(self) -> dict[str, Tensor]:
        """One step of gradient descent. Returns `loss`, `forget_loss` and (with a retain term) `retain_loss`, (seeds,),
        before the step.
        """
        terms = self._loss()
        (gradient,) = torch.autograd.grad(terms["loss"].sum(), self.weights)
        with torch.no_grad():
            self.weights -= self._rate * gradient
        return {name: value.detach() for name, value in terms.items()}

    def _scores(self, weights: Tensor) -> tuple[Scores, Scores | None, Scores | None, Scores | None]:
        """Scores of the forget rows' labels and refusals, and of the retain rows' labels and refusals."""
        both = logits(self._features, weights)
        forget, retain = both[:, : self._split], both[:, self._split :]
        refusals = self.method.alternative != "none"
        preference = self.method.retain == "preference"
        return (
            score(forget, self._forget.labels),
            score(forget, self._forget.refusals) if refusals else None,
            None if self._retain is None else score(retain, self._retain.labels),
            score(retain, self._retain.refusals) if self._retain is not None and preference else None,
        )

    def _loss(self) -> dict[str, Tensor]:
        forget, refusals, retain, retain_refusals = self._scores(self.weights)
        forget_before, refusals_before, retain_before, _ = self._references
        inputs = Forget(forget, forget_before, refusals, refusals_before, seed=self._seed)
        if self.method.statistic is not None:
            with torch.no_grad():
                per_row = self.method.statistic(inputs, self._values)
                # One mean per seed, repeated for its rows: each seed is a batch of its own.
                means = self._means(per_row).repeat_interleave(self._split)
            inputs = Forget(forget, forget_before, refusals, refusals_before, means, self._seed)
        forget_loss = self._means(self.method.forget_loss(inputs, self._values))
        if retain is None:
            return {"loss": forget_loss, "forget_loss": forget_loss}
        term = RETAIN_TERMS[self.method.retain]
        retain_loss = self._means(term.per_row(Retain(retain, retain_before, retain_refusals), self._values))
        loss = forget_loss + self._values["retain_weight"] * retain_loss
        return {"loss": loss, "forget_loss": forget_loss, "retain_loss": retain_loss}

    def _means(self, per_row: Tensor) -> Tensor:
        """(seeds,) means over rows; a row is one token, so this is every method's reduction."""
        return per_row.view(len(self.weights), -1).mean(-1)
