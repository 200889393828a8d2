"""A tree of rows holds every different beginning once, and a model that reads it says what it says of each row."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables.evaluation.small import examine, fresh_model, small_model, windowed_model
from tests.trainables.evaluation.small import small_tokenizer as tokenizer
from trainables.evaluation.scoring.prefix_tree import build_tree, tree_size
from trainables.evaluation.scoring.teacher_forced import score_prefix_tree
from trainables.model.cpu.patch import patch_for_cpu, reads_branches
from trainables.model.cpu.tree_attention import LONGEST_PATH
from trainables.model.packed_attention import use_packed_attention

on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU layers are compiled instead")

Tokens = tuple[int, ...]
few = st.integers(0, 2)  # of few kinds, so that rows begin alike
some_rows = st.lists(st.lists(few, min_size=1, max_size=8).map(tuple), min_size=1, max_size=12)
some_tokens = st.lists(few, min_size=1, max_size=7).map(tuple)
questions = st.lists(st.tuples(some_tokens, st.lists(some_tokens, min_size=1, max_size=4)), min_size=1, max_size=6)


def lean(model: Any) -> Any:
    found = copy.deepcopy(model)
    use_packed_attention(found)
    patch_for_cpu(found)
    return found


@given(some_rows)
def test_rows_are_found_along_their_paths_and_beginnings_once(rows: list[Tokens]) -> None:
    tree = build_tree(rows)
    assert [tuple(tree.ids[path].tolist()) for path in tree.paths] == rows
    assert all(tree.positions[path].tolist() == list(range(len(path))) for path in tree.paths)
    beginnings = {row[:stop] for row in rows for stop in range(1, len(row) + 1)}
    assert len(tree.ids) == len(beginnings) == tree_size(rows)


@given(some_rows)
def test_branches_follow_each_other_and_hold_all_tokens(rows: list[Tokens]) -> None:
    tree = build_tree(rows)
    own = [number for i, start in tree.branches for number in tree.paths[i][start:].tolist()]
    assert own == list(range(len(tree.ids)))


@on_cpu
@settings(deadline=None, max_examples=40)
@given(questions, st.sampled_from([1, 2, 4]))
def test_every_answer_equals_its_row_read_alone(asked: list[tuple[Tokens, list[Tokens]]], key_heads: int) -> None:
    model = _model(key_heads)
    prompts, texts = zip(*asked, strict=True)
    forced = score_prefix_tree(lean(model), prompts, texts)
    rows = [(prompt, text) for prompt, each in asked for text in each]
    assert forced.at is not None and forced.scores.logits is not None
    for i, (prompt, text) in enumerate(rows):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + text])).logits[0, len(prompt) - 1 : -1].double()
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(text)[:, None])[:, 0].tolist()
        count = len(text)
        assert forced.scores.token_log_probs[i, :count].tolist() == pytest.approx(expected, abs=2e-5, rel=2e-5)
        assert not forced.scores.token_log_probs[i, count:].any() and not forced.scores.mask[i, count:].any()
        assert forced.likeliest[i, :count].tolist() == logits.argmax(-1).tolist()
        torch.testing.assert_close(forced.scores.logits[forced.at[i, :count]].double(), logits, rtol=1e-3, atol=1e-4)


_MODELS: dict[int, Any] = {}


def _model(key_heads: int) -> Any:
    if key_heads not in _MODELS:
        config = copy.deepcopy(small_model().config)
        config.num_key_value_heads = key_heads
        torch.manual_seed(key_heads)
        model: Any = type(small_model())(config)
        for parameter in model.parameters():
            parameter.data.add_(0.05 * torch.randn(parameter.shape))
        _MODELS[key_heads] = model.eval()
    return _MODELS[key_heads]


@on_cpu
def test_an_evaluation_of_a_tree_is_the_same() -> None:
    plain, found = examine(small_model()), examine(lean(small_model()))
    for name, expected in plain.metrics.items():
        if not name.endswith("seconds"):
            assert found.metrics[name] == pytest.approx(expected, abs=1e-5, nan_ok=True), name
    for name, details in plain.details.items():
        assert found.details[name].generated == details.generated
        assert found.details[name].loss == pytest.approx(details.loss, abs=1e-5)


@on_cpu
def test_only_models_whose_attention_was_replaced_read_trees() -> None:
    assert not reads_branches(fresh_model(), 1)
    assert reads_branches(lean(fresh_model()), LONGEST_PATH)
    assert not reads_branches(lean(fresh_model()), LONGEST_PATH + 1)
    windowed = lean(windowed_model(len(tokenizer())))
    window = windowed.config.sliding_window
    assert reads_branches(windowed, window) and not reads_branches(windowed, window + 1)
