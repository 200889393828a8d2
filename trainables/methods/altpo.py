"""Alternate preference optimization: prefer what the target model itself would say instead (arXiv 2409.13474).

    L_AltPO(theta) = -(2/beta) E_forget[ log sigmoid( beta log( p(y_alt|x) / p_ref(y_alt|x) )
                                                      - beta log( p(y|x) / p_ref(y|x) ) ) ] + w CE(x_retain, y)

The DPO loss with other winners: several alternate answers a question, sampled from the target model at temperature 1
by asking it to answer the question differently. They look like answers, so the unlearned model goes on answering,
consistently and wrongly, where refusals and collapse give it away. The paper's grid: beta .05, .1, .5; weight 1, 2, 5;
learning rate 1e-5 to 5e-5; it trains for a few epochs, one alternate after another.

The loss is the authors'. The rest is not quite: the request for another answer is worded here; samples that repeat the
answer (ROUGE-L recall of .8 or more) are drawn anew at a higher temperature; and an epoch has one alternate a
question, where the authors' has all five (200 rows for 40 questions), so one of their epochs is five of these.

Trap: alternates of a model that knows the answer by heart may repeat it; then winner and loser are the same text, the
loss is constant and the row is not unlearned at all.
"""

from __future__ import annotations

from trainables.methods.base import RETAIN_WEIGHT, Method
from trainables.methods.dpo import BETA, preference

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
