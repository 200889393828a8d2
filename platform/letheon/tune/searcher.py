"""A Ray Tune searcher that suggests the sweep controller's next trials, each in the journal before Tune gets it.

Results reach the controller through the scheduler, not through this searcher.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from letheon.journal import Row
from letheon.search.controller import SharedController


class JournalSearcher(Searcher):
    """`configure` makes the Tune configuration from a trial's row. `slots` returns how many trials may run at once now,
    which changes as nodes join and leave. Both must be picklable."""

    def __init__(
        self, controller: SharedController, configure: Callable[[Row], dict[str, Any]], slots: Callable[[], int]
    ) -> None:
        super().__init__()
        self._controller, self._configure, self._slots = controller, configure, slots
        self._running: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration, FINISHED, or None if all slots are busy."""
        if len(self._running) >= self._slots():
            return None
        row = self._controller().next_trial()
        if row is None:
            return str(Searcher.FINISHED)
        self._running.add(trial_id)
        return self._configure(row)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Free the trial's slot; the scheduler has passed its result to the controller."""
        self._running.discard(trial_id)

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        """Accept Tune's metric and mode without using them."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: a resumed sweep opens its controller from the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
