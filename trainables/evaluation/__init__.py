"""What a model still knows: TOFU's metrics of forget set and utility, and their comparison with a retain model."""

from trainables.evaluation.evaluate import SETS, UTILITY_SETS, Evaluation, compare, evaluate

__all__ = ["SETS", "UTILITY_SETS", "Evaluation", "compare", "evaluate"]
