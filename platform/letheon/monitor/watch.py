"""Sweeps under a root, looked at again and again: a look costs what was written since the last one. Never writes."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from letheon.journal import Folded, lock_holder, tracking_health, with_liveness
from letheon.journal.state import ACTIVE
from letheon.monitor.view import EvalQueries, LiveFold, LiveView
from letheon.search.preview import first_trials
from letheon.spec.model import LEARNING, SweepSpec
from letheon.spec.rules_objectives import goals_of
from letheon.spec.search_space import stratum, trial_count

COUNTED = 2000
"""Of more planned trials than these it is not found out beforehand how many each fraction gets."""


def asked_of(spec: SweepSpec) -> EvalQueries:
    """What a view needs of a sweep file."""
    planned = trial_count(spec)
    known = planned is not None and planned <= COUNTED and spec.searcher.name not in LEARNING
    return EvalQueries(
        goals=goals_of(spec),
        planned=planned,
        by_stratum=Counter(row["stratum"] for row in first_trials(spec, planned)) if planned and known else {},
        strata=tuple(stratum(fraction) for fraction in spec.fractions),
        max_epochs=spec.scheduler.max_epochs,
        budget=spec.budget.limits,
        gpus_per_trial=spec.trial.workers * spec.trial.gpus,
    )


class LiveSweep:
    """One sweep's folder."""

    def __init__(self, folder: Path, asked: EvalQueries) -> None:
        self.folder = folder
        self._folded = Folded(folder / "journal.jsonl", lambda: LiveFold(asked))

    def look(self) -> LiveView:
        """The sweep as it is now. Raises JournalError for a damaged journal."""
        driver = lock_holder(self.folder)
        now = time.time() if driver else None
        fold = self._folded.current()
        state = with_liveness(fold.state(self.folder.name, now), driver, tracking_health(self.folder))
        return fold.view(state, now if state.state in ACTIVE else None)
