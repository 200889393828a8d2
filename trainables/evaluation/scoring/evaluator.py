"""The model under evaluation: how questions become tokens, and how its work is shared among the ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from transformers import PreTrainedTokenizerBase

from trainables.batching.rows import Encoded
from trainables.config import EvaluationCompat, EvaluationConfig
from trainables.data.rows import Row
from trainables.data.tokenization import encode_row, end_id, row_prompt_ids
from trainables.evaluation.scoring.queries import Pair, Prompt
from trainables.runtime.progress import Stage
from trainables.runtime.ranks import Group

T = TypeVar("T")


@lru_cache(maxsize=1 << 16)  # a benchmark's rows are tokenised once per process, not once per epoch
def _encode(template: str, tokenizer: PreTrainedTokenizerBase, pair: Pair, code: EvaluationCompat) -> Encoded:
    return encode_row(template, tokenizer, Row(pair.question, pair.answer, raw=pair.raw), code)


@lru_cache(maxsize=1 << 14)
def _prompt_ids(template: str, tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> tuple[int, ...]:
    return row_prompt_ids(template, tokenizer, Row(prompt.question, prompt.begins, raw=prompt.raw))


def end_tokens(model: Any) -> frozenset[int]:
    """The tokens at which transformers' `generate` stops for this model."""
    found = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return frozenset() if found is None else frozenset([found] if isinstance(found, int) else found)


@dataclass(frozen=True)
class ModelRunner:
    """A model (in evaluation mode) on token ids, and the ranks that share the work.

    `end`: id of the token that closes answers, also used as padding. `batch_tokens`: padded tokens per forward pass.
    `ends`: the tokens at which generation stops. `hidden`: a token masked from attention.
    """

    model: Callable[..., Any]
    end: int
    batch_tokens: int
    group: Group
    ends: frozenset[int]
    hidden: int | None = None

    def hides(self, prompt: Sequence[int]) -> bool:
        """Whether the prompt has tokens that are masked from attention."""
        return self.hidden is not None and self.hidden in prompt

    def visible(self, prompt: tuple[int, ...]) -> tuple[int, ...]:
        """The prompt without hidden tokens: the same to generation, as transformers' `generate` counts positions of
        visible tokens only.
        """
        return tuple(token for token in prompt if token != self.hidden)

    def run_sharded(
        self, stage: Stage, batches: Sequence[Sequence[int]], one_batch: Callable[[Sequence[int]], Sequence[T]]
    ) -> dict[int, T]:
        """Results by item number, gathered on all ranks. `batches`: item numbers of this rank's batches.

        `stage`: its steps are this rank's items.
        """
        mine: dict[int, T] = {}
        for numbers in batches:
            mine.update(zip(numbers, one_batch(numbers), strict=True))
            stage.step(to=len(mine))
        return dict(self.group.gather(list(mine.items())))


@dataclass(frozen=True)
class EvaluatedModel:
    """A model (in evaluation mode) with its tokenizer and template, the settings of the evaluation, and the ranks."""

    model: Callable[..., Any]
    tokenizer: PreTrainedTokenizerBase
    template: str
    settings: EvaluationConfig
    group: Group

    @property
    def end(self) -> int:
        """Id of the token that closes every answer, also used as (masked) padding."""
        return end_id(self.template, self.tokenizer)

    @property
    def runner(self) -> ModelRunner:
        """The same model on token ids."""
        return ModelRunner(self.model, self.end, self.settings.batch_tokens, self.group, self.ends, self.hidden)

    @property
    def ends(self) -> frozenset[int]:
        """Tokens at which generation stops: the model's (`generation_config.eos_token_id`) and the template's.

        open-unlearning uses only the model's.
        """
        own = end_tokens(self.model)
        return own if own and self._open_unlearning else own | {self.end}

    @property
    def hidden(self) -> int | None:
        """The token that open-unlearning masks from attention: the padding, wherever it occurs."""
        pad_id: int | None = self.tokenizer.pad_token_id
        return pad_id if self._open_unlearning else None

    @property
    def _open_unlearning(self) -> bool:
        return self.settings.compat == "open_unlearning"

    def encoded(self, pair: Pair) -> Encoded:
        return _encode(self.template, self.tokenizer, pair, self.settings.compat)

    def text(self, tokens: Sequence[int]) -> str:
        """Generated tokens as text, without special tokens."""
        return self._tidied(str(self.tokenizer.decode(list(tokens), skip_special_tokens=True)))

    def reference(self, pair: Pair) -> str:
        """The answer as ROUGE compares it."""
        return self._tidied(pair.answer)

    def answer_text(self, pair: Pair) -> str:
        """The answer as membership inference compresses it; in open-unlearning, its decoded tokens."""
        if not self._open_unlearning:
            return pair.answer
        row = self.encoded(pair)
        decoded = str(self.tokenizer.decode(list(row.input_ids[row.answer_start :]), skip_special_tokens=True))
        # transformers 5 no longer applies this setting of the tokenizer.
        return self._cleaned(decoded) if self.tokenizer.clean_up_tokenization_spaces else decoded

    def _tidied(self, text: str) -> str:
        """The text as open-unlearning compares it: without spaces before punctuation and around the whole."""
        return self._cleaned(text).strip() if self._open_unlearning else text

    def _cleaned(self, text: str) -> str:
        return str(self.tokenizer.clean_up_tokenization(text))

    def prompt(self, prompt: Prompt) -> tuple[int, ...]:
        return _prompt_ids(self.template, self.tokenizer, prompt)
