"""Files that are no logs, or logs gone wrong: every one ends in a LogError of one sentence, or is read.

Any bytes: `tests/fuzz`.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables.evaluation.small_logs import FILES, Model
from trainables.evaluation.logs.compare import compare_logs
from trainables.evaluation.logs.log import LogError
from trainables.evaluation.logs.read import parse_log, read_log

MODEL = Model(1, knows=0.5)
KEYS = [*MODEL.open_unlearning(), *FILES.values(), "avg_gt_loss", "average_perturb_loss", "value_by_index", "agg_value"]
KEYS += [
    "prob",
    "avg_loss",
    "score",
    "0",
    "1",
    "letheon",
    "sets",
    "membership",
    "forget_verbmem_ROUGE",
    "mia_reference",
]

numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([1e308, -1.0, 10**400, 2**63]))
leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5), st.sampled_from(["nan", "1e400", "0.5"]))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=3)), inner, max_size=5),
    ),
    max_leaves=20,
)


@cache
def good() -> Any:
    return parse_log(MODEL.open_unlearning(), "good.json")


def read_or_refuse(content: Any) -> None:
    """Nothing but LogError, and no error that is a page."""
    try:
        log = parse_log(content, "bad.json")
        for pair in ((good(), log), (log, good())):
            json.dumps(compare_logs(*pair))
    except LogError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(("bad.json", "good.json"))
        assert len(str(error)) < 400


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


@pytest.mark.parametrize("form", [MODEL.open_unlearning, MODEL.legacy, lambda: MODEL.legacy(as_lists=True)])
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), value=trees)
def test_a_log_with_one_value_replaced(form: Callable[[], Any], seed: int, value: Any) -> None:
    log = form()
    place = random.Random(seed).choice(places(log)[1:])
    read_or_refuse(replaced(log, place, value))


def replaced(log: Any, place: tuple[Any, ...], value: Any) -> Any:
    inner = copy.deepcopy(log)
    holder = inner
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return inner


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"forget_Q_A_Prob": ' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (gzip.compress(b'{"model_utility": 0.5}', mtime=0), "is not UTF-8 text"),
        (b"[1, 2]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"a": 1, "b": 2}', "has a, b and no metric"),
        (b'{"model_utility": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"forget_Q_A_Prob": "high"}', "forget_Q_A_Prob: is the text 'high', must be rows by index"),
        (b'{"forget_Q_A_Prob": {"value_by_index": 3}}', "is 3, must be rows by index"),
        (b'{"forget_Q_A_Prob": {"value_by_index": {"0": {"prob": true}}}}', "row 0: is true, must be a number"),
        (b'{"forget_Q_A_Prob": {"value_by_index": {"7": {"prob": 1.5}}}}', "row 7: is 1.5, must lie between 0 and 1"),
        (b'{"forget_Q_A_Prob": {"value_by_index": {"0": {"avg_loss": -2}}}}', "is -2, must not be negative"),
        (b'{"forget_Q_A_ROUGE": {"value_by_index": {"0": {"rougeL_recall": "x"}}}}', "the text 'x', must be a number"),
        (b'{"mia_loss": "x"}', "must have the scores of forget and holdout rows"),
        (b'{"eval_log_forget.json": {"avg_gt_loss": "x"}}', "must be rows by index"),
    ],
)
def test_what_is_said(tmp_path: Path, content: bytes, text: str) -> None:
    file = tmp_path / "log.json"
    file.write_bytes(content)
    with pytest.raises(LogError) as caught:
        read_log(file)
    assert text in str(caught.value)
    assert str(caught.value).startswith(str(file))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="is not a file"):
        read_log(tmp_path / "absent.json")
    with pytest.raises(LogError, match="is a folder without"):
        read_log(tmp_path)
