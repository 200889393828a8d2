"""The verbs that read: status, explain, front and methods on a finished or interrupted sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.letheon.cli.command import run
from tests.letheon.dashboard.support import add_rows, write_sweep
from tests.letheon.tracking.tracking_support import Story


def test_status_and_explain_of_a_finished_sweep(root: Path) -> None:
    at = ("--root", str(root))
    status = json.loads(run("status", "done", "--json", *at).stdout)
    assert (status["sweep"], status["state"], len(status["trials"])) == ("done", "finished", 2)
    assert "t001" in run("status", "done", *at).stdout
    assert run("status", "done", "--watch", *at).stdout.startswith("done: finished, 2 of 2 trials")
    explained = json.loads(run("explain", "done", "t000", "--json", *at).stdout)
    assert explained["decisions"][0]["reason"] == "first at its rung"
    assert "first at its rung" in run("explain", "done", "t000", *at).stdout


def test_why_a_trial_is_on_the_front_or_not(root: Path) -> None:
    tale = Story()
    for trial, utility in (("t000", 0.56), ("t001", 0.55)):
        tale.trial(trial, "0.1", "npo")
        tale.report(trial, 1, -3.0, utility)
    tale.rows[-1]["decision"] |= {"action": "stop", "rung": 1, "rank": 3, "of": 4, "front": 1}
    tale.end("t001", "pruned", 1, "rank 3 of 4")
    write_sweep(root, "pruned", tale.rows, "scheduler.reduction_factor=2")
    at = ("--root", str(root))
    why_not = ("front", "pruned", "--why-not")
    first, second, third = run(*why_not, "t001", *at).stdout.splitlines()  # one sentence per line, however long
    assert first.startswith("t001 is not on the front") and third.endswith("later epochs were never trained")
    assert second.startswith("t001@1 is dominated by t000@1") and second.endswith("utility above 0.56")
    assert run(*why_not, "t001@1", *at).stdout.splitlines() == [second]
    found = json.loads(run(*why_not, "t001", "--json", *at).stdout)
    assert (found["outcome"], found["on_front"], found["checkpoints"][0]["verdict"]) == ("pruned", [], "dominated")
    page = root / "report.html"
    both = run(*why_not, "t000", "--fraction", "0.1", "--html", str(page), *at)
    assert both.stdout.startswith("t000 is on the front of forget fraction 0.1") and page.exists()
    said = run("explain", "pruned", "t001", *at).stdout.splitlines()
    assert said[-1].endswith("with 2 better; to continue it needed rank 2 or better of 4"), "the sweep's own rule"


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("t999",), 4, "not a trial that this sweep has started"),
        (("t01@5",), 4, "did you mean"),
        (("t001@x",), 2, "must be TRIAL or TRIAL@EPOCH"),
        (("t001", "--fraction", "0.1"), 4, "a trial of forget fraction 0.25, not of 0.1"),
    ],
)
def test_refusals_of_why_not_are_one_line(arguments: tuple[str, ...], code: int, expected: str, root: Path) -> None:
    result = run("front", "done", "--why-not", *arguments, "--root", str(root))
    assert (result.exit_code, result.stdout) == (code, "")
    [line] = result.stderr.splitlines()
    assert expected in line


def test_fronts_of_all_strata_or_of_one(root: Path) -> None:
    at = ("--root", str(root))
    front = json.loads(run("front", "done", "--json", *at).stdout)
    assert set(front["strata"]) == {"0.1", "0.25"}
    assert front["strata"]["0.25"]["knee"]["trial"] == "t001"
    one = json.loads(run("front", "done", "--json", "--fraction", "0.10", *at).stdout)
    assert set(one["strata"]) == {"0.1"}
    text = run("front", "done", *at).stdout
    assert "forget fraction 0.25" in text
    assert "t001@1" in text
    page = root / "report.html"
    assert run("front", "done", "--html", str(page), *at).exit_code == 0
    assert page.read_text().lstrip().lower().startswith("<!doctype html")


def test_a_sweep_that_was_interrupted_before_its_first_report(root: Path) -> None:
    tale = Story()
    tale.add("sweep", state="running")
    folder = write_sweep(root, "early", tale.rows, "budget.trials=2", "search.forget_fraction=0.1")
    assert run("front", "early", "--root", str(root)).stdout.strip() == "nothing was measured: no trial has started"
    tale.trial("t000", "0.1", "ga")
    tale.add("sweep", state="interrupted")
    add_rows(folder, tale.rows[1:])
    at = ("--root", str(root))
    assert run("front", "early", *at).stdout.strip() == (
        "forget fraction 0.1: nothing was measured: no trial has reported an epoch"
    )
    said = run("status", "early", *at).stdout
    assert (
        "1 interrupted" in said
        and "t000 interrupted" in said
        and "fraction 0.1: 0 of 2 trials ended, 0 running" in said
    )
    assert said.count("running") == said.count("0 running")
    found = json.loads(run("status", "early", "--json", *at).stdout)
    assert (found["counts"], found["trials"][0]["state"]) == ({"interrupted": 1}, "interrupted")


def test_methods_prints_what_the_methods_declare() -> None:
    from trainables.methods import METHODS

    assert set(json.loads(run("methods", "--json").stdout)) == set(METHODS)
    one = json.loads(run("methods", "npo_rt", "--json").stdout)["npo_rt"]
    assert one["hyperparameters"]["beta"]["default"] == METHODS["npo_rt"].hyperparameters["beta"].default
    assert all(f"\n{name} " in "\n" + run("methods").stdout for name in METHODS)
    assert "2404.05868" in run("methods", "npo_rt").stdout
    row = next(line for line in run("methods").stdout.splitlines() if line.startswith("simnpo "))
    assert "2024" in row and "cross-entropy" in row and "Simple negative preference" in row
    assert all(line.count("  ") for line in run("methods").stdout.splitlines()[1 : 1 + len(METHODS)]), "a line a method"
    assert not {"nll", "log_probs", "none"} & set(run("methods").stdout.split())
    missing = run("methods", "npo_rtt")
    assert (missing.exit_code, "did you mean 'npo_rt'?" in missing.stderr) == (4, True)


def test_several_seeds_have_means(root: Path) -> None:
    tale = Story()
    for seed, quality in ((0, -3.0), (1, -1.0)):
        tale.trial(f"t00{seed}", "0.1", "ga")
        tale.rows[-1]["config"]["seed"] = seed
        tale.report(f"t00{seed}", 1, quality, 0.56)
    write_sweep(root, "seeds", tale.rows, "seeds=[0, 1]", "budget.trials=2")
    at = ("--root", str(root))
    front = json.loads(run("front", "seeds", "--json", "--fraction", "0.1", *at).stdout)
    [point] = front["means"]["strata"]["0.1"]["points"]
    assert (point["trials"], point["metrics"]["log10_forget_quality"]) == (["t000", "t001"], -2.0)
    assert [one["epoch"] for one in front["configurations"]] == [1]
    assert "t000+t001@1" in run("front", "seeds", *at).stdout
    assert json.loads(run("front", "done", "--json", *at).stdout)["means"] is None


def test_capacity_lists_each_method(root: Path) -> None:
    at = ("--root", str(root))
    heading, columns, *rows = run("capacity", "done", *at).stdout.splitlines()
    assert "keep 95% of the utility" in heading and columns.split() == ["method", "0.1", "0.25", "capacity"]
    assert [row.split()[0] for row in rows] == ["npo"]
    assert json.loads(run("capacity", "done", "--json", *at).stdout)["utility_kept"] == 0.95
