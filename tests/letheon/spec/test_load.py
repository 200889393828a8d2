"""Sweep files: good ones load, override, write back and reload equal; bad ones are refused with all their errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.common.errors import SpecErrors, SweepFileNotFound
from letheon.spec.load import dump_spec, json_schema, load_spec
from letheon.spec.model import SweepSpec
from letheon.spec.shipped import find_sweep_file, shipped_sweeps
from tests.fuzz.targets import LONGEST_PROBLEM
from trainables.config import TINY_RECIPE, Hyperparameters, TrainingRecipe
from trainables.methods import METHODS

GOOD = """\
name: study
benchmark: {name: fictional, people: 20}
search:
  method: {choice: [ga, npo_rt]}
  forget_fraction: {choice: [0.1, 0.25]}
  learning_rate: {loguniform: [1.0e-5, 1.0e-3]}
  beta: {uniform: [0.05, 0.5]}
scheduler: {name: asha, max_epochs: 4}
budget: {trials: 8}
"""


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "space.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def errors_of(file: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(SpecErrors) as caught:
        load_spec(file, overrides)
    return caught.value.problems


# ---- bad files. Each: lines put in place of (or after) the good file's, and (line, fragments) of every expected error

Expected = list[tuple[int, tuple[str, ...]]]


def replaced(key: str, line: str) -> str:
    """The good file with the line of a key (at any depth) replaced; a new line at the end if there is none."""
    lines = GOOD.splitlines()
    for i, old in enumerate(lines):
        if old.strip().startswith(f"{key}:"):
            indent = old[: len(old) - len(old.lstrip())]
            lines[i] = indent + line
            return "\n".join(lines) + "\n"
    return GOOD + line + "\n"


BAD: dict[str, tuple[str, Expected]] = {
    "unknown key": (replaced("serach", "serach: {}"), [(10, ("serach", "unknown key", "did you mean 'search'?"))]),
    "unknown nested key": (
        replaced("scheduler", "scheduler: {max_epochs: 4, grace_epoch: 1, collapse: {flor: 0.5}}"),
        [(8, ("scheduler.grace_epoch", "'grace_epochs'")), (8, ("scheduler.collapse.flor", "'floor'"))],
    ),
    "misspelt method": (
        replaced("method", "method: {choice: [ga, npo_tr]}"),
        [(4, ("search.method.choice[1] = 'npo_tr'", "did you mean 'npo_rt'?"))],
    ),
    "misspelt hyper-parameter": (
        replaced("beta", "bta: 0.1"),
        [(7, ("search.bta = 0.1", "did you mean 'beta'?"))],
    ),
    "negative beta": (replaced("beta", "beta: -0.1"), [(7, ("search.beta = -0.1", "must be > 0", "mean 0.1?"))]),
    "log range from zero": (
        replaced("learning_rate", "learning_rate: {loguniform: [0, 1.0e-3]}"),
        [(6, ("search.learning_rate.loguniform[0] = 0", "must be > 0 in a log range"))],
    ),
    "min above max": (
        replaced("beta", "beta: {uniform: [0.5, 0.05]}"),
        [(7, ("search.beta.uniform", "0.5 must be < the upper end 0.05", "write [0.05, 0.5]"))],
    ),
    "half a range": (replaced("beta", "beta: {uniform: [0.5]}"), [(7, ("search.beta.uniform", "too few values"))]),
    "empty choice": (
        replaced("method", "method: {choice: []}"),
        [(4, ("search.method.choice = []", "empty list", "at least one"))],
    ),
    "value listed twice": (
        replaced("forget_fraction", "forget_fraction: {choice: [0.1, 0.10]}"),
        [(5, ("search.forget_fraction.choice[1]", "listed twice"))],
    ),
    "two kinds of domain": (
        replaced("beta", "beta: {uniform: [0.1, 0.2], choice: [0.1]}"),
        [(7, ("search.beta", "has several kinds at once: uniform, choice", "exactly one of"))],
    ),
    "unknown kind of domain": (
        replaced("beta", "beta: {normal: [0, 1]}"),
        [(7, ("search.beta", "is not a kind of search"))],
    ),
    "eta of one": (
        replaced("scheduler", "scheduler: {max_epochs: 4, reduction_factor: 1}"),
        [(8, ("scheduler.reduction_factor = 1", "must be > 1"))],
    ),
    "fraction the benchmark has not": (
        replaced("forget_fraction", "forget_fraction: {choice: [0.1, 0.33]}"),
        [(5, ("search.forget_fraction.choice[1] = 0.33", "must be a whole number"))],
    ),
    "fraction TOFU has not": (
        replaced("benchmark", "benchmark: {name: tofu}"),
        [(5, ("search.forget_fraction.choice[1] = 0.25", "TOFU is split at"))],
    ),
    "fractions outside (0, 1)": (
        replaced("forget_fraction", "forget_fraction: {choice: [0, 1.5]}"),
        [(5, ("choice[0] = 0", "must be > 0")), (5, ("choice[1] = 1.5", "must be <= 1"))],
    ),
    "range of fractions": (
        replaced("forget_fraction", "forget_fraction: {uniform: [0.1, 0.3]}"),
        [(5, ("search.forget_fraction.uniform", "cannot be a range", "choice"))],
    ),
    "duplicate key": (
        GOOD + "name: other\n",
        [(10, ("name: this key is written twice", "line 1"))],
    ),
    "duplicate nested key": (
        replaced("beta", "beta: 0.1\n  beta: 0.2"),
        [(8, ("search.beta: this key is written twice", "line 7"))],
    ),
    "not finite": (
        replaced("beta", "beta: {choice: [.nan, .inf]}"),
        [(7, ("choice[0] = '.nan': is not a number",)), (7, ("choice[1] = '.inf': is not a number",))],
    ),
    "octal": (replaced("budget", "budget: {trials: 010}"), [(9, ("'010': is not a whole number", "leading zeros"))]),
    "python tag": (
        replaced("name", "name: !!python/object/apply:os.system [id]"),
        [(1, ("YAML tag", "not allowed"))],
    ),
    "anchor and alias": (
        replaced("beta", "beta: &x 0.1\n  retain_weight: *x"),
        [(7, ("anchor &x is not allowed",)), (8, ("alias *x is not allowed",))],
    ),
    "no mapping": ("- a\n- b\n", [(1, ("does not hold a mapping",))]),
    "empty file": ("", [(0, ("does not hold a mapping",))]),
    "broken syntax": (
        "name: [\nsearch: {\n",
        [(3, ("not valid YAML", "close the bracket or the quote that is still open"))],
    ),
    "two documents": (GOOD + "---\nname: other\n", [(10, ("found another document", "one file holds one sweep"))]),
    "deep nesting": ("x: " + "[" * 5000, [(1, ("nested deeper",))]),
    "nothing but a name": (
        "name: x\n",
        [(1, ("search: is missing",)), (1, ("budget.trials: is missing", "`trials: 16`"))],
    ),
    "long names of what is not allowed": (
        f"a: !{'t' * 5000} x\nb: &{'a' * 5000} x\nc: *{'a' * 5000}\n",
        [(1, ("YAML tag '!ttt", "…")), (2, ("anchor &aaa", "…")), (3, ("alias *aaa", "…"))],
    ),
    "long tag of no kind": (f"a: !{'t' * 5000}!x\n", [(1, ("not valid YAML", "…"))]),
    "long path": (
        GOOD + "trial:\n deepspeed:\n" + "".join(f"{' ' * i}{'k' * 99}:\n" for i in range(2, 27)) + f"{' ' * 27}? []\n",
        [(37, ("trial.deepspeed.kkk", "a key must be plain text"))],
    ),
    "missing hyper-parameters": (
        "name: x\nbudget: {trials: 1}\nsearch:\n  method: ga\n",
        [(3, ("search.forget_fraction: is missing",)), (3, ("search.learning_rate: is missing",))],
    ),
    "grid with a range": (
        GOOD + "searcher: {name: grid}\n",
        [(6, ("search.learning_rate", "grid cannot walk")), (7, ("search.beta", "grid cannot walk"))],
    ),
    "bad name": (
        replaced("name", "name: ../Über Sweep"),
        [(1, ("name = '../Über Sweep'", "a-z, 0-9", "write ber-sweep"))],
    ),
    "DeepSpeed keys of the sweep": (
        GOOD
        + "trial:\n  deepspeed:\n    train_batch_size: 8\n    bf16: {enabled: true}\n    optimizer: {type: Adam}\n",
        [
            (12, ("trial.deepspeed.train_batch_size", "set by the sweep", "trial.batch_size")),
            (13, ("trial.deepspeed.bf16", "trial.precision: bf16")),
            (14, ("trial.deepspeed.optimizer", "search.learning_rate")),
        ],
    ),
    "DeepSpeed values": (
        GOOD + "trial: {deepspeed: {zero_optimization: {stage: 4}}}\n",
        [(10, ("zero_optimization.stage = 4", "0, 1, 2 or 3"))],
    ),
    "searched and fixed": (
        replaced("beta", "batch_size: {choice: [8, 16]}") + "trial: {batch_size: 8}\n",
        [(10, ("trial.batch_size", "also searched"))],
    ),
    "seeds": (GOOD + "seeds: [0, 0]\n", [(10, ("seeds", "listed twice"))]),
    "searched seed": (replaced("beta", "seed: 3"), [(7, ("search.seed", "seeds: [0, 1]"))]),
    "model": (
        GOOD + "model: {base: tny, template: plane, target: /nowhere, recipe: {epochs: 0}}\n",
        [
            (10, ("model.recipe.epochs = 0", "must be >= 1")),
            (10, ("model.base = 'tny'", "'tiny'")),
            (10, ("model.template = 'plane'", "'plain'")),
            (10, ("model.target", "config.json")),
        ],
    ),
    "everything at once": (
        "name: A\nbenchmark: {nme: tofu}\nsearch: {method: nop, learning_rate: -1e-5, forget_fraction: 2}\nseeds: []\n",
        [
            (1, ("name = 'A'",)),
            (1, ("budget.trials: is missing",)),
            (2, ("benchmark.nme", "did you mean 'name'?")),
            (3, ("search.method = 'nop'", "did you mean 'npo'?")),
            (3, ("search.learning_rate = -1e-05", "must be > 0")),
            (3, ("search.forget_fraction = 2", "must be <= 1")),
            (4, ("seeds = []", "empty list")),
        ],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_all_of_its_errors(case: str, tmp_path: Path) -> None:
    text, expected = BAD[case]
    file = write(tmp_path, text)
    problems = list(errors_of(file))
    assert all("\n" not in problem and "; " in problem and len(problem) < LONGEST_PROBLEM for problem in problems)
    for line, fragments in expected:
        place = f"{file}:{line}: " if line else f"{file}: "
        matching = [p for p in problems if p.startswith(place) and all(f in p for f in fragments)]
        assert matching, f"line {line} with {fragments} not among\n" + "\n".join(problems)
        problems.remove(matching[0])
    assert problems == []


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(b"name: \xff\xfe", "not UTF-8"), (b"# " + b"x" * 1_000_001, "larger than"), (b"name: \x00", "not valid YAML")],
)
def test_files_that_are_no_text_are_refused(content: bytes, fragment: str, tmp_path: Path) -> None:
    (problem,) = errors_of(write(tmp_path, content))
    assert fragment in problem


def test_hostile_text_cannot_forge_lines_of_output(tmp_path: Path) -> None:
    problems = errors_of(write(tmp_path, GOOD + '"x\\nspace.yaml:1: \\e[31mfine": 1\n'))
    assert all(problem.isprintable() for problem in problems)


def test_a_bad_file_is_refused_before_ray_is_loaded(tmp_path: Path) -> None:
    file = write(tmp_path, BAD["everything at once"][0])
    code = (
        "import sys\nfrom letheon.cli import app\n"
        f"try: app(['sweep', {str(file)!r}])\n"
        "except SystemExit as end: print(end.code, *sorted({'ray', 'torch', 'mlflow', 'deepspeed'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "2", done.stderr
    assert len(done.stderr.splitlines()) == len(BAD["everything at once"][1])
    assert "Traceback" not in done.stderr


# ---- overrides


def test_overrides_win_and_make_missing_sections(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    spec = load_spec(file, ["trial.workers=2", "search.beta=0.3", "search.method.choice=[npo]", "model.template="])
    assert spec.trial.workers == 2
    assert spec.search["beta"] == 0.3
    assert spec.search["method"].model_dump() == {"choice": ("npo",)}  # type: ignore[union-attr]
    assert spec.model.template is None


@pytest.mark.parametrize(
    ("override", "fragments"),
    [
        ("serach.beta=1", ("unknown key", "did you mean 'search'?")),
        ("search.bta=1", ("unknown key", "did you mean 'beta'?")),
        ("search.beta=-1", ("search.beta = -1", "must be > 0")),
        ("budget.trials=.inf", ("is not a whole number",)),
        ("search.bta=null", ("search.bta: cannot be removed", "did you mean 'beta'?")),
        ("name.first=x", ("has no keys", "name=…")),
        ("budget.trials", ("is not key.path=value",)),
        ("=3", ("is not key.path=value",)),
        ("search.beta={choice: [1", ("not valid YAML",)),
        ("search.beta=!!float 1", ("YAML tag",)),
    ],
)
def test_an_error_in_an_override_names_the_override(override: str, fragments: tuple[str, ...], tmp_path: Path) -> None:
    (problem, *rest) = errors_of(write(tmp_path, GOOD), override)
    assert problem.startswith(f"--set {override}: ")
    assert all(fragment in problem for fragment in fragments), problem
    assert rest == []


def test_null_removes_what_is_searched_and_is_a_value_elsewhere(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "constraints: {forget_rouge: {max: 0.4}}\n")
    spec = load_spec(file, ["search.method=ga", "search.beta=null", "constraints.forget_rouge=", "model.template=null"])
    assert set(spec.search) == {"method", "forget_fraction", "learning_rate"}
    assert (spec.constraints, spec.model.template) == ({}, None)
    alone = [f"search.{name}=null" for name in ("retain_weight", "beta", "beta1", "beta2")]
    (problem,) = errors_of(file, "search.method=ga")
    assert "remove it (--set search.beta=null does)" in problem
    assert "beta1" not in load_spec("quickstart", ["search.method=ga", *alone]).search


def test_words_mean_what_they_do_in_yaml_1_2(tmp_path: Path) -> None:
    trial = "trial: {compile: on, deepspeed: {a: 5e8, b: 010, c: 1_000, d: 1:30, e: no, f: '1e5', g: 2020-01-01}}\n"
    spec = load_spec(write(tmp_path, GOOD.replace("1.0e-5, 1.0e-3", "1e-5, 1e-3") + trial))
    assert spec.search["learning_rate"].model_dump() == {"loguniform": (1e-5, 1e-3)}  # type: ignore[union-attr]
    values = {"a": 5e8, "b": "010", "c": 1000, "d": "1:30", "e": False, "f": "1e5", "g": "2020-01-01"}
    assert (spec.trial.compile, spec.trial.deepspeed) == ("on", values)
    assert load_spec(write(tmp_path, dump_spec(spec))) == spec


def test_an_override_mends_the_file(tmp_path: Path) -> None:
    assert load_spec(write(tmp_path, replaced("budget", "budget: {trials: 0}")), ["budget.trials=3"]).budget.trials == 3


# ---- defaults


def test_the_recipe_of_tiny_is_its_own_and_may_be_given_in_part(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "model: {recipe: {epochs: 3}}\n")
    assert load_spec(file).model.recipe == TINY_RECIPE.model_copy(update={"epochs": 3})
    other = load_spec(file, ["model.base=someone/model"]).model.recipe
    assert other == TrainingRecipe(epochs=3)


def test_local_folders_come_out_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tofu", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "target" / "config.json").write_text("{}")
    file = write(tmp_path, replaced("benchmark", "benchmark: {name: tofu, people: 20, path: tofu}"))
    monkeypatch.chdir(tmp_path)
    spec = load_spec(file, ["model.target=target", "model.retain={0.1: ./target}", "model.base=target"])
    assert spec.benchmark.path == str(tmp_path / "tofu")
    assert (spec.model.base, spec.model.target) == (str(tmp_path / "target"), str(tmp_path / "target"))
    assert spec.model.retain == {0.1: str(tmp_path / "target")}


# ---- shipped files


def test_shipped_files_are_found_by_name_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("forget.jsonl", "retain.jsonl"):  # `qa` and `text` read the user's files where the command runs
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert {"quickstart", "tofu-tiny", "lume", "muse", "qa", "text"} <= set(shipped_sweeps())
    for name, path in shipped_sweeps().items():
        assert find_sweep_file(name) == path
        assert load_spec(name).name == name


def test_a_name_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(SweepFileNotFound, match="did you mean 'quickstart'"):
        load_spec("quikstart")


# ---- writing back

numbers = st.floats(1e-9, 1e3, allow_nan=False)
ranges = st.tuples(numbers, numbers).filter(lambda pair: pair[0] < pair[1])
domains = st.one_of(
    numbers,
    ranges.map(lambda pair: {"uniform": pair}),
    ranges.map(lambda pair: {"loguniform": pair}),
    st.lists(numbers, min_size=1, max_size=4, unique=True).map(lambda values: {"choice": values}),
)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)


@settings(max_examples=60, deadline=None)
@given(
    name=names,
    learning_rate=domains,
    beta=domains,
    decay=domains,
    seeds=st.lists(st.integers(0, 9), min_size=1, unique=True),
)
def test_a_spec_that_is_written_loads_equal(
    name: str,
    learning_rate: object,
    beta: object,
    decay: object,
    seeds: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    search = {
        "method": "npo",
        "forget_fraction": 0.1,
        "learning_rate": learning_rate,
        "beta": beta,
        "weight_decay": decay,
    }
    data = {"name": name, "search": search, "budget": {"trials": 3}, "seeds": seeds}
    spec = SweepSpec.model_validate(data)
    file = tmp_path_factory.mktemp("spec") / "written.yaml"
    file.write_text(dump_spec(spec))
    assert load_spec(file) == spec


@pytest.mark.parametrize("name", ["quickstart", "tofu-tiny"])
def test_a_shipped_file_written_and_loaded_is_equal(name: str, tmp_path: Path) -> None:
    spec = load_spec(name, ["search.batch_size={choice: [8, 16]}", "trial={workers: 2}"])
    assert load_spec(write(tmp_path, dump_spec(spec))) == spec


def test_the_schema_knows_methods_and_hyper_parameters() -> None:
    schema = json_schema()
    search = schema["properties"]["search"]
    assert set(search["properties"]) == set(Hyperparameters.model_fields) - {"seed"}
    assert set(search["properties"]["method"]["anyOf"][0]["enum"]) == set(METHODS)
    assert schema["additionalProperties"] is False
