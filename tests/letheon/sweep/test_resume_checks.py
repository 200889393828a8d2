"""A resumed sweep is the one that was started: every difference in its file and inputs is found and named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.journal import Journal
from letheon.spec.load import load_spec, resolved
from letheon.sweep.resume_checks import (
    MUTABLE_FIELDS,
    SweepChanged,
    differences,
    require_same_inputs,
    require_same_spec,
    spec_for_journal,
)
from letheon.sweep.run import resume_sweep
from letheon.sweep.sweep import SweepNotFound, find_sweep
from tests.letheon.small_sweep import write_space

INPUT_DIGESTS = {"benchmark_digest": "a1", "target_digest": "b2", "retain_digest": {"0.1": "c3", "0.2": "d4"}}
KEYS = st.sampled_from(["a", "b", "budget", "c"])
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@given(before=st.dictionaries(KEYS, TREES, max_size=4), now=st.dictionaries(KEYS, TREES, max_size=4))
def test_differences_are_those_of_all_but_the_mutable_fields(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert list(differences(before, before)) == []
    found = list(differences(before, now))
    held = [{key: value for key, value in tree.items() if key not in MUTABLE_FIELDS} for tree in (before, now)]
    assert bool(found) == (held[0] != held[1])
    assert len({line.partition(":")[0] for line in found}) == len(found)


def spec(folder: Path, *overrides: str) -> dict[str, Any]:
    return resolved(load_spec(write_space(folder), overrides))


def started(folder: Path) -> list[dict[str, Any]]:
    journal = Journal(folder / "journal.jsonl")
    journal.append("sweep", state="preparing", spec=spec_for_journal(spec(folder)))
    journal.append("sweep", state="running", info={"slots": 2, **INPUT_DIGESTS})
    return Journal.read(journal.path)


def test_the_same_file_is_accepted_and_so_is_one_with_more_budget(tmp_path: Path) -> None:
    rows = started(tmp_path)
    require_same_spec(rows, spec(tmp_path), "small")
    require_same_spec(
        rows, spec(tmp_path, "budget.trials=60", "trial.max_failures=5", "scheduler.evaluate=decision"), "small"
    )
    require_same_spec([], spec(tmp_path), "small")


def test_every_changed_field_is_named_with_both_values(tmp_path: Path) -> None:
    changed = ["scheduler.max_epochs=7", "search.learning_rate=0.5", "trial.deepspeed.zero_optimization.stage=2"]
    with pytest.raises(SweepChanged) as caught:
        require_same_spec(started(tmp_path), spec(tmp_path, *changed), "small")
    *lines, fix = caught.value.lines
    assert "scheduler.max_epochs: 4 when the sweep began, 7 now" in lines
    assert "trial.deepspeed.zero_optimization.stage: 0 when the sweep began, 2 now" in lines
    assert len(lines) == 3
    assert "--warm-start small" in fix


def test_other_inputs_are_refused_by_their_digests(tmp_path: Path) -> None:
    rows = started(tmp_path)
    require_same_inputs(rows, lambda: INPUT_DIGESTS, "small")
    other = {**INPUT_DIGESTS, "target_digest": "ff", "retain_digest": {"0.1": "c3", "0.2": "ee"}}
    with pytest.raises(SweepChanged, match=r"target_digest: b2 when the sweep began, ff now") as caught:
        require_same_inputs(rows, lambda: other, "small")
    assert [line.partition(":")[0] for line in caught.value.lines[:-1]] == ["target_digest", "retain_digest.0.2"]


def test_before_trials_ran_no_digest_is_computed() -> None:
    def never() -> dict[str, Any]:
        raise AssertionError("it reads the benchmark")

    require_same_inputs([{"kind": "sweep", "state": "preparing"}], never, "small")


def test_no_password_is_kept(tmp_path: Path) -> None:
    spec = {"model": {"base": "https://me:hunter2@host/x"}, "more": ["s3://a:b@c/?token=abc"]}
    text = json.dumps(spec_for_journal(spec))
    assert "hunter2" not in text
    assert "abc" not in text
    assert "https://***@host/x" in text


def test_an_edited_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    folder = tmp_path / "sweeps" / "small"
    folder.mkdir(parents=True)
    started(folder)
    text = write_space(tmp_path).read_text()
    (folder / "spec.yaml").write_text(text.replace("max_epochs: 4", "max_epochs: 5"))
    with pytest.raises(SweepChanged, match=r"scheduler.max_epochs: 4 when the sweep began, 5 now"):
        resume_sweep("small", tmp_path, show=lambda rows: None, say=lambda text: None)
    assert [row["state"] for row in Journal.read(folder / "journal.jsonl")] == ["preparing", "running"]


@pytest.mark.parametrize("name", ["../small", "small/../small", "/", "..", "", "-x", "small\n", "s" * 300, "smäll"])
def test_a_name_is_not_a_path(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "root" / "sweeps" / "small"
    folder.mkdir(parents=True)
    for place in (folder, tmp_path / "small", tmp_path / "root" / "small"):
        place.mkdir(exist_ok=True)
        (place / "spec.yaml").write_text(write_space(tmp_path).read_text())
    with pytest.raises(SweepNotFound, match="sweeps there: small"):
        find_sweep(name, tmp_path / "root")
    assert find_sweep("small", tmp_path / "root").folder == folder
