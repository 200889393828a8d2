"""Hands the pending trials of a sweep to Ray Tune, in order. Which they are was decided before: nothing is learnt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ray.tune.search import Searcher


class PendingTrials(Searcher):
    """`configs`: the Tune configurations, unfinished trials first."""

    def __init__(self, configs: Iterable[dict[str, Any]]) -> None:
        super().__init__()
        self._pending = list(configs)

    def suggest(self, trial_id: str) -> Any:
        return self._pending.pop(0) if self._pending else str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to learn."""

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        """Accept Tune's metric and mode, which are not used."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """No state: a resumed sweep computes what is pending from its journal."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
