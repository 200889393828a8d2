"""Ray Tune's view of the conductor's next trials: each is in the journal before Tune hears of it.

Nothing is learnt here: what trials showed reaches the conductor through the scheduler's side. The only module of the
package that imports Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from letheon.conductor import SharedConductor
from letheon.records import Row


class JournalSearcher(Searcher):
    """`configure` makes the Tune configuration from a trial's row; it must be picklable."""

    def __init__(self, conductor: SharedConductor, configure: Callable[[Row], dict[str, Any]]) -> None:
        super().__init__()
        self._conductor, self._configure = conductor, configure

    def suggest(self, trial_id: str) -> Any:
        row = self._conductor().next_trial()
        return str(Searcher.FINISHED) if row is None else self._configure(row)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The scheduler has told the conductor."""

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        """Accept Tune's metric and mode, which are not used."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """No state: a resumed sweep opens its conductor from the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
