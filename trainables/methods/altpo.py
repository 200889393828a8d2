"""Alternate preference optimization: prefer other answers of the target model itself (arXiv 2409.13474).

    L_AltPO(theta) = -(2/beta) E_forget[ log sigmoid( beta log( p(y_alt|x) / p_ref(y_alt|x) )
                                                      - beta log( p(y|x) / p_ref(y|x) ) ) ] + w CE(x_retain, y)

This is the DPO loss with other winners: several alternate answers per question, sampled from the target model at
temperature 1 by asking it to answer the question differently. They look like answers, so the unlearned model keeps
answering, consistently and wrongly, where refusals and collapse would give it away. The paper's grid: beta .05, .1, .5;
weight 1, 2, 5; learning rate 1e-5 to 5e-5; it trains for a few epochs, one alternate after another.

The loss is the authors'. The sampling differs a little: the request for another answer is worded differently; samples
that repeat the answer (ROUGE-L recall of at least .8) are drawn again at a higher temperature; and an epoch here has
one alternate per question, where the authors' has all five (200 rows for 40 questions), so one of their epochs is five
of these.

Trap: a model that knows the answer by heart may repeat it. Then winner and loser are the same text, the loss is
constant, and the row is not unlearned.
"""

from __future__ import annotations

from trainables.methods.base import BETA, RETAIN_WEIGHT, Method
from trainables.methods.dpo import preference

ALTPO = Method(
    name="altpo",
    forget_loss=preference,
    reduction="rows",
    source="Mekala, Dorna, Dubey, Lalwani, Koleczek, Rungta, Hasan & Lobo 2024, arXiv 2409.13474",
    reference="log_probs",
    alternative="generated",
    retain="nll",
    hyperparameters={"beta": BETA, "retain_weight": RETAIN_WEIGHT},
)
