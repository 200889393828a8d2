"""Unlearning by self-distillation on adjusted logits (Dong, Lin, Belkin, Huerta & Vulic 2024, arXiv 2402.10052).

    L_UNDIAL(theta) = E_tokens[ CE( softmax( z_ref - beta 1[y_t] ), softmax( z_theta ) ) ]

The teacher is the target model with the logit of the true token lowered by beta. Its other logits stay, so the minimum
of the loss is a usable language model. At the reference the gradient is the difference of the two softmaxes: it moves
mass from the true token to the others in the teacher's proportions.

No retain term, as in the paper. The mean is over answer tokens, since nothing else has a true token to lower.
open-unlearning takes the mean over prompt and padding too (`compat: open_unlearning`) and lowers token V - 100 of the
vocabulary there, which is where the label -100 of such positions points. It needs a larger learning rate than the other
methods (1e-4 for full models).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Hyperparameter, Method, Published, Values
from trainables.methods.tokens import cross_entropy, kept_logits, kept_targets, sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor


def adjusted_distillation(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of the cross-entropy with the adjusted teacher, >= 0, nats."""
    model = forget.model
    teacher = kept_logits(forget.reference, "reference").detach()
    lowered = teacher.scatter_add(
        -1, kept_targets(model), teacher.new_full(model.mask.shape, -values["beta"])[..., None]
    )
    log_p = kept_logits(model, "model").log_softmax(-1)
    return sum_over_answer(cross_entropy(lowered.softmax(-1), log_p), model)


UNDIAL = Method(
    name="undial",
    forget_loss=adjusted_distillation,
    reduction="tokens",
    source="Dong, Lin, Belkin, Huerta & Vulic 2024, arXiv 2402.10052",
    reference="logits",
    hyperparameters={"beta": Hyperparameter(low=1.0, high=30.0, log=True, default=10.0, gt=0)},
    needs_logits=True,
    published={"open_unlearning": Published("positions", everywhere=True)},
)
