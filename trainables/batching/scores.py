"""What a forward pass says about a batch of rows: log-probabilities of the answer tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainables.batching.rows import IGNORED


@dataclass(frozen=True)
class Scores:
    """Per-token results aligned with the answer positions that were kept.

    All in float32, or in float64 where the model is. `token_log_probs`: (rows, positions), 0 where `mask` is False.
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
        """(rows,) log p(y|x): the sum over answer tokens, end of sequence included."""
        return self.token_log_probs.sum(-1)

    @property
    def lengths(self) -> Tensor:
        """(rows,) number of answer tokens, end of sequence included."""
        return self.mask.sum(-1)

    def rows(self, start: int, stop: int) -> Scores:
        """The same for rows start..stop."""
        return self._each(lambda tensor: tensor[start:stop])

    def everywhere(self, positions: int) -> Scores:
        """The first positions, all of them counted: what a mean over prompt and padding too is taken of.

        Where there is no answer token the target is what the label -100 points at, counted from the vocabulary's end.
        """
        cut = self._each(lambda tensor: tensor[:, :positions])
        targets = cut.targets
        if targets is not None and cut.logits is not None:
            targets = targets.masked_fill(~cut.mask, max(cut.logits.shape[-1] + IGNORED, 0))
        return replace(cut, mask=torch.ones_like(cut.mask), targets=targets)

    def later(self) -> Scores:
        """The same positions, counted one later: where answer tokens are read instead of predicted, as some published
        code does. There must be a position behind the last token (`Keep.last`).
        """
        return replace(self, mask=self.mask.roll(1, dims=-1))

    def _each(self, part: Callable[[Tensor], Tensor]) -> Scores:
        optional = (None if each is None else part(each) for each in (self.logits, self.targets, self.hidden))
        return Scores(part(self.token_log_probs), part(self.mask), *optional)
