"""The first trials of a sweep, before anything runs. Pure."""

from __future__ import annotations

from letheon.journal import Row
from letheon.search.controller import SweepController
from letheon.search.memory_journal import MemoryJournal
from letheon.spec.model import SweepSpec


def first_trials(spec: SweepSpec, count: int) -> list[Row]:
    """The rows of the first `count` trials (fewer if the search ends), as proposed before any trial has reported."""
    controller = SweepController(spec, MemoryJournal())
    found = (controller.next_trial() for _ in range(count))
    return [row for row in found if row is not None]
