"""Teacher-forced scores of questions with several answers each; a question's prompt is read once for all of them.

If the model's attention supports it, one forward pass reads the prefix tree of all rows (`score_prefix_tree`). Else
there are two (`score_answers`): over the prompts without their last token, then over the answers, each after the last
token of its prompt, attending to the prompt's keys and values. The LM head runs on answer tokens only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from trainables.batching.rows import IGNORED
from trainables.batching.scores import Scores, to_float32
from trainables.evaluation.scoring.prefix_tree import build_tree
from trainables.model.cpu.patch import trims_last_layer
from trainables.model.cpu.tree_attention import Branches
from trainables.model.log_probs import by_chunks
from trainables.model.scoring import no_mask

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class TeacherForced:
    """`scores`: (answers, tokens), with logits and targets. `likeliest`: (answers, tokens) int64, the model's argmax.
    `hits`: (answers, tokens) bool, where that is the target. `at`: None, or (answers, tokens) int64, the index of each
    token in logits of shape (places, vocabulary); tokens may share a place.
    """

    scores: Scores
    likeliest: Tensor
    hits: Tensor
    at: Tensor | None = None


class UnsharedError(ValueError):
    """The model's layers do not keep plain keys and values, so the rows of a batch cannot share them."""


@torch.no_grad()
def score_answers(
    model: Callable[..., Any],
    prompts: Sequence[Tokens],
    answers: Sequence[Sequence[Tokens]],
    pad_id: int,
    device: torch.device | str = "cpu",
) -> TeacherForced:
    """Scores of all answers, question by question, in exactly two forward passes.

    Softmax in float32. Raises UnsharedError for models with other caches (sliding windows, recurrent layers).
    """
    prefixes = [prompt[:-1] for prompt in prompts]
    owners = [number for number, each in enumerate(answers) for _ in each]
    texts = [text for each in answers for text in each]
    targets = _pad([list(text) for text in texts], IGNORED)
    ids = _pad([[prompts[owner][-1], *text[:-1]] for owner, text in zip(owners, texts, strict=True)], pad_id)
    # Prefixes are padded on the right too: causal attention hides it from earlier positions, the mask from answers.
    width = max(1, *map(len, prefixes))
    output = model(
        input_ids=_pad([list(prefix) for prefix in prefixes], pad_id, width).to(device),
        use_cache=True,
        logits_to_keep=1,
    )
    owner = torch.tensor(owners)
    lengths = torch.tensor([len(prefix) for prefix in prefixes])[owner]
    seen = torch.arange(width) < lengths.unsqueeze(-1)
    output = model(
        input_ids=ids.to(device),
        attention_mask=torch.cat([seen, torch.ones_like(ids, dtype=torch.bool)], dim=-1).to(device),
        position_ids=(lengths.unsqueeze(-1) + torch.arange(ids.shape[1])).to(device),
        past_key_values=_shared(output.past_key_values, owner.to(device)),
        use_cache=True,
    )
    return _forced(output.logits, targets.to(device))


@torch.no_grad()
def score_prefix_tree(
    model: Callable[..., Any],
    prompts: Sequence[Tokens],
    answers: Sequence[Sequence[Tokens]],
    device: torch.device | str = "cpu",
) -> TeacherForced:
    """As `score_answers`, in one forward pass without padding that reads every distinct prefix once.

    `reads_branches` must be true for the model and the longest row.
    """
    rows = [(prompt, text) for prompt, each in zip(prompts, answers, strict=True) for text in each]
    tree = build_tree([(*prompt, *text)[:-1] for prompt, text in rows])
    before = [path[len(prompt) - 1 :] for path, (prompt, _) in zip(tree.paths, rows, strict=True)]
    kept, at = np.unique(np.concatenate(before), return_inverse=True)
    counts = [len(text) for _, text in rows]
    own = [len(tree.paths[i]) - start for i, start in tree.branches]
    ids, positions, keep = (torch.from_numpy(each).to(device) for each in (tree.ids, tree.positions, kept))
    logits = model(
        input_ids=ids[None],
        position_ids=positions[None],
        attention_mask=no_mask(ids),
        packing=Branches([tree.paths[i] for i, _ in tree.branches], own),
        use_cache=False,
        **({"kept": keep} if trims_last_layer(model) else {"logits_to_keep": keep}),
    ).logits[0]
    places = _pad([part.tolist() for part in np.split(at, np.cumsum(counts)[:-1])], 0).to(device)
    targets = _pad([list(text) for _, text in rows], IGNORED).to(device)
    mask = targets != IGNORED
    targets = targets.clamp(min=0)
    totals, said = by_chunks(lambda some: (to_float32(some).logsumexp(-1), some.argmax(-1)), logits)
    found = (to_float32(logits[places, targets]) - totals[places]).masked_fill(~mask, 0.0)
    likeliest = said[places]
    return TeacherForced(Scores(found, mask, logits, targets), likeliest, (likeliest == targets) & mask, places)


def teacher_forced_scores(scores: Scores) -> TeacherForced:
    """The same from scores of whole rows. Raises ValueError if they lack logits."""
    if scores.logits is None or scores.targets is None:
        raise ValueError("logits and targets None must be tensors: the likeliest tokens are read; score with LOGITS")
    likeliest = scores.logits.argmax(-1)
    return TeacherForced(scores, likeliest, (likeliest == scores.targets) & scores.mask)


def _pad(rows: Sequence[Sequence[int]], value: int, width: int = 0) -> Tensor:
    width = max(width, *map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def _shared(cache: Any, owner: Tensor) -> Any:
    """The cache with one row per answer."""
    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        kinds = sorted({type(layer).__name__ for layer in cache.layers})
        raise UnsharedError(f"cache layers {kinds}: only plain ones can share prompts; score every row whole")
    cache.batch_select_indices(owner)
    return cache


def _forced(logits: Tensor, targets: Tensor) -> TeacherForced:
    mask = targets != IGNORED
    targets = targets.clamp(min=0)
    log_probs, likeliest = read_logits(logits.flatten(0, 1), targets.flatten())
    scores = Scores(log_probs.view_as(targets).masked_fill(~mask, 0.0), mask, logits, targets)
    likeliest = likeliest.view_as(targets)
    return TeacherForced(scores, likeliest, (likeliest == targets) & mask)


def read_logits(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 log-probabilities of the targets and the likeliest tokens, each (positions,), from logits (positions,
    vocabulary).

    Computed in chunks, to hold neither float32 copies nor probabilities of all logits at once.
    """
    log_probs, likeliest = by_chunks(_read, logits, targets)
    return log_probs, likeliest


def _read(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    logits = to_float32(logits)
    chosen = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return chosen, logits.argmax(-1)
