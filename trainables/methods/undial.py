"""Unlearning by self-distillation on adjusted logits (Dong, Lin, Belkin, Huerta & Vulic 2024, arXiv 2402.10052).

    L_UNDIAL(theta) = E_tokens[ CE( softmax( z_ref - beta 1[y_t] ), softmax( z_theta ) ) ]

The teacher is the target model with the logit of the true token lowered by beta; everything else it knows about the
place stays as it was, so the loss has a minimum with a usable language model in it. At the reference the gradient is
that of the softmax difference: it moves mass from the true token to the others in the teacher's proportions.

No retain term, as in the paper. Over answer tokens only, since nothing else has a true token to lower. open-unlearning
takes the mean over prompt and padding too (`compat: open_unlearning`) and lowers token V - 100 of the vocabulary there,
which is what the label -100 of such positions points at. Wants a larger learning rate than the others (1e-4 for full
models).
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
    hyperparameters={"beta": Hyperparameter(low=1.0, high=30.0, log=True, default=10.0)},
    needs_logits=True,
    published={"open_unlearning": Published("positions", everywhere=True)},
)
