"""Dual objective: learn the refusal and unlearn the answer at once (Zhao et al. 2025, arXiv 2503.03710).

    L_DOOR = E_forget[ -log p(refusal|x) - (2/beta) log sigmoid( -beta log( p(y|x) / p_ref(y|x) ) ) ]

The second term is NPO's, which slows down as the answer is forgotten; the first says what to answer instead. The paper
weights this by alpha = 0.2 and the retain term by 1 - alpha, hence a retain weight of 4. Its data are left out: there,
half of the rows begin with a piece of the answer, after which the model must still refuse.
"""

from torch import Tensor

from letheon.methods import Forget, Hyperparameter, Method, Values, log_ratio, log_sigmoid, require


def refuse_and_forget(forget: Forget, values: Values) -> Tensor:
    """(rows,) loss of each forget row, >= 0, nats."""
    beta = values["beta"]
    refusal = require(forget.alternative, "alternative").sequence
    return -refusal - (2 / beta) * log_sigmoid(-beta * log_ratio(forget.model, forget.reference))


DUAL_OBJECTIVE = Method(
    name="dual_objective",
    forget_loss=refuse_and_forget,
    reduction="rows",
    source="Zhao, Cai, Shi, Huang, Lin, Mei & Song 2025, arXiv 2503.03710",
    reference="log_probs",
    alternative="refusal",
    retain="nll",
    hyperparameters={
        "beta": Hyperparameter(low=0.05, high=1.0, log=True, default=0.5, gt=0),
        "retain_weight": Hyperparameter(low=1.0, high=9.0, log=True, default=4.0, ge=0),
    },
)
