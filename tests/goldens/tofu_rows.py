"""Rows as the code that descends from TOFU's makes them: by its own function, from texts, padded to a fixed width.

The tokenizer here takes texts of token numbers for what they say, so that function's tokens are the rows' own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BatchEncoding

from tests.goldens.loss_rows import Row

Inputs = tuple[Tensor, Tensor, Tensor]
"""Token ids, labels, attention mask; each (rows, width)."""
Convert = Callable[..., Inputs]

TAGS = {"question_start_tag": "", "question_end_tag": " ", "answer_tag": ""}


class NumberTokenizer:
    """Splits at spaces; as Llama-2's, it does not add the end of sequence by itself."""

    def __init__(self, end: int) -> None:
        self.eos_token_id = self.pad_token_id = end

    def tokenize(self, text: str, add_special_tokens: bool = True) -> list[str]:
        return text.split()

    def __call__(self, text: str, **others: Any) -> BatchEncoding:
        ids = [int(number) for number in text.split()]
        return BatchEncoding({"input_ids": ids, "attention_mask": [1] * len(ids)})


def converted(convert: Convert, rows: Sequence[Row], end: int, width: int, **others: Any) -> Inputs:
    """The rows by a peer's `convert_raw_data_to_model_format` or its like, as one batch."""
    ids, labels, masks = zip(*(_converted(convert, row, end, width, **others) for row in rows), strict=True)
    return torch.stack(ids), torch.stack(labels), torch.stack(masks)


def _converted(convert: Convert, row: Row, end: int, width: int, **others: Any) -> Inputs:
    assert row.ids[-1] == end  # the function adds it to the labels, and the padding is it
    question, answer = (" ".join(map(str, part)) for part in (row.ids[: row.answer], row.ids[row.answer : -1]))
    return convert(NumberTokenizer(end), width, question, answer, TAGS, **others)
