"""The two terms of a loss, and the result of one micro-batch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Terms:
    """A micro-batch's share of both losses (scalars, nats). `retain` is None for methods without a retain term."""

    forget: Tensor
    retain: Tensor | None
    tokens: int

    def detached(self) -> Terms:
        return Terms(self.forget.detach(), None if self.retain is None else self.retain.detach(), self.tokens)


@dataclass(frozen=True)
class MicroBatchResult:
    """The minimised loss of a micro-batch (scalar) and its terms, detached."""

    loss: Tensor
    terms: Terms

    @classmethod
    def of(cls, loss: Tensor, terms: Terms) -> MicroBatchResult:
        return cls(loss.detach(), terms.detached())
