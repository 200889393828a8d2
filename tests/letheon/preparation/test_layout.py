"""Artifacts of a sweep: named by everything they depend on, listed in the order in which they are built."""

from __future__ import annotations

from pathlib import Path

from letheon.preparation.artifacts import Prepared
from letheon.preparation.layout import layout
from letheon.spec.load import load_spec
from trainables.config import TinySize
from trainables.jobs.specs import BaseJob, BaselineJob, FinetuneJob


def prepared(root: Path, *overrides: str) -> Prepared:
    return layout(load_spec("quickstart", overrides), root)


def keys(found: Prepared) -> list[str]:
    base = [found.base.key] if found.base else []
    return [*base, *(each.key for each in (found.target, *found.retain.values(), *found.baseline.values()))]


def test_everything_is_listed_after_what_it_needs(tmp_path: Path) -> None:
    found = prepared(tmp_path)
    order = [artifact.key for artifact in found.missing]
    assert [artifact.kind for artifact in found.missing] == ["base", "target", *["retain"] * 2, *["baseline"] * 2]
    for artifact in found.missing:
        assert all(order.index(other.key) < order.index(artifact.key) for other in found.needs(artifact))


def test_names_change_with_the_recipe_and_the_data_but_not_with_the_search(tmp_path: Path) -> None:
    same = keys(prepared(tmp_path))
    assert len(set(same)) == 6
    assert keys(prepared(tmp_path, "search.learning_rate=0.001", "budget.trials=3")) == same
    assert not set(keys(prepared(tmp_path, "benchmark.people=10"))) & set(same)
    recipe = keys(prepared(tmp_path, "model.recipe.epochs=3"))
    assert recipe[0] == same[0], "the base does not depend on the recipe of fine-tuning"
    assert not set(recipe[1:]) & set(same[1:])
    evaluation = keys(prepared(tmp_path, "evaluation.max_new_tokens=8"))
    assert [evaluation[i] == same[i] for i in range(6)] == [True] * 4 + [False] * 2


def test_a_base_of_another_size_has_another_name(tmp_path: Path) -> None:
    same = keys(prepared(tmp_path))
    assert keys(prepared(tmp_path, "model.size.hidden=128")) == same, "that is the default"
    other = prepared(tmp_path, "model.size.hidden=64")
    assert not set(keys(other)) & set(same)
    assert other.base is not None and isinstance(other.base.job, BaseJob)
    assert other.base.job.size == TinySize(hidden=64)


def test_a_finished_target_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    found = prepared(tmp_path, f"model.target={tmp_path}/mine")
    assert (found.target.path, found.target.job) == (tmp_path / "mine", None)
    assert "target" not in {artifact.kind for artifact in found.missing}
    retain, baseline = found.retain[0.1].job, found.baseline[0.1].job
    assert isinstance(retain, FinetuneJob) and isinstance(baseline, BaselineJob)
    assert (baseline.target, baseline.retain) == (str(tmp_path / "mine"), retain.folder)
