"""The model, the rows and the step that tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from tests import tiny
from trainables.batching.rows import collate
from trainables.batching.schedule import micro_batches
from trainables.model.scoring import score
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine

STEPS, RESTART_AFTER = 4, 2
VOCABULARY = 48
ROWS = tiny.rows([9, 14, 7, 11, 12], 2, VOCABULARY)  # five: two workers never share them equally


def model() -> Any:
    shape = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "head_dim": 8}
    return tiny.llama(1, **shape, num_key_value_heads=4, initializer_range=0.02, tie_word_embeddings=True)


def step(engine: Engine, group: Group, micro: int) -> None:
    tokens = sum(len(row.input_ids) - row.answer_start for row in ROWS)
    micros = micro_batches(tuple(range(len(ROWS))), group.rank, group.size, micro)

    def losses() -> Iterator[Tensor]:
        for indices in micros:
            batch = collate([ROWS[i] for i in indices] or [ROWS[0]], 0).to(group.device)
            yield -score(engine.deepspeed, batch).rows(0, len(indices)).sequence.sum() / tokens

    engine.step(losses(), learning_rate=1e-2, count=len(micros))


def steps(engine: Engine, group: Group, micro: int, states: Path, restart: bool) -> None:
    """All steps, with the state saved on the way; or those after it, from that state."""
    if restart:
        engine.load_state(states)
    engine.model.train()
    for number in range(RESTART_AFTER if restart else 0, STEPS):
        step(engine, group, micro)
        if number + 1 == RESTART_AFTER and not restart:
            save(engine, group, states)


def save(engine: Engine, group: Group, states: Path, share: bool = True) -> dict[str, dict[str, Any]]:
    """Save the state, by default with the weights in a folder that it shares, as trials do. Returns its digests."""
    saved, weights = states.with_name(f"{states.name}-model"), engine.weights() if share else None
    if weights is not None:
        engine.model.save_pretrained(saved, state_dict=dict(weights))
    group.barrier()
    digests = engine.save_state(states, saved if share else None)
    group.barrier()
    return digests
