"""The limits of a sweep and what it has spent, on rows written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from letheon.journal import SweepHistory
from letheon.journal.usage import Spent, spent
from letheon.spec.budget import BudgetSpec, reached


def trial(name: str, time: float, stratum: str = "0.1") -> dict[str, Any]:
    return {"kind": "trial", "time": time, "trial": name, "stratum": stratum}


def report(name: str, epoch: int, time: float) -> dict[str, Any]:
    return {"kind": "report", "time": time, "trial": name, "epoch": epoch, "metrics": {}}


def end(name: str, time: float) -> dict[str, Any]:
    return {"kind": "end", "time": time, "trial": name, "outcome": "completed"}


def sweep_row(state: str, time: float) -> dict[str, Any]:
    return {"kind": "sweep", "time": time, "state": state}


def test_nothing_is_reached_while_something_is_left() -> None:
    assert reached(BudgetSpec(), Spent(10**6, 10**6, 1e6, 1e6)) is None
    assert reached(BudgetSpec(trials=3, epochs=9), Spent(trials=2, epochs=8)) is None


def test_the_first_limit_reached_is_named() -> None:
    budget = BudgetSpec(trials=3, epochs=9, gpu_hours=1.5, wall_hours=2)
    assert list(budget.limits) == ["trials", "epochs", "gpu_hours", "wall_hours"]
    assert reached(budget, Spent(3, 9)) == "budget.trials: 3 of 3 trials are used"
    assert reached(budget, Spent(2, 10)) == "budget.epochs: 10 of 9 epochs are used"
    assert reached(budget, Spent(gpu_hours=1.5, wall_hours=3)) == "budget.gpu_hours: 1.5 of 1.5 gpu hours are used"
    assert reached(budget, Spent(wall_hours=2.25)) == "budget.wall_hours: 2.25 of 2 wall hours are used"


def test_trials_epochs_and_hours_are_counted() -> None:
    rows = [trial("a", 0), trial("b", 600, "0.2"), report("a", 1, 1800), report("b", 1, 2400), report("a", 2, 3600)]
    sweep = SweepHistory([*rows, end("a", 3600)])
    assert spent(sweep, gpus=2) == Spent(trials=2, epochs=3, gpu_hours=3.0, wall_hours=1.0, slot_hours=1.5)
    assert sweep.seconds_per_epoch("0.1") == 1800
    assert sweep.seconds_per_epoch("0.2") == 1800
    assert sweep.seconds_per_epoch("0.3") is None


def test_the_time_since_the_last_row_counts_while_the_sweep_runs() -> None:
    sweep = SweepHistory([trial("a", 0), report("a", 1, 1800)])
    assert spent(sweep).wall_hours == 0.5
    assert spent(sweep, now=3600).wall_hours == 1.0
    assert spent(sweep, now=0).wall_hours == 0.5


def test_a_report_counts_before_it_is_a_row() -> None:
    sweep = SweepHistory([trial("a", 0), trial("b", 0), report("a", 1, 1800)])
    before = spent(sweep, gpus=4, now=3600, reporting="a")
    sweep.take(report("a", 2, 3600))
    assert before == spent(sweep, gpus=4, now=3600)
    assert (before.epochs, before.slot_hours, before.gpu_hours) == (2, 1.0, 4.0)


def test_hours_without_a_driver_cost_nothing() -> None:
    rows = [sweep_row("preparing", 0), sweep_row("running", 600), trial("a", 600), report("a", 1, 1200)]
    rows += [sweep_row("preparing", 90_000), sweep_row("running", 90_600), report("a", 2, 91_200)]  # a new driver
    sweep = SweepHistory(rows)
    assert sweep.seconds == 1200 + 1200
    assert sweep.slot_seconds == 600 + 1200


def test_clocks_that_go_back_add_nothing() -> None:
    sweep = SweepHistory([trial("a", 1000), report("a", 1, 400), report("a", 2, 700)])
    assert (sweep.slot_seconds, sweep.seconds, sweep.epochs) == (300, 300, 2)
    assert spent(sweep, now=0).wall_hours == pytest.approx(300 / 3600)


def test_without_gpus_only_slot_hours_count() -> None:
    found = spent(SweepHistory([trial("a", 0), report("a", 1, 3600)]))
    assert (found.gpu_hours, found.slot_hours) == (0.0, 1.0)


def test_a_plateau_is_no_amount_and_is_left_out_of_files_without_one() -> None:
    assert BudgetSpec(trials=3, plateau=0.02).limits == {"trials": 3}
    assert "plateau" not in BudgetSpec(trials=3).model_dump()
    assert BudgetSpec(trials=3, plateau=0.02).model_dump()["plateau"] == 0.02


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_plateau_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="plateau"):
        BudgetSpec(plateau=share)
