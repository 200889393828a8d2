"""The contract, and a value computed by hand: `pytest examples/plugins`."""

import math

import torch
from dual_objective import DUAL_OBJECTIVE

from letheon.methods import Forget
from letheon.testing import MethodContract
from trainables.batching.scores import Scores


class TestDualObjective(MethodContract):
    method = DUAL_OBJECTIVE


def test_at_the_reference_the_loss_is_the_refusals_and_that_of_npo() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    answer, refusal = (Scores(torch.tensor([log_probs]), mask) for log_probs in ([-0.5, -0.25], [-1.0, -2.0]))
    loss = DUAL_OBJECTIVE.forget_loss(Forget(answer, answer, refusal), {"beta": 0.5})
    assert abs(loss.item() - (3 + 4 * math.log(2))) < 1e-6
