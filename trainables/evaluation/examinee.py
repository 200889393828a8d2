"""What is evaluated, and how a pass over it is shared out: results by item number, the same on every rank.

Knows how questions become tokens; not what is read off a forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from transformers import PreTrainedTokenizerBase

from trainables.config import EvaluationConfig
from trainables.data.rows import Row
from trainables.data.template import encode_row, end_id, row_prompt_ids
from trainables.evaluation.asked import Pair, Prompt
from trainables.group import Group
from trainables.scores import Encoded

T = TypeVar("T")


@lru_cache(maxsize=1 << 16)  # the rows of a benchmark are tokenised once in a process, not once an epoch
def _encode(template: str, tokenizer: PreTrainedTokenizerBase, pair: Pair) -> Encoded:
    return encode_row(template, tokenizer, Row(pair.question, pair.answer, raw=pair.raw))


@lru_cache(maxsize=1 << 14)
def _prompt_ids(template: str, tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> tuple[int, ...]:
    return row_prompt_ids(template, tokenizer, Row(prompt.question, prompt.begins, raw=prompt.raw))


@dataclass(frozen=True)
class Reader:
    """A model (in evaluation mode) that reads and writes token ids, and the ranks that share the work.

    `end`: id of the token that closes answers, padding too. `batch_tokens`: padded tokens of one forward pass.
    """

    model: Callable[..., Any]
    end: int
    batch_tokens: int
    group: Group

    def everywhere(
        self, hands: Sequence[Sequence[int]], one_batch: Callable[[Sequence[int]], Sequence[T]]
    ) -> dict[int, T]:
        """Results by item number, computed by the ranks in turn and gathered on all. `hands`: this rank's batches."""
        mine: dict[int, T] = {}
        for numbers in hands:
            mine.update(zip(numbers, one_batch(numbers), strict=True))
        return dict(self.group.gather(list(mine.items())))


@dataclass(frozen=True)
class Examinee:
    """What is evaluated, and how: a model (in evaluation mode), its tokenizer and template, settings, and the ranks."""

    model: Callable[..., Any]
    tokenizer: PreTrainedTokenizerBase
    template: str
    settings: EvaluationConfig
    group: Group

    @property
    def end(self) -> int:
        """Id of the token that closes every answer; attention never sees it as padding."""
        return end_id(self.template, self.tokenizer)

    @property
    def reader(self) -> Reader:
        """The same without its texts."""
        return Reader(self.model, self.end, self.settings.batch_tokens, self.group)

    def encoded(self, pair: Pair) -> Encoded:
        return _encode(self.template, self.tokenizer, pair)

    def prompt(self, prompt: Prompt) -> tuple[int, ...]:
        return _prompt_ids(self.template, self.tokenizer, prompt)
