"""Rows as open-unlearning and the NPO repository tokenise them: token by token, as their own code did.

The goldens (`tests/goldens/make_templates.py`) are ids, labels and attention masks of toy tokenizers that have what is
peculiar to a family of models.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from tests.goldens.metric_models import FOLDER, load_tokenizer
from trainables.batching.code_bases import published_batch
from trainables.batching.rows import IGNORED, Batch, Encoded
from trainables.config import Compat
from trainables.data.benchmarks.registry import Row
from trainables.data.tokenization import encode_row, row_prompt_ids

FOUND = json.loads((FOLDER / "templates.json").read_text(encoding="utf-8"))


@cache
def tokenizer_of(name: str) -> Any:
    return load_tokenizer(name)


def cases(code: Compat) -> list[Any]:
    return [
        pytest.param(_spoken(case, template), template, id=f"{case['config']}-{case['tokenizer']}-{template}")
        for case in FOUND[code]["cases"]
        for template in case["templates"]
    ]


def _spoken(case: dict[str, Any], template: str) -> dict[str, Any]:
    """Tokenizers' own chat templates may take spaces off; formats that are written out keep them."""
    own = template in ("chat", "chat_system")
    return {**case, "rows": [row for row in case["rows"] if own or row["question"] == row["question"].strip()]}


def encoded_rows(case: dict[str, Any], template: str, code: Compat) -> list[Encoded]:
    tokenizer = tokenizer_of(case["tokenizer"])
    return [encode_row(template, tokenizer, Row(row["question"], row["answer"]), code) for row in case["rows"]]


def batch_of(case: dict[str, Any], template: str, code: Any) -> Batch:
    """As losses get the rows."""
    tokenizer = tokenizer_of(case["tokenizer"])
    return published_batch(
        code, encoded_rows(case, template, code), tokenizer.pad_token_id, tokenizer.eos_token_id, True
    )


def labels_of(row: Encoded) -> list[int]:
    return [IGNORED] * row.answer_start + list(row.input_ids[row.answer_start :])


def bits(mask: Iterable[int]) -> str:
    return "".join(str(int(each)) for each in mask)


@pytest.mark.parametrize(("case", "template"), cases("open_unlearning"))
def test_open_unlearning_s_tokens(case: dict[str, Any], template: str) -> None:
    tokenizer = tokenizer_of(case["tokenizer"])
    for golden, row in zip(case["rows"], encoded_rows(case, template, "open_unlearning"), strict=True):
        assert list(row.input_ids) == golden["input_ids"]
        assert labels_of(row) == golden["labels"]
        asked = row_prompt_ids(template, tokenizer, Row(golden["question"], golden["answer"]))
        assert list(asked) == golden["prompt_ids"]


@pytest.mark.parametrize(("case", "template"), cases("open_unlearning"))
def test_what_open_unlearning_hides_from_attention(case: dict[str, Any], template: str) -> None:
    pad_id = tokenizer_of(case["tokenizer"]).pad_token_id
    assert pad_id == case["pad_token_id"]
    batch = batch_of(case, template, "open_unlearning")
    assert batch.attention_mask is not None
    for golden, row in zip(case["rows"], batch.attention_mask.tolist(), strict=True):
        assert bits(row) == golden["attention_mask"][: len(row)]
        assert "1" not in golden["attention_mask"][len(row) :]
        seen = bits(token != pad_id for token in golden["prompt_ids"])
        assert golden["prompt_attention_mask"].endswith(seen)  # padded on the left


@pytest.mark.parametrize(("case", "template"), cases("npo"))
def test_npo_s_tokens_and_padding(case: dict[str, Any], template: str) -> None:
    rows, batch = encoded_rows(case, template, "npo"), batch_of(case, template, "npo")
    assert batch.attention_mask is not None
    assert batch.input_ids.shape[1] == case["width"]
    end = tokenizer_of(case["tokenizer"]).eos_token_id
    for i, golden in enumerate(case["rows"]):
        padding = case["width"] - len(golden["input_ids"])
        assert list(rows[i].input_ids) == golden["input_ids"]
        assert batch.input_ids[i].tolist() == golden["input_ids"] + [end] * padding
        assert batch.labels[i].tolist() == golden["labels"] + [IGNORED] * padding
        assert bits(batch.attention_mask[i].tolist()) == golden["attention_mask"] + "0" * padding
