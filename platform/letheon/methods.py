"""What a method of your own is written with: `docs/plugins.md`. Loads neither torch nor Ray.

    MY_NPO = Method(name="my_npo", forget_loss=…, reduction="rows", source="…", hyperparameters={"beta": BETA})

A loss is a function of `Forget` and the values of the hyper-parameters that returns a tensor (rows,), nats. The
helpers are those of the built-in methods, which are in `METHODS`.
"""

from trainables.methods import METHODS, Forget, Hyperparameter, Method, Reduction, Reference, Retain, RetainTerm, Values
from trainables.methods.base import BETA, RETAIN_WEIGHT, Alternative, Products, log_ratio, log_sigmoid, require
from trainables.methods.tokens import (
    cross_entropy,
    kept_hidden,
    kept_logits,
    kept_targets,
    sum_over_answer,
    token_log_ratio,
)

__all__ = [
    "BETA",
    "METHODS",
    "RETAIN_WEIGHT",
    "Alternative",
    "Forget",
    "Hyperparameter",
    "Method",
    "Products",
    "Reduction",
    "Reference",
    "Retain",
    "RetainTerm",
    "Values",
    "cross_entropy",
    "kept_hidden",
    "kept_logits",
    "kept_targets",
    "log_ratio",
    "log_sigmoid",
    "require",
    "sum_over_answer",
    "token_log_ratio",
]
