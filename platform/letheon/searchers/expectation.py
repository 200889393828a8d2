"""What the next trials are still expected to add to each front, from its growth so far. Pure.

While configurations come in no particular order, the best of n trials is equally likely to be any of them, so the
chance that trial n + 1 moves a front falls like 1/n (records of an exchangeable sequence, Rényi 1962), and as much
growth is to be expected between n and 2n trials as there was between n/2 and n. A searcher that learns does better
than that at first and has then less left, so for it this is rather too much than too little.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from letheon.searchers.history import History

AHEAD = 8
"""The number of trials of each stratum that are looked ahead, and the least that must have ended before."""


def by_growth(after: Sequence[float], ahead: int = AHEAD) -> float | None:
    """What the next `ahead` trials are expected to add, as a share of the hypervolume now.

    `after`: the hypervolume of one front after each of its n ended trials. The growth over the last half of them, times
    ln((n + ahead) / n) / ln(n / floor(n / 2)). None before `ahead` trials have ended (at least 2), and without a front.
    """
    count = len(after)
    if count < max(ahead, 2) or after[-1] <= 0:
        return None
    half = count // 2
    growth = (after[-1] - after[half - 1]) / after[-1]
    return growth * math.log((count + ahead) / count) / math.log(count / half)


def still_expected(history: History, strata: Iterable[str]) -> dict[str, float | None]:
    """`by_growth` of each stratum; failed trials do not count."""
    return {key: by_growth(history.progress[key].after) if key in history.progress else None for key in strata}
