"""How published code bases lay rows out: what they pad with, how wide, and what attention does not see.

`npo` pads every row with the end token, up to 500 tokens, and hides the padding from its first token on, which is the
row's own end. `open_unlearning` pads to the longest row and hides every token that equals the padding token wherever
it occurs: for models that pad with the end of a turn, this hides the ends of turns inside the prompt too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from trainables.batching.rows import Batch, Encoded, collate, mask_token

NPO_WIDTH = 500
"""Tokens that the NPO paper's code pads every row to."""


def published_batch(
    code: Literal["npo", "open_unlearning"], rows: Sequence[Encoded], pad_id: int, end_id: int, everywhere: bool
) -> Batch:
    """The rows as the code base batches them. `everywhere`: whether a loss includes prompt and padding; if not, the
    NPO code's padding changes nothing and is left out.
    """
    if code == "open_unlearning":
        return mask_token(collate(rows, pad_id), pad_id)
    if not everywhere:
        return collate(rows, pad_id)
    batch = collate(rows, end_id, NPO_WIDTH)
    visible = torch.tensor([len(row.input_ids) - (row.input_ids[-1] == end_id) for row in rows])
    return replace(batch, attention_mask=(torch.arange(batch.input_ids.shape[1]) < visible[:, None]).long())
