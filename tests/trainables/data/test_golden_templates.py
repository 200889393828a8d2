"""Rows as open-unlearning and the NPO repository tokenise them: token by token, as their own code did.

The goldens (`tests/goldens/make_templates.py`) are ids, labels and attention masks of toy tokenizers that have what is
peculiar to a family of models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest

from tests.goldens.metric_models import FOLDER, load_tokenizer
from trainables.code_bases import laid_out
from trainables.config import Compat
from trainables.data import Row
from trainables.data.template import encode_row, row_prompt_ids
from trainables.scores import IGNORED, Batch, Encoded

FOUND = json.loads((FOLDER / "templates.json").read_text(encoding="utf-8"))


@cache
def tokenizer_of(name: str) -> Any:
    return load_tokenizer(name)


def cases(code: Compat) -> Iterator[Any]:
    for case in FOUND[code]["cases"]:
        for template in case["templates"]:
            yield pytest.param(case, template, id=f"{case['config']}-{case['tokenizer']}-{template}")


def encoded_rows(case: dict[str, Any], template: str, code: Compat) -> list[Encoded]:
    tokenizer = tokenizer_of(case["tokenizer"])
    return [encode_row(template, tokenizer, Row(row["question"], row["answer"]), code) for row in case["rows"]]


def labels_of(row: Encoded) -> list[int]:
    return [IGNORED] * row.answer_start + list(row.input_ids[row.answer_start :])


def bits(mask: Sequence[int]) -> str:
    return "".join(map(str, mask))


def batch_of(case: dict[str, Any], template: str, code: Any) -> Batch:
    tokenizer = tokenizer_of(case["tokenizer"])
    return laid_out(code, encoded_rows(case, template, code), tokenizer.pad_token_id, tokenizer.eos_token_id, True)


@pytest.mark.parametrize(("case", "template"), cases("open_unlearning"))
def test_open_unlearning_s_tokens(case: dict[str, Any], template: str) -> None:
    tokenizer = tokenizer_of(case["tokenizer"])
    for golden, row in zip(case["rows"], encoded_rows(case, template, "open_unlearning"), strict=True):
        if template == "llama3" and golden["question"] != golden["question"].strip():
            continue  # written out, it keeps the spaces that the chat template takes off
        assert list(row.input_ids) == golden["input_ids"]
        assert labels_of(row) == golden["labels"]
        asked = row_prompt_ids(template, tokenizer, Row(golden["question"], golden["answer"]))
        assert list(asked) == golden["prompt_ids"]


@pytest.mark.parametrize(("case", "template"), cases("open_unlearning"))
def test_open_unlearning_s_padding_and_hidden_tokens(case: dict[str, Any], template: str) -> None:
    assert tokenizer_of(case["tokenizer"]).pad_token_id == case["pad_token_id"]
    if template == "llama3":
        case = {**case, "rows": [row for row in case["rows"] if row["question"] == row["question"].strip()]}
    batch = batch_of(case, template, "open_unlearning")
    assert batch.attention_mask is not None
    assert [bits(row) for row in batch.attention_mask.tolist()] == [row["attention_mask"] for row in case["rows"]]


@pytest.mark.parametrize(("case", "template"), cases("npo"))
def test_npo_s_tokens_and_padding(case: dict[str, Any], template: str) -> None:
    rows, batch = encoded_rows(case, template, "npo"), batch_of(case, template, "npo")
    assert batch.attention_mask is not None and batch.input_ids.shape[1] == case["width"]
    end = tokenizer_of(case["tokenizer"]).eos_token_id
    for i, golden in enumerate(case["rows"]):
        padding = case["width"] - len(golden["input_ids"])
        assert list(rows[i].input_ids) == golden["input_ids"]
        assert batch.input_ids[i].tolist() == golden["input_ids"] + [end] * padding
        assert batch.labels[i].tolist() == golden["labels"] + [IGNORED] * padding
        assert bits(batch.attention_mask[i].tolist()) == golden["attention_mask"] + "0" * padding
