"""Valid sweep files load with their defaults, write back, and reload equal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.common.errors import SweepFileNotFound
from letheon.spec.load import dump_spec, json_schema, load_spec
from letheon.spec.model import SweepSpec
from letheon.spec.shipped import find_sweep_file, shipped_sweeps
from tests.letheon.spec.sweep_file import GOOD, write
from trainables.config import TINY_RECIPE, Hyperparameters, TrainingRecipe
from trainables.methods import METHODS


def test_tiny_has_its_own_recipe_which_a_file_may_change_in_part(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "model: {recipe: {epochs: 3}}\n")
    assert load_spec(file).model.recipe == TINY_RECIPE.model_copy(update={"epochs": 3})
    other = load_spec(file, ["model.base=someone/model"]).model.recipe
    assert other == TrainingRecipe(epochs=3)


def test_local_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tofu", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "target" / "config.json").write_text("{}")
    file = write(tmp_path, GOOD.replace("fictional, people: 20", "tofu, people: 20, path: tofu"))
    monkeypatch.chdir(tmp_path)
    spec = load_spec(file, ["model.target=target", "model.retain={0.1: ./target}", "model.base=target"])
    assert spec.benchmark.path == str(tmp_path / "tofu")
    assert (spec.model.base, spec.model.target) == (str(tmp_path / "target"), str(tmp_path / "target"))
    assert spec.model.retain == {0.1: str(tmp_path / "target")}


# ---- shipped files


def test_shipped_files_are_found_by_name_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("forget.jsonl", "retain.jsonl"):  # files that `qa` and `text` expect in the working folder
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert {"quickstart", "tofu-tiny", "lume", "muse", "qa", "text"} <= set(shipped_sweeps())
    for name, path in shipped_sweeps().items():
        assert find_sweep_file(name) == path
        assert load_spec(name).name == name


def test_an_unknown_name_is_reported_with_the_closest() -> None:
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
def test_a_written_spec_loads_equal(
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
def test_a_shipped_file_that_is_written_loads_equal(name: str, tmp_path: Path) -> None:
    spec = load_spec(name, ["search.batch_size={choice: [8, 16]}", "trial={workers: 2}"])
    assert load_spec(write(tmp_path, dump_spec(spec))) == spec


def test_the_schema_names_all_methods_and_hyper_parameters() -> None:
    schema = json_schema()
    search = schema["properties"]["search"]
    own = {name for method in METHODS.values() for name in method.hyperparameters}
    assert set(search["properties"]) == set(Hyperparameters.model_fields) - {"seed"} | own
    built_in = schema["then"]["properties"]["search"]
    assert set(built_in["properties"]["method"]["anyOf"][0]["enum"]) == set(METHODS)
    assert set(built_in["propertyNames"]["enum"]) == set(search["properties"])
    assert schema["additionalProperties"] is False
