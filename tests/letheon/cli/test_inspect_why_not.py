"""`front --why-not` and `explain`: output as sentences and as JSON, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from letheon.cli import app
from letheon.journal import Journal
from letheon.spec.load import dump_spec, load_spec

VALUES = {("t000", 1): (-3.0, 0.75), ("t000", 2): (-1.0, 0.7), ("t001", 1): (-4.0, 0.72), ("t002", 1): (-5.0, 0.7)}
PRUNED = "rung 1: rank 3 of 4, on front 1, outside the best 1/2"


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--root", str(root)], env={"COLUMNS": "60"})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one finished sweep: t000 makes the front of 0.1, t001 was pruned; t002 is alone in 0.25."""
    folder = tmp_path / "sweeps" / "done"
    folder.mkdir(parents=True)
    overrides = ["budget.trials=3", "scheduler.reduction_factor=2"]
    (folder / "spec.yaml").write_text(dump_spec(load_spec("quickstart", overrides)))
    journal = Journal(folder / "journal.jsonl")
    journal.append("sweep", state="running")
    for trial, fraction in (("t000", 0.1), ("t001", 0.1), ("t002", 0.25)):
        config = {"method": "npo", "forget_fraction": fraction, "learning_rate": 1e-4, "beta": 0.1}
        baseline = {"model_utility": 0.8}
        journal.append("trial", trial=trial, stratum=f"{fraction:g}", config=config, baseline=baseline, origin="random")
    for (trial, epoch), (quality, utility) in VALUES.items():
        metrics = {"log10_forget_quality": quality, "model_utility": utility, "utility_ratio": utility / 0.8}
        decision = {"action": "continue", "epoch": epoch, "reason": "first at its rung"}
        if trial == "t001":
            decision = {"action": "stop", "epoch": 1, "rung": 1, "rank": 3, "of": 4, "front": 1, "reason": PRUNED}
        journal.append("report", trial=trial, epoch=epoch, metrics=metrics, decision=decision)
    journal.append("end", trial="t001", outcome="pruned", reason=PRUNED, epoch=1)
    journal.append("end", trial="t000", outcome="completed", reason="reached max_epochs 2", epoch=2)
    journal.append("sweep", state="finished")
    journal.close()
    return tmp_path


def test_a_trial_and_a_checkpoint(root: Path) -> None:
    whole = run(root, "front", "done", "--why-not", "t001")
    assert whole.exit_code == 0, whole.output
    lines = whole.stdout.splitlines()  # one sentence a line, whatever the terminal's width
    assert lines == [
        "t001 is not on the front of forget fraction 0.1; its best checkpoint is t001@1:",
        "t001@1 is dominated by t000@1 (npo, lr 0.0001, beta 0.1): forget quality p = 0.0001 against 0.001, "
        "utility 0.72 against 0.75; it would be on the front with forget quality p above 0.001 or utility above 0.75",
        f"t001 was pruned at epoch 1 ({PRUNED}): later epochs were never trained",
    ]
    assert run(root, "front", "done", "--why-not", "t001@1").stdout.splitlines() == lines[1:2]
    assert "is on the front" in run(root, "front", "done", "--why-not", "t000@2").stdout


def test_as_json(root: Path) -> None:
    found = json.loads(run(root, "front", "done", "--why-not", "t001", "--json").stdout)
    assert (found["trial"], found["stratum"], found["outcome"], found["on_front"]) == ("t001", "0.1", "pruned", [])
    [one] = found["checkpoints"]
    assert (one["verdict"], one["rivals"][0]["trial"]) == ("dominated", "t000")


def test_together_with_the_other_options(root: Path) -> None:
    page = root / "report.html"
    both = run(root, "front", "done", "--why-not", "t002", "--fraction", "0.25", "--html", str(page))
    assert both.stdout.startswith("t002 is on the front of forget fraction 0.25")
    assert page.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("t999",), 4, "not a trial that this sweep has started"),
        (("t01@5",), 4, "did you mean"),
        (("t001@x",), 2, "must be TRIAL or TRIAL@EPOCH"),
        (("t001", "--fraction", "0.25"), 4, "a trial of forget fraction 0.1, not of 0.25"),
    ],
)
def test_refusals_are_one_line(arguments: tuple[str, ...], code: int, expected: str, root: Path) -> None:
    result = run(root, "front", "done", "--why-not", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    [line] = result.stderr.splitlines()
    assert expected in line


def test_explain_states_the_sweeps_rule(root: Path) -> None:
    lines = run(root, "explain", "done", "t001").stdout.splitlines()
    assert lines[1] == "chosen by: random"
    assert lines[-1].endswith(
        "at rung 1 it was rank 3 of 4, with 2 better; to continue it needed rank 2 or better of 4"
    )
    assert json.loads(run(root, "explain", "done", "t001", "--json").stdout)["origin"] == "random"
