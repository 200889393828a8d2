"""Journal rows as the artifact `journal.jsonl.gz` of a sweep's run, and back. Pure; what is read back is not trusted.

Equal rows give equal bytes, on any machine and in any process: a replay uploads what is there already.
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
    """Packs a journal that grows, encoding each row once."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def pack(self, rows: Sequence[Row]) -> bytes:
        """All rows, each text without secrets. `rows` begin as those of the last call."""
        self._lines += [encode_rows([without_secrets(row)]) for row in rows[len(self._lines) :]]
        return gzip.compress(b"".join(self._lines[: len(rows)]), compresslevel=6, mtime=0)


def without_secrets(row: Row) -> Row:
    """The row with every text in it redacted, at any depth."""
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
    """The rows of an artifact. Raises TrackingError for one that is too large, damaged or not a journal."""
    if len(data) > MAX_PACKED:
        raise TrackingError(f"{where}: has {len(data)} bytes, a journal has at most {MAX_PACKED}; it is not read")
    expander = zlib.decompressobj(wbits=31)
    try:
        text = expander.decompress(data, MAX_BYTES + 1)
        rows = decode_rows(text, where) if len(text) <= MAX_BYTES else []
    except (zlib.error, JournalError, RecursionError) as error:
        raise TrackingError(f"{where}: is not a journal ({error}); the store may have been changed") from error
    if len(text) > MAX_BYTES or not expander.eof or expander.unused_data:
        raise TrackingError(f"{where}: is cut short, or larger than any journal; the store may have been changed")
    checked(rows, where)
    return rows


def checked(rows: Iterable[Row], where: str) -> None:
    """Raise TrackingError unless the rows have the fields and types that readers of a journal rely on."""
    trials: set[str] = set()
    for row in rows:
        problem = _problem(row, trials)
        if problem:
            raise TrackingError(f"{where}, row {row['seq']}: {problem}; the store may have been changed")


def _problem(row: Row, trials: set[str]) -> str | None:  # noqa: PLR0911 - one rule a line
    if not is_finite(row.get("time")):
        return "has no time"
    match row["kind"]:
        case "sweep":
            told = isinstance(row.get("state"), str) and isinstance(row.get("info") or {}, Mapping)
            return None if told else "a sweep's row has a state"
        case "trial" | "warm":
            return _of_a_trial(row, trials)
        case "report" | "audit":
            retain = row["kind"] == "audit" and row.get("epoch") == 0
            if not retain and str(row.get("trial")) not in trials:
                return "is of a trial that was never introduced"
            if not _whole(row.get("epoch")) or not _metrics(row.get("metrics")):
                return "has no epoch and metrics"
            if not isinstance(row.get("decision") or {}, Mapping):
                return "its decision is not a mapping"
            return None if row["kind"] == "report" or _number_text(row.get("stratum")) else "has no stratum"
        case "end":
            known = str(row.get("trial")) in trials and row.get("outcome") in _OUTCOMES and _whole(row.get("epoch"))
            return None if known else "its trial, outcome or epoch is none"
    return None


def _of_a_trial(row: Row, trials: set[str]) -> str | None:
    name = row.get("trial")
    if not isinstance(name, str) or not _TRIAL.fullmatch(name):
        return "its trial has no name"
    if not _number_text(row.get("stratum")) or not isinstance(row.get("config"), Mapping):
        return "its trial has no stratum or configuration"
    if not _metrics(row.get("baseline") or {}):
        return "its baseline is not a mapping of numbers"
    if row["kind"] == "trial":
        trials.add(name)
    return None


def _metrics(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(
        isinstance(name, str) and _METRIC.fullmatch(name) and (number is None or isinstance(number, int | float | str))
        for name, number in value.items()
    )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**6


def _number_text(value: object) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False
