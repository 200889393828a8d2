"""What a model still knows: the metrics of every set of a benchmark, and their comparison with a retain model.

Loads no torch; `evaluate` does when it is called.
"""

from trainables.evaluation.details import Details, SetDetails
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.record import Evaluation, details_from_json, evaluation_from_json, lost
from trainables.evaluation.summary import UTILITY_SETS, compare, summarise, yardstick

__all__ = [
    "UTILITY_SETS",
    "Details",
    "Evaluation",
    "SetDetails",
    "compare",
    "details_from_json",
    "evaluate",
    "evaluation_from_json",
    "lost",
    "summarise",
    "yardstick",
]
