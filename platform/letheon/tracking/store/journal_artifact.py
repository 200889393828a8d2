"""Packs journal rows into the artifact `journal.jsonl.gz` of a sweep's run, and unpacks it without trusting it. Pure.

Equal rows give equal bytes on any machine, so a replay finds the same artifact already in the store.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from letheon.common.numbers import is_finite
from letheon.common.redaction import redact
from letheon.journal import JournalError, Row, decode_rows, encode_rows
from letheon.tracking.store.errors import TrackingError

JOURNAL = "journal.jsonl.gz"
MAX_PACKED = 256 * 2**20
MAX_BYTES = 2**30  # 1,000 trials of 10 epochs with 40 metrics are 15 MB
_TRIAL = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
_METRIC = re.compile(r"[\w\-./ ()%@+]{1,250}")
_OUTCOMES = {"completed", "pruned", "stopped", "collapsed", "failed", "interrupted"}


class Packer:
    """Packs a growing journal, encoding each row once."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def pack(self, rows: Sequence[Row]) -> bytes:
        """All rows without secrets, gzipped. `rows` must begin with those of the last call."""
        self._lines += [encode_rows([without_secrets(row)]) for row in rows[len(self._lines) :]]
        return gzip.compress(b"".join(self._lines[: len(rows)]), compresslevel=6, mtime=0)


def without_secrets(row: Row) -> Row:
    """The row with every text redacted, at any depth."""
    return {name: _clean(value) for name, value in row.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {_clean(str(name)): _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def unpack(data: bytes, where: str) -> list[Row]:
    """The rows of an artifact. Raises TrackingError, which names it `where`, if it is too large or not a journal."""
    if len(data) > MAX_PACKED:
        raise TrackingError(f"{where}: has {len(data)} bytes; a journal has at most {MAX_PACKED}, so it was not read")
    expander = zlib.decompressobj(wbits=31)
    try:
        text = expander.decompress(data, MAX_BYTES + 1)
        rows = decode_rows(text, where) if len(text) <= MAX_BYTES else []
    except (zlib.error, JournalError, RecursionError) as error:
        raise TrackingError(f"{where}: not a valid journal ({error}); the store may have been changed") from error
    if len(text) > MAX_BYTES or not expander.eof or expander.unused_data:
        raise TrackingError(f"{where}: truncated, or larger than any journal; the store may have been changed")
    _check(rows, where)
    return rows


def _check(rows: Iterable[Row], where: str) -> None:
    """Raise TrackingError unless the rows have the fields and types that readers of a journal rely on."""
    trials: set[str] = set()
    for row in rows:
        problem = _problem(row, trials)
        if problem:
            raise TrackingError(f"{where}, row {row['seq']}: {problem}; the store may have been changed")


def _problem(row: Row, trials: set[str]) -> str | None:  # noqa: PLR0911 - one rule per line
    """The first fault of a row, or None. Adds the trial that a row introduces to `trials`."""
    if not is_finite(row.get("time")):
        return "has no time"
    match row["kind"]:
        case "sweep":
            valid = isinstance(row.get("state"), str) and isinstance(row.get("info") or {}, Mapping)
            return None if valid else "has no state, or an info that is not a mapping"
        case "trial" | "warm":
            return _trial_problem(row, trials)
        case "report" | "audit":
            retain = row["kind"] == "audit" and row.get("epoch") == 0
            if not retain and str(row.get("trial")) not in trials:
                return "its trial has no earlier row"
            if not _is_count(row.get("epoch")) or not _are_metrics(row.get("metrics")):
                return "has no valid epoch and metrics"
            if not isinstance(row.get("decision") or {}, Mapping):
                return "its decision is not a mapping"
            return None if row["kind"] == "report" or _is_numeric(row.get("stratum")) else "has no valid stratum"
        case "end":
            valid = str(row.get("trial")) in trials and row.get("outcome") in _OUTCOMES and _is_count(row.get("epoch"))
            return None if valid else "has no valid trial, outcome and epoch"
    return None


def _trial_problem(row: Row, trials: set[str]) -> str | None:
    name = row.get("trial")
    if not isinstance(name, str) or not _TRIAL.fullmatch(name):
        return "its trial has no valid name"
    if not _is_numeric(row.get("stratum")) or not isinstance(row.get("config"), Mapping):
        return "its trial has no valid stratum and configuration"
    if not _are_metrics(row.get("baseline") or {}):
        return "its baseline is not a mapping of numbers"
    if row["kind"] == "trial":
        trials.add(name)
    return None


def _are_metrics(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(
        isinstance(name, str) and _METRIC.fullmatch(name) and (number is None or isinstance(number, int | float | str))
        for name, number in value.items()
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**6


def _is_numeric(value: object) -> bool:
    """Whether it is a text that reads as a finite number, as strata are."""
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False
