"""The scores of a forward pass: log-probabilities of answer tokens and what else was kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainables.batching.rows import IGNORED


def to_float32(values: Tensor) -> Tensor:
    """The values in float32; float64 stays float64."""
    return values if values.dtype == torch.float64 else values.float()


@dataclass(frozen=True)
class Scores:
    """Results per token, aligned with the answer positions that were kept.

    All floats are float32, or float64 if the model is. `token_log_probs`: (rows, positions), 0 where `mask` is False.
    `mask`: (rows, positions) bool.
    `logits`: (rows, positions, vocabulary) or None. `targets`: (rows, positions) int64, the answer tokens (any
    id where `mask` is False). `hidden`: (rows, positions, width) hidden states of one layer, or None.
    """

    token_log_probs: Tensor
    mask: Tensor
    logits: Tensor | None = None
    targets: Tensor | None = None
    hidden: Tensor | None = None

    @property
    def sequence(self) -> Tensor:
        """(rows,) log p(y|x): the sum over answer tokens, including the end of sequence."""
        return self.token_log_probs.sum(-1)

    @property
    def lengths(self) -> Tensor:
        """(rows,) number of answer tokens, including the end of sequence."""
        return self.mask.sum(-1)

    def rows(self, start: int, stop: int) -> Scores:
        """Rows start..stop."""
        return self._map(lambda tensor: tensor[start:stop])

    def all_positions(self, positions: int) -> Scores:
        """The first `positions` positions, all of them in the mask: for means that include prompt and padding.

        Outside of the answer the target is the label -100, read as an index from the end of the vocabulary.
        """
        cut = self._map(lambda tensor: tensor[:, :positions])
        targets = cut.targets
        if targets is not None and cut.logits is not None:
            targets = targets.masked_fill(~cut.mask, max(cut.logits.shape[-1] + IGNORED, 0))
        return replace(cut, mask=torch.ones_like(cut.mask), targets=targets)

    def shifted(self) -> Scores:
        """The mask moved one position later, to where answer tokens are read instead of predicted, as some published
        code does. Needs a position after the last token (`ForwardOutputs.last`).
        """
        return replace(self, mask=self.mask.roll(1, dims=-1))

    def _map(self, function: Callable[[Tensor], Tensor]) -> Scores:
        optional = (None if each is None else function(each) for each in (self.logits, self.targets, self.hidden))
        return Scores(function(self.token_log_probs), function(self.mask), *optional)
