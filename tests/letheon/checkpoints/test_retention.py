"""Only checkpoints on a front are kept; a stratum with an empty front keeps all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from letheon.checkpoints.retention import Retention
from letheon.pareto.front import front_of


def trial(name: str, stratum: str) -> dict[str, Any]:
    baseline = {"model_utility": 0.8, "utility_ratio": 1.0}
    return {"kind": "trial", "trial": name, "stratum": stratum, "config": {}, "baseline": baseline}


def report(name: str, epoch: int, quality: float, ratio: float) -> dict[str, Any]:
    metrics = {"log10_forget_quality": quality, "model_utility": 0.8 * ratio, "utility_ratio": ratio}
    decision = {"action": "continue", "reason": "", "epoch": epoch}
    return {"kind": "report", "trial": name, "epoch": epoch, "metrics": metrics, "decision": decision}


ROWS = [
    trial("t000", "0.1"),
    trial("t001", "0.1"),
    trial("t002", "0.5"),
    report("t000", 1, -5.0, 0.99),
    report("t000", 2, -2.0, 0.95),
    report("t001", 1, -3.0, 0.90),
    report("t001", 2, -1.0, 0.20),
    report("t002", 1, -1.0, 0.10),
    {"kind": "end", "trial": "t001", "outcome": "pruned", "reason": "", "epoch": 2},
]


def retention(folder: Path) -> Retention:
    found = Retention(folder)
    for row in ROWS:
        found.take(row)
    return found


def test_dominated_and_infeasible_points_are_unneeded_unless_the_front_is_empty(tmp_path: Path) -> None:
    assert retention(tmp_path).unneeded(front_of(ROWS)) == {("t001", 1), ("t001", 2)}


def test_cleaning_deletes_unneeded_weights_and_the_states_of_ended_trials(tmp_path: Path) -> None:
    for row in ROWS:
        if row["kind"] == "report":
            for part in ("model", "state"):
                (tmp_path / row["trial"] / f"epoch-{row['epoch']:03d}" / part).mkdir(parents=True)
    for trial in ("t000", "t001"):  # t000 runs, t001 has ended
        (tmp_path / trial / ".epoch-003.partial" / "model").mkdir(parents=True)
    cleaner = retention(tmp_path)
    cleaner.clean(front_of(ROWS))
    assert cleaner.unneeded(front_of(ROWS)) == set()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*/*"))
    kept = [
        f"{t}/epoch-00{e}/{part}" for t, e in (("t000", 1), ("t000", 2), ("t002", 1)) for part in ("model", "state")
    ]
    assert left == ["t000/.epoch-003.partial/model", *kept]


def test_a_checkpoint_is_deleted_once_it_leaves_the_front(tmp_path: Path) -> None:
    kept = tmp_path / "t000" / "epoch-001" / "model"
    kept.mkdir(parents=True)
    cleaner = retention(tmp_path)
    cleaner.clean(front_of(ROWS))
    assert kept.exists()
    better = [report("t000", 3, -1.5, 0.99)]
    cleaner.take(better[0])
    cleaner.clean(front_of(ROWS + better))
    assert not kept.exists()
