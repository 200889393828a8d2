"""Small evaluation logs in both formats, made from losses, with what follows from them computed in plain Python."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from typing import Any

GUARD = 1e-10
PREFIXES = {"forget": "forget", "retain": "retain", "real_authors": "ra", "world_facts": "wf"}
FILES = {
    "forget": "eval_log_forget.json",
    "retain": "eval_log.json",
    "real_authors": "eval_real_author_wo_options.json",
    "world_facts": "eval_real_world_wo_options.json",
}
ROWS = {"forget": 6, "retain": 5, "real_authors": 4, "world_facts": 3}
CHOICES = ("real_authors", "world_facts")


class Model:
    """Losses and scores of one made-up model. `knows`: how well it knows the forget set, 0 to 1."""

    def __init__(self, seed: int, knows: float, rows: dict[str, int] | None = None) -> None:
        draw = random.Random(seed)
        self.rows = {**ROWS, **(rows or {})}
        self.loss: dict[str, list[float]] = {}
        self.para: dict[str, list[float]] = {}
        self.wrong: dict[str, list[list[float]]] = {}
        self.rouge: dict[str, list[float]] = {}
        for name, count in self.rows.items():
            known = knows if name == "forget" else 0.9
            self.loss[name] = [draw.uniform(0.01, 4 * (1 - known) + 0.1) for _ in range(count)]
            self.para[name] = [draw.uniform(1, 2) + 2 * (1 - known) for _ in range(count)]
            wrong = 3 if name in CHOICES else 5
            self.wrong[name] = [[draw.uniform(1.5, 4) for _ in range(wrong)] for _ in range(count)]
            self.rouge[name] = [draw.choice([0.25, 0.5, 0.75, 1.0]) for _ in range(count)]
        count = self.rows["forget"]
        self.scores = {side: [draw.uniform(0, 3) + (side == "holdout") for _ in range(count)] for side in SIDES}

    def right(self, name: str) -> list[float]:
        """What TOFU's truth ratio holds right: the answer itself in the sets of facts."""
        return self.loss[name] if name in CHOICES else self.para[name]

    def ratios(self, name: str, guard: float) -> list[float]:
        pairs = zip(self.right(name), self.wrong[name], strict=True)
        return [math.exp(-sum(wrong) / len(wrong)) / (math.exp(-right) + guard) for right, wrong in pairs]

    def probability(self, name: str, guard: float) -> float:
        if name not in CHOICES:
            return mean([math.exp(-loss) for loss in self.loss[name]])
        pairs = zip(self.loss[name], self.wrong[name], strict=True)
        return mean(
            [math.exp(-loss) / (math.exp(-loss) + sum(math.exp(-x) for x in wrong) + guard) for loss, wrong in pairs]
        )

    def parts(self, guard: float) -> list[float]:
        """The nine of model utility."""
        found = []
        for name in ("retain", *CHOICES):
            truth = mean([max(0.0, 1 - ratio) for ratio in self.ratios(name, guard)])
            found += [self.probability(name, guard), mean(self.rouge[name]), truth]
        return found

    def utility(self, guard: float) -> float:
        return 9 / sum(1 / part for part in self.parts(guard))

    def auc(self) -> float:
        """Pairs in which the forget row has the lower score."""
        pairs = [(low, high) for low in self.scores["forget"] for high in self.scores["holdout"]]
        return mean([1.0 if low < high else 0.5 if low == high else 0.0 for low, high in pairs])

    def open_unlearning(self) -> dict[str, Any]:
        """As open-unlearning writes it."""
        log: dict[str, Any] = {}
        for name, prefix in PREFIXES.items():
            log[f"{prefix}_Q_A_Prob"] = metric([losses(loss) for loss in self.loss[name]], "prob")
            log[f"{prefix}_Q_A_PERT_Prob"] = metric([losses(wrong) for wrong in self.wrong[name]])
            log[f"{prefix}_Q_A_ROUGE"] = metric([{"rougeL_recall": score} for score in self.rouge[name]])
            key = "forget_truth_ratio" if name == "forget" else f"{prefix}_Truth_Ratio"
            log[key] = metric([{"score": ratio} for ratio in self.ratios(name, GUARD)])
            if name not in CHOICES:
                log[f"{prefix}_Q_A_PARA_Prob"] = metric([losses(loss) for loss in self.para[name]])
        sides = {side: metric([{"score": score} for score in self.scores[side]]) for side in SIDES}
        log["mia_min_k"] = {**sides, "auc": self.auc(), "agg_value": self.auc()}
        log["model_utility"] = {"agg_value": self.utility(GUARD)}
        return copy.deepcopy(log)

    def legacy(self, as_lists: bool = False) -> dict[str, Any]:
        """As TOFU's older code writes it; as lists, as the NPO code does."""
        log = {}
        for name, file in FILES.items():
            columns: dict[str, Sequence[Any]] = {
                "avg_gt_loss": self.loss[name],
                "avg_paraphrased_loss": self.right(name),
                "average_perturb_loss": self.wrong[name],
                "rougeL_recall": self.rouge[name],
            }
            log[file] = {
                key: list(values) if as_lists else {str(row): value for row, value in enumerate(values)}
                for key, values in columns.items()
            }
        return copy.deepcopy(log)


SIDES = ("forget", "holdout")


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def losses(loss: Any) -> dict[str, Any]:
    if isinstance(loss, list):
        return {"prob": [math.exp(-each) for each in loss], "avg_loss": loss}
    return {"prob": math.exp(-loss), "avg_loss": loss}


def metric(rows: Sequence[dict[str, Any]], key: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"value_by_index": {str(row): value for row, value in enumerate(rows)}}
    if key is not None:
        found["agg_value"] = mean([row[key] for row in rows])
    return found
