"""The command: exit codes, clean errors, JSON. What a verb computes is tested with its module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from letheon.cli import app
from letheon.cli.evaluate import card_of
from letheon.journal import Journal
from letheon.spec.load import load_spec
from tests.letheon.dashboard.support import add_rows, write_sweep
from tests.letheon.tracking.tracking_support import Story


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one finished sweep, `done`, of two trials."""
    tale = Story()
    tale.add("sweep", state="running")
    for trial, stratum, quality in (("t000", "0.1", -3.0), ("t001", "0.25", -1.0)):
        tale.trial(trial, stratum, "npo")
        tale.report(trial, 1, quality, 0.56, rung=1)
        tale.end(trial, "completed", 1)
    tale.add("sweep", state="finished")
    write_sweep(tmp_path, "done", tale.rows, "budget.trials=2")
    return tmp_path


@pytest.mark.parametrize("address", ["s3://bucket/x", "gs://bucket", "s3://key:hunter2@bucket/x", "file:///srv"])
@pytest.mark.parametrize("verb", ["plan", "sweep", "prepare", "submit"])
def test_a_root_that_is_no_folder_is_refused_in_one_sentence(verb: str, address: str) -> None:
    result = run(verb, "quickstart", "--root", address)
    assert result.exit_code == 2 and result.stdout == "" and "hunter2" not in result.stderr
    assert "must be a folder" in result.stderr and "MLFLOW_DEFAULT_ARTIFACT_ROOT" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_table_whose_reader_went_away_is_no_error(root: Path) -> None:
    code = "import sys; from letheon.cli import app; app(sys.argv[1:])"
    arguments = [sys.executable, "-c", code, "front", "done", "--root", str(root)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None and command.stderr is not None
        command.stdout.close()
        assert (command.wait(), command.stderr.read()) == (0, b"")


def test_a_bad_file_gives_its_errors_alone(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("name: A\nsearch: {method: nop}\n")
    for verb in ("plan", "prepare", "sweep"):
        result = run(verb, str(file), "--root", str(tmp_path))
        assert (result.exit_code, result.stdout) == (2, "")
        assert len(result.stderr.splitlines()) == 5
        assert all(line.startswith(f"{file}:") for line in result.stderr.splitlines())
    planned = run("plan", str(file), "--json")
    assert planned.exit_code == 2
    assert len(json.loads(planned.stdout)["errors"]) == 5


def test_data_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    result = run("sweep", "tofu-tiny", "--set", f"benchmark.path={tmp_path}", "--root", str(tmp_path / "root"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("plan", "quikstart"), 4),
        (("status", "nope"), 4),
        (("resume", "nope"), 4),
        (("explain", "done", "t999"), 4),
        (("front", "done", "--fraction", "0.5"), 4),
        (("sweep", "quickstart", "--name", "a/b"), 2),
        (("sweep", "quickstart", "--name", "done"), 2),
        (("evaluate",), 2),
        (("plan", "quickstart", "--nope"), 2),
    ],
)
def test_errors_are_lines_with_an_exit_code_of_their_kind(arguments: tuple[str, ...], code: int, root: Path) -> None:
    rooted = [] if arguments[0] == "evaluate" else ["--root", str(root)]
    result = run(*arguments, *rooted)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr


def test_the_read_commands_on_a_finished_sweep(root: Path) -> None:
    at = ("--root", str(root))
    status = json.loads(run("status", "done", "--json", *at).stdout)
    assert (status["sweep"], status["state"], len(status["trials"])) == ("done", "finished", 2)
    assert "t001" in run("status", "done", *at).stdout
    assert run("status", "done", "--watch", *at).stdout.startswith("done: finished, 2 of 2 trials")
    explained = json.loads(run("explain", "done", "t000", "--json", *at).stdout)
    assert explained["decisions"][0]["reason"] == "first at its rung"
    assert "first at its rung" in run("explain", "done", "t000", *at).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("capacity", "done", "--utility", "95"), "--utility 95: must be a share, 0 to 1; write 0.95 for 95%"),
        (("pull", "done", "--to", "x", "--min-utility", "90"), "--min-utility 90: must be a share, 0 to 1; write 0.9"),
        (("front", "done", "--fraction", "10"), "--fraction 10: must be a share, 0 to 1; write 0.1 for 10%"),
        (("front", "done", "--fraction", "-1"), "--fraction -1: must be a share, 0 to 1; write 0.95 for 95%"),
    ],
)
def test_a_percentage_is_not_a_share(arguments: tuple[str, ...], said: str, root: Path) -> None:
    result = run(*arguments, "--root", str(root))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(said) and len(result.stderr.splitlines()) == 1


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


def test_the_root_comes_from_the_environment_too(root: Path) -> None:
    result = CliRunner().invoke(app, ["status", "done", "--json"], env={"LETHEON_ROOT": str(root)})
    assert json.loads(result.stdout)["state"] == "finished"


def test_methods_are_told_from_their_declarations() -> None:
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


def test_an_audit_wants_a_finished_sweep_with_a_front(root: Path) -> None:
    journal = Journal(root / "sweeps" / "done" / "journal.jsonl")
    journal.append("sweep", state="interrupted")
    result = run("audit", "done", "--root", str(root))
    assert (result.exit_code, "letheon resume done" in result.stderr) == (3, True)


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


# ---- evaluate: which evaluation a folder gets

LARGEST = max(load_spec("quickstart").fractions)
CARD = {
    "benchmark": load_spec("quickstart").benchmark.model_dump(mode="json"),
    "forget_fraction": LARGEST,
    "evaluation": load_spec("quickstart").evaluation.model_dump(mode="json"),
    "precision": "fp32",
    "template": "plain",
    "yardstick": {"truth_ratios": [0.5, 0.6]},
    "target_utility": 0.9,
    "verdict": load_spec("quickstart").verdict.model_dump(mode="json"),
}


def test_a_pulled_folder_is_evaluated_as_it_was_recorded(tmp_path: Path) -> None:
    (tmp_path / "letheon.json").write_text(json.dumps(CARD))
    assert card_of(tmp_path, None, None) == CARD
    assert card_of(tmp_path, load_spec("quickstart"), None) == CARD


@pytest.mark.parametrize(("override", "fraction"), [("benchmark.seed=1", None), ("benchmark.seed=0", 0.1)])
def test_another_evaluation_has_no_numbers_of_the_retain_model(
    override: str, fraction: float | None, tmp_path: Path
) -> None:
    (tmp_path / "letheon.json").write_text(json.dumps(CARD))
    card = card_of(tmp_path, load_spec("quickstart", [override]), fraction)
    assert set(CARD) - set(card) == {"yardstick", "target_utility"}
    assert card["forget_fraction"] == (fraction or LARGEST)


def test_a_folder_without_a_card_needs_a_benchmark(tmp_path: Path) -> None:
    assert run("evaluate", str(tmp_path)).exit_code == 4
    (tmp_path / "config.json").write_text("{}")
    result = run("evaluate", str(tmp_path))
    assert result.exit_code == 2
    assert "--benchmark" in result.stderr
