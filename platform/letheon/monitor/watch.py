"""Live views of a sweep's folder. Each look reads only the rows written since the last one. Never writes."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from letheon.journal import Folded, lock_holder, stratum_of, tracking_health, with_liveness
from letheon.journal.activity import read_activity
from letheon.journal.state import ACTIVE
from letheon.monitor.view import LiveFold, LiveView, SpecFacts
from letheon.search.preview import first_trials
from letheon.spec.model import LEARNING_SEARCHERS, SweepSpec
from letheon.spec.rules_objectives import goals_of
from letheon.spec.search_space import trial_count

MOST_COUNTED = 2000
"""Most planned trials for which the trials per fraction are counted in advance."""


def spec_facts(spec: SweepSpec) -> SpecFacts:
    """The facts of a sweep file that a view needs."""
    planned = trial_count(spec)
    countable = spec.searcher.name not in LEARNING_SEARCHERS and not spec.unknown_methods
    known = planned is not None and planned <= MOST_COUNTED and countable
    return SpecFacts(
        goals=goals_of(spec),
        planned=planned,
        by_stratum=Counter(row["stratum"] for row in first_trials(spec, planned)) if planned and known else {},
        strata=tuple(stratum_of(fraction) for fraction in spec.fractions),
        max_epochs=spec.scheduler.max_epochs,
        budget=spec.budget.limits,
        gpus_per_trial=spec.trial.workers * spec.trial.gpus,
    )


class LiveSweep:
    """A sweep's folder, read incrementally."""

    def __init__(self, folder: Path, spec: SpecFacts) -> None:
        self.folder = folder
        self._folded = Folded(folder / "journal.jsonl", lambda: LiveFold(spec))

    def look(self) -> LiveView:
        """The sweep's view now. Raises JournalError for a damaged journal."""
        driver = lock_holder(self.folder)
        clock = time.time()
        now = clock if driver else None
        fold = self._folded.current()
        state = with_liveness(fold.state(self.folder.name, now), driver, tracking_health(self.folder))
        view = fold.view(state, now if state.state in ACTIVE else None)
        # A driver that was killed leaves the file: it says how far the workers had got.
        known = state.state in ACTIVE or state.state == "interrupted"
        return replace(view, activity=read_activity(self.folder, clock)) if known else view
