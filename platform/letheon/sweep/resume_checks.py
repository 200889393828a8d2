"""Checks that a resumed sweep is the one that was started: same fields in its file, same digests of data and models.

Only fields that affect the amount or depth of the work, not its results, may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from letheon.analysis.seeds import front_with_means
from letheon.common.errors import LetheonError
from letheon.common.redaction import redact
from letheon.journal import Journal, Row, jsonable, summary
from letheon.search.controller import SweepController
from letheon.search.memory_journal import MemoryJournal
from letheon.sweep.finish import REPORT, Outcome

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from letheon.sweep.sweep import Sweep

MUTABLE_FIELDS = ("budget", "trial.max_failures", "trial.epoch_minutes", "scheduler.evaluate")
"""Paths of the fields, with all below them, that may change in the file of a sweep that has started."""

INPUT_DIGESTS = ("benchmark_digest", "target_digest", "retain_digest")
_ABSENT = "nothing"
_SHOWN_CHARACTERS = 80


class SweepChanged(LetheonError):
    """The sweep cannot be resumed because its inputs changed; one line per difference."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.differences = tuple(lines)
        super().__init__("\n".join(lines))

    @property
    def lines(self) -> tuple[str, ...]:
        return self.differences


def spec_for_journal(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved sweep file as plain JSON without passwords."""
    return {key: _without_secrets(value) for key, value in jsonable(spec).items()}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """`scheduler.max_epochs: 10 when the sweep began, 20 now` for every field that differs, except MUTABLE_FIELDS."""
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


def original_spec(rows: Sequence[Row]) -> Mapping[str, Any] | None:
    """The file that the sweep was started with, as `spec_for_journal` returned it; None before its first row."""
    return next((row["spec"] for row in rows if row["kind"] == "sweep" and "spec" in row), None)


def require_same_spec(rows: Sequence[Row], spec: Mapping[str, Any], sweep: str) -> None:
    """Raises SweepChanged if `spec` (resolved) is not the file that the sweep was started with."""
    original = original_spec(rows)
    found = [] if original is None else list(differences(original, spec_for_journal(spec)))
    if found:
        fix = f"restore spec.yaml of {sweep!r}, or start another sweep with it that learns from this one"
        raise SweepChanged([*found, f"{fix}: letheon sweep FILE --name NEW --warm-start {sweep}"])


def require_same_inputs(rows: Sequence[Row], digests: Callable[[], Mapping[str, Any]], sweep: str) -> None:
    """Raises SweepChanged if the digests of data, target or retain models differ from those of the first trials.

    `digests` returns the current ones; it is called only if there are earlier ones.
    """
    info: Mapping[str, Any] = next((row["info"] for row in rows if row["kind"] == "sweep" and row.get("info")), {})
    known = {name: info[name] for name in INPUT_DIGESTS if name in info}
    if not known:
        return
    current = digests()
    found = list(differences(known, {name: current[name] for name in known}))
    if found:
        fix = "restore the data, pin benchmark.revision and model.revision, or start another sweep"
        raise SweepChanged([*found, f"its trials cannot be compared with new ones: {fix}"])


def already_finished(sweep: Sweep) -> Outcome | None:
    """The sweep's outcome; None if anything is left to do: trials, an audit, the report, or its records."""
    from letheon.sweep.audit import is_audited

    rows = Journal.read(sweep.journal)
    state, report = summary(rows, sweep.name), sweep.folder / REPORT
    if state.state != "finished" or not report.is_file() or not _searched(sweep.spec, rows):
        return None
    if sweep.spec.audit and not is_audited(sweep, rows):
        return None
    where = _store_of_finished(sweep)
    if where is None:
        return None
    front = front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals)
    return Outcome(
        sweep.name, sweep.folder, "finished", front, None, report, state.seconds, where, over=state.detail, already=True
    )


def _searched(spec: SweepSpec, rows: list[Row]) -> bool:
    """Whether the search is over by the current sweep file, whose budget may have been raised."""
    ledger = MemoryJournal()
    ledger.rows, ledger.time = list(rows), float(rows[-1]["time"])
    return SweepController(spec, ledger).finished


def _store_of_finished(sweep: Sweep) -> str | None:
    """Address of the tracking store if it has the sweep as finished; None if not, or if it does not answer."""
    from letheon.tracking.reader import sweeps
    from letheon.tracking.store.errors import SweepNotFoundError, TrackingError

    try:
        client = sweeps.open_store(sweep.root)
        _, run = sweeps.find_sweep(client, sweep.name, sweep.spec.name)
    except (TrackingError, SweepNotFoundError):
        return None
    return redact(client.tracking_uri) if run.tags.get("letheon.state") == "finished" else None
