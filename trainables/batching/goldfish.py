"""The goldfish mask: a share of tokens that is left out of a loss, the same ones wherever a passage recurs.

    token t is dropped  iff  hash( ids t-12 … t ) < share * 2^64

(Hans et al. 2024, arXiv 2406.10209, "Be like a goldfish", with k = 1/share and windows of 13 tokens as in their 1B
runs.) A model that is trained with it never learns a passage word for word, because it must guess the same tokens each
time it reads them. The first 12 tokens of a row are never dropped.

The authors hash the product of the 13 ids through a table of random numbers. That product overflows, ignores the order
of tokens, and the table differs between CPU and GPU. Here it is an integer hash in numpy, equal on every machine, so
masks are not those of their code bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from trainables.batching.rows import Encoded

WIDTH = 13
"""Tokens of a window, the one that may be dropped included."""
MOST = 0.5
"""The largest share; the paper's k is 2 or more."""

Numbers = np.ndarray[Any, np.dtype[np.uint64]]


def goldfish(rows: Iterable[Encoded], share: float) -> tuple[Encoded, ...]:
    """The rows with about `share` of their answer tokens dropped; windows reach back into the prompt.

    A row of which all tokens would go keeps its last one, since means over its tokens would divide by 0. Raises
    ValueError if the share is not in [0, 1/2].
    """
    if not 0 <= share <= MOST:
        raise ValueError(f"goldfish share {share}: must be from 0 (no token) to {MOST}; use 0.25 for the paper's k = 4")
    return tuple(_masked(row, share) for row in rows) if share else tuple(rows)


def _masked(row: Encoded, share: float) -> Encoded:
    hashes = window_hashes(np.array(row.input_ids, np.uint64))
    chosen = set(np.flatnonzero(hashes < np.uint64(share * 2**64)) + WIDTH - 1)
    dropped = [i for i in row.counted if i in chosen]
    return replace(row, dropped=tuple(dropped[:-1] if len(dropped) == row.answer_tokens else dropped))


def window_hashes(ids: Numbers) -> Numbers:
    """(tokens - WIDTH + 1,) hash of every window, in the order of the tokens it ends with."""
    windows = np.lib.stride_tricks.sliding_window_view(ids, WIDTH) if len(ids) >= WIDTH else ids[:0].reshape(0, WIDTH)
    found = np.zeros(len(windows), np.uint64)
    for column in windows.T:
        found = _mixed(found ^ column)
    return found


def _mixed(value: Numbers) -> Numbers:
    """SplitMix64's finaliser: every bit of the result depends on every bit of the value. Products wrap around."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
