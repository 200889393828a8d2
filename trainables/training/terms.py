"""The terms of a loss, and the result of one part of an optimizer step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Terms:
    """One part's share of both losses (scalars, nats). `retain` is None for methods without a retain term."""

    forget: Tensor
    retain: Tensor | None
    tokens: int

    def detached(self) -> Terms:
        return Terms(self.forget.detach(), None if self.retain is None else self.retain.detach(), self.tokens)


@dataclass(frozen=True)
class Seen:
    """What a part of a step came to: the loss that was minimised (scalar), and its terms. Detached."""

    loss: Tensor
    terms: Terms

    @classmethod
    def of(cls, loss: Tensor, terms: Terms) -> Seen:
        return cls(loss.detach(), terms.detached())
