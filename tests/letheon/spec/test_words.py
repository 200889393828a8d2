"""Common mistakes in a sweep file: each error says what to write, and that is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from letheon.common.errors import SpecErrors
from letheon.spec.load import load_spec
from letheon.spec.words import EXAMPLES

SMALL = """\
# a sweep
name: small
benchmark: {name: fictional, people: 20}
model: {base: tiny, recipe: {epochs: 16}}
search:
  method: {choice: [ga, ga_rt, npo, npo_rt]}
  forget_fraction: {choice: [0.1, 0.2]}
  learning_rate: {loguniform: [4.0e-4, 1.0e-3]}
  beta: {loguniform: [0.03, 0.08]}
searcher: {name: random, seed: 0}
budget: {trials: 16}
"""


def refused(*overrides: str) -> str:
    with pytest.raises(SpecErrors) as caught:
        load_spec("quickstart", overrides)
    (problem,) = caught.value.problems
    return problem.partition(": ")[2].removeprefix(overrides[0].partition("=")[2]).removeprefix(": ")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("search.forget_fraction=20", "must be <= 1; write 0.2 for 20%"),
        ("search.forget_fraction=[0.1, 0.2]", "is a list without a kind of domain; write {choice: [0.1, 0.2]}"),
        ("search.method=[npo,npo_rt]", "write {choice: [npo, npo_rt]}"),
        ("search.beta=[0.05]", "write 0.05"),
        ("search.beta={log_uniform: [0.03, 0.08]}", "did you mean {loguniform: [0.03, 0.08]}?"),
        ("search.beta={min: 0.03, max: 0.08}", "did you mean {uniform: [0.03, 0.08]}?"),
        ("search.beta={distribution: log_uniform_values, min: 0.03, max: 0.08}", "{loguniform: [0.03, 0.08]}?"),
        ("search.beta={values: [0.03, 0.08]}", "did you mean {choice: [0.03, 0.08]}?"),
        ("search.beta={value: 0.05}", "did you mean 0.05?"),
        ("search.lr=0.001", "did you mean 'learning_rate'?"),
        ("search.epochs=3", "set scheduler.max_epochs"),
        ("trial.lora=true", "is not a mapping of keys; write {rank: 16, alpha: 32}"),
        ("objectives=[forget_quality, model_utility]", "write {log10_forget_quality: max, model_utility: max}"),
        ("constraints.forget_rouge=0.4", "write {max: 0.4}"),
        ("seeds=3", "is not a list; write [0, 1, 2]"),
        ("scheduler={max_epochs: 6, grace_epochs: 8}", "scheduler.grace_epochs = 8: must be <= max_epochs 6; lower it"),
        ("searcher.name=tpe", "quasi_random, random, grid; did you mean 'optuna'?"),
        ("searcher.name=xyz", "quasi_random, random, grid; write one of these"),
        ("audit=3", "is neither true nor false; write true, false or"),
        ("model.base=/nope/model", "is not a folder; give a folder that exists, a hub id such as owner/name"),
        ("model.base=./nope", "is not a folder; give"),
        ("model.base=a/b/c", "is not a folder; give"),
        ("model.target=/nope", "is not a Hugging Face model folder"),
        (f"model.target={'x' * 300}", "is not a Hugging Face model folder"),
        (f"model.base={'x' * 300 + '/'}", "is not a folder; give"),
        (f"trial.refusals={'x' * 300}", "is not a file; give"),
        (f"benchmark={{name: tofu, path: {'x' * 300}}}", "is not a folder; give"),
    ],
)
def test_an_error_says_what_to_write_instead(mistake: str, message: str) -> None:
    assert message in refused(mistake)


def test_hub_ids_are_not_mistaken_for_folders() -> None:
    for name in ("gpt2", "HuggingFaceTB/SmolLM2-135M", "EleutherAI/pythia-1.4b"):
        assert load_spec("quickstart", [f"model.base={name}"]).model.base == name


NEED_SOMETHING = {
    "model.retain": "a model",
    "model.retain_log": "a log",
    "searcher.warm_start": "a sweep",
    "evaluation.harness": "a package",
}


@pytest.mark.parametrize("setting", sorted(EXAMPLES.keys() - NEED_SOMETHING.keys()))
def test_every_example_is_valid_as_it_is(setting: str) -> None:
    search = EXAMPLES["search"] if setting == "objectives" else None
    for text in re.split(r", (?=[\w.]+ or)| or ", EXAMPLES[setting]):
        load_spec(
            "quickstart", [f"{setting}={text}", *([f"search={search}"] if search else []), "budget.gpu_hours=null"]
        )


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("recipe: {epochs: 16}}", "recipe: {epochs: 16}", ":4: not valid YAML: the { in column 8 is not closed before"),
        ("npo, npo_rt]}", "npo, npo_rt}", ":6: not valid YAML: the [ in column 20 is not closed before column 43"),
        ("name: random, seed", "name: random seed", "add }, or a missing comma between its entries"),
        ("name: small", 'name: "small', ':2: not valid YAML: the " in column 7 is not closed'),
        ("  beta:", "\tbeta:", "indent with spaces, not with a tab"),
        ("  method:", " method:", "indent this line like the others"),
    ],
)
def test_a_syntax_error_is_reported_where_it_begins(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert right in SMALL and yaml.safe_load(SMALL)
    file = tmp_path / "it.yaml"
    file.write_text(SMALL.replace(right, wrong))
    with pytest.raises(SpecErrors) as caught:
        load_spec(file)
    assert message in caught.value.problems[0]


def test_a_folder_is_distinguished_from_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    with pytest.raises(SpecErrors, match=r"is a folder, not a sweep file; name one of its sweep files: mine\.yaml"):
        load_spec(tmp_path)


def test_suggested_fractions_have_no_more_digits_than_needed() -> None:
    problem = refused("search.forget_fraction=0.14", "benchmark.people=7")
    proposed = re.findall(r"(?:use|or) ([0-9.]+) \(\d of 7\)", problem)
    assert len(proposed) == 2 and all(len(text) <= 12 for text in proposed)
    for text in proposed:
        load_spec("quickstart", [f"search.forget_fraction={text}", "benchmark.people=7"])
