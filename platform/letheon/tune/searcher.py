"""Ray Tune's view of the conductor's next trials: each is in the journal before Tune hears of it.

Nothing is learnt here: what trials showed reaches the conductor through the scheduler's side. The only module of the
package that imports Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from letheon.journal import Row
from letheon.search.controller import SharedController


class JournalSearcher(Searcher):
    """`configure` makes the Tune configuration from a trial's row, `room` says how many trials may run at once now, for
    nodes come and go. Both must be picklable."""

    def __init__(
        self, conductor: SharedController, configure: Callable[[Row], dict[str, Any]], room: Callable[[], int]
    ) -> None:
        super().__init__()
        self._conductor, self._configure, self._room = conductor, configure, room
        self._running: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        """None: ask again later."""
        if len(self._running) >= self._room():
            return None
        row = self._conductor().next_trial()
        if row is None:
            return str(Searcher.FINISHED)
        self._running.add(trial_id)
        return self._configure(row)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The scheduler has told the conductor what there is to know."""
        self._running.discard(trial_id)

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        """Accept Tune's metric and mode, which are not used."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """No state: a resumed sweep opens its conductor from the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
