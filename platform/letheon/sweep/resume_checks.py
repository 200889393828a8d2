"""A sweep that is resumed must be the one that was begun: its file by its fields, its data and models by their digests.

Pure functions of the journal's rows. What only says how long, how often, how patiently or how thoroughly a sweep runs
may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from letheon.analysis.seeds import front_with_means
from letheon.journal import Journal, Row, summary
from letheon.search.controller import SweepController
from letheon.search.memory_journal import MemoryJournal
from letheon.sweep.finish import REPORT, Outcome

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from letheon.sweep.sweep import Sweep

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from letheon.common.errors import LetheonError
from letheon.common.redaction import redact
from letheon.journal import jsonable

MUTABLE_FIELDS = ("budget", "trial.max_failures", "trial.epoch_minutes", "scheduler.evaluate")
"""What may be changed in the file of a sweep that has begun, by the beginning of its path."""

INPUT_DIGESTS = ("benchmark_digest", "target_digest", "retain_digest")
_ABSENT = "nothing"
_SHOWN_CHARACTERS = 80


class SweepChanged(LetheonError):
    """What was begun cannot be gone on with; one line for each difference."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.differences = tuple(lines)
        super().__init__("\n".join(lines))

    @property
    def lines(self) -> tuple[str, ...]:
        return self.differences


def recorded(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved sweep file as the journal keeps it: plain JSON without passwords."""
    return {key: _without_secrets(value) for key, value in jsonable(spec).items()}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """`scheduler.max_epochs: 10 when the sweep began, 20 now` for every field that differs, FREE ones left out."""
    for key in dict.fromkeys((*before, *now)):
        place, old, new = f"{path}{key}", before.get(key, _ABSENT), now.get(key, _ABSENT)
        if old == new or place in MUTABLE_FIELDS:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{place}.")
        else:
            yield f"{place}: {_shown(old)} when the sweep began, {_shown(new)} now"


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def begun_with(rows: Sequence[Row]) -> Mapping[str, Any] | None:
    """The sweep file that the sweep was begun with, as `recorded` made it; None before that."""
    return next((row["spec"] for row in rows if row["kind"] == "sweep" and "spec" in row), None)


def require_same_spec(rows: Sequence[Row], spec: Mapping[str, Any], sweep: str) -> None:
    """Raises SweepChanged if `spec` (resolved) is not the one that the sweep was begun with."""
    begun = begun_with(rows)
    found = [] if begun is None else list(differences(begun, recorded(spec)))
    if found:
        fix = f"put spec.yaml of {sweep!r} back, or begin another sweep with it that learns from this one"
        raise SweepChanged([*found, f"{fix}: letheon sweep FILE --name NEW --warm-start {sweep}"])


def require_same_inputs(rows: Sequence[Row], ground: Callable[[], Mapping[str, Any]], sweep: str) -> None:
    """Raises SweepChanged if data, target or retain models have other digests than when trials first ran.

    `ground` gives today's digests; it is asked only if there are earlier ones.
    """
    begun: Mapping[str, Any] = next((row["info"] for row in rows if row["kind"] == "sweep" and row.get("info")), {})
    known = {name: begun[name] for name in INPUT_DIGESTS if name in begun}
    if not known:
        return
    today = ground()
    found = list(differences(known, {name: today[name] for name in known}))
    if found:
        fix = (
            "its trials cannot be compared with new ones: put the data back, pin benchmark.revision and model.revision"
        )
        raise SweepChanged([*found, f"{fix}, or begin another sweep"])


def finished_already(sweep: Sweep) -> Outcome | None:
    """How it ended; None where anything is left to do: trials, an audit, the report, or its records."""
    from letheon.sweep.audit import is_audited

    rows = Journal.read(sweep.journal)
    state, report = summary(rows, sweep.name), sweep.folder / REPORT
    if state.state != "finished" or not report.is_file() or not _searched(sweep.spec, rows):
        return None
    if sweep.spec.audit and not is_audited(sweep, rows):
        return None
    where = _recorded(sweep)
    if where is None:
        return None
    front = front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals)
    return Outcome(
        sweep.name, sweep.folder, "finished", front, None, report, state.seconds, where, over=state.detail, already=True
    )


def _searched(spec: SweepSpec, rows: list[Row]) -> bool:
    """Whether nothing is open and nothing is to come, by the sweep file as it is now: its budget may have grown."""
    journal = MemoryJournal()
    journal.rows, journal.time = list(rows), float(rows[-1]["time"])
    return SweepController(spec, journal).finished


def _recorded(sweep: Sweep) -> str | None:
    """Where the tracking store has it as finished; None if it has not, or cannot be asked."""
    from letheon.common.redaction import redact
    from letheon.tracking.reader import sweeps
    from letheon.tracking.store.errors import SweepNotFoundError, TrackingError

    try:
        client = sweeps.open_store(sweep.root)
        _, run = sweeps.find_sweep(client, sweep.name, sweep.spec.name)
    except (TrackingError, SweepNotFoundError):
        return None
    return redact(client.tracking_uri) if run.tags.get("letheon.state") == "finished" else None
