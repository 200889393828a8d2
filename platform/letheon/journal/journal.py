"""The journal of a sweep: append-only JSON lines, durable when `append` returns, each fact at most once.

It defines the kinds of rows and what makes a row unique, not what decisions mean or who may write (`lock` keeps a
second driver out).

Rows are strict JSON. A metric may be NaN or infinite (a destroyed model is a result too): in the file those are the
strings "NaN", "Infinity" and "-Infinity", and floats again once read.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from letheon.common.errors import LetheonError, did_you_mean

Row = dict[str, Any]
Key = tuple[Any, ...]

KINDS = ("sweep", "warm", "trial", "report", "end", "audit")
PER_EPOCH = ("report", "audit")
METRIC_FIELDS = ("metrics", "baseline")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_METRIC = (int, float, type(None))
_REPORT_FIELDS: Mapping[str, type] = {"trial": str, "epoch": int, "metrics": dict}
# Checked on reading: a journal may come from a store that others write to.
_FIELDS: Mapping[str, Mapping[str, type]] = {
    "sweep": {"state": str},
    "warm": {"trial": str},
    "trial": {"trial": str, "stratum": str, "config": dict},
    "report": _REPORT_FIELDS,
    "audit": {**_REPORT_FIELDS, "stratum": str},
    "end": {"trial": str, "outcome": str, "reason": str},
}


class JournalError(LetheonError):
    """The file is not a journal, or a line before the last one is damaged."""

    exit_code = 5


class UnknownTrial(LetheonError):
    """The journal has no trial of this name."""

    exit_code = 4


def stratum_of(forget_fraction: float) -> str:
    """The name of a stratum, e.g. "0.05": the trials of one forget fraction. Only those are ever compared."""
    return f"{forget_fraction:g}"


def trial_row(rows: Iterable[Row], trial: str) -> Row:
    """The trial row of `trial`. Raises UnknownTrial, which suggests the closest name."""
    known = {row["trial"]: row for row in rows if row["kind"] == "trial"}
    if trial in known:
        return known[trial]
    raise UnknownTrial(f"{trial}: not a trial that this sweep has started; {did_you_mean(trial, known)}")


def jsonable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields for strict JSON, at any depth: NaN and infinities become null, numpy numbers become plain ones."""
    return {str(name): _plain(value) for name, value in fields.items()}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return jsonable(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    number = _number(value)
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _number(value: object) -> object:
    """A numpy scalar as a Python number; anything else unchanged."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _encode_metric(value: object) -> object:
    number = _number(value)
    if not isinstance(number, float) or math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _encode(row: Row) -> bytes:
    metrics = {
        field: {name: _encode_metric(value) for name, value in row[field].items()}
        for field in METRIC_FIELDS
        if field in row
    }
    text = json.dumps({**jsonable(row), **metrics}, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def encode_rows(rows: Iterable[Row]) -> bytes:
    """The rows as lines of a journal."""
    return b"".join(map(_encode, rows))


def decode_rows(data: bytes, where: str) -> list[Row]:
    """The rows of a journal's bytes, without a torn last line. Raises JournalError for any other damage."""
    return parse_rows(data, 0, where)[0]


def _decode(line: bytes) -> Row | None:
    """The row of a line (without its newline), or None if `append` cannot have written it."""
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not _has_fields(row):
        return None
    for field in METRIC_FIELDS:
        if row.get(field) is not None:
            row[field] = {k: _NON_FINITE.get(v, v) if isinstance(v, str) else v for k, v in row[field].items()}
    return row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}: not JSON")


def _has_fields(row: Mapping[str, Any]) -> bool:
    """Whether the row has the fields of its kind, with the right types."""
    wanted = _FIELDS.get(row["kind"]) if isinstance(row.get("kind"), str) else None
    if wanted is None or type(row.get("seq")) is not int or type(row.get("time")) not in (int, float):
        return False
    if any(type(row.get(field)) is not kind for field, kind in wanted.items()):
        return False
    return _is_numeric(row.get("stratum", "0")) and all(_are_metrics(row.get(field)) for field in METRIC_FIELDS)


def _is_numeric(text: object) -> bool:
    try:
        return isinstance(text, str) and math.isfinite(float(text))
    except ValueError:
        return False


def _are_metrics(metrics: object) -> bool:
    return metrics is None or (
        isinstance(metrics, dict)
        and all(
            value in _NON_FINITE if isinstance(value, str) else isinstance(value, _METRIC) for value in metrics.values()
        )
    )


def _key(kind: str, fields: Mapping[str, Any]) -> Key | None:
    """Identifies a row that may exist only once. None for `sweep` rows, which may repeat."""
    if kind == "sweep":
        return None
    return (kind, fields["trial"], fields["epoch"]) if kind in PER_EPOCH else (kind, fields["trial"])


def parse_rows(data: bytes, rows_before: int, path: str | Path) -> tuple[list[Row], int]:
    """The rows of `data`, and how many of its bytes they fill; the rest is a torn last line.

    `rows_before`: rows of the file before `data`. Raises JournalError if an earlier line is damaged.
    """
    rows: list[Row] = []
    used = 0
    *lines, _torn = data.split(b"\n")
    for line in lines:
        row = _decode(line)
        if row is None and used + len(line) + 1 == len(data):
            break  # the last line: after a power cut, blocks that never reached the disk read as zeros
        expected = rows_before + len(rows) + 1
        if row is None or row["seq"] != expected:
            found = "is not a row" if row is None else f"has seq {row['seq']}"
            raise JournalError(
                f"{path}, line {expected}: {found}; every line but the last must be row {expected} whole"
            )
        rows.append(row)
        used += len(line) + 1
    return rows, used


_STARTED = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)


def steady_time() -> float:
    """Unix seconds, counted by this process since its start, so that setting the clock changes no duration."""
    wall, boot = _STARTED
    return wall + time.clock_gettime(time.CLOCK_BOOTTIME) - boot


class Journal:
    """One sweep's journal, open for writing.

    Several objects (even threads) of one driver may share the file: each append takes the file's lock and first reads
    what others added. Pickles as its path, and reads the file again on first use.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], float] = steady_time) -> None:
        self.path = Path(path)
        self._clock = clock
        self._reset()
        self._open()

    def _reset(self) -> None:
        self._file: int | None = None
        self._rows: list[Row] = []
        self._index: dict[Key, Row] = {}
        self._size = 0
        self._thread = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    @staticmethod
    def read(path: str | os.PathLike[str]) -> list[Row]:
        """All whole rows in order, without a torn last line; none if the file does not exist yet.

        Raises JournalError if an earlier line is damaged.
        """
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            return []
        return parse_rows(data, 0, Path(path))[0]

    @property
    def rows(self) -> list[Row]:
        """All rows so far, including those of other writers. The rows are shared: do not change them."""
        with self._exclusive():
            return list(self._rows)

    def find(self, kind: str, trial: str, epoch: int | None = None) -> Row | None:
        """The `trial` or `end` row of a trial, or its `report` or `audit` of an epoch; None if not recorded."""
        with self._exclusive():
            return self._index.get((kind, trial) if epoch is None else (kind, trial, epoch))

    def append(self, kind: str, **fields: object) -> Row:
        """Write one row and force it to disk; returns the row as it reads back, with `seq` and `time` (unix seconds).

        A trial, a report or an audit of (trial, epoch) and the end of a trial are recorded once: if one exists, that
        row is returned and nothing is written. Raises ValueError for an unknown kind or a row that could not be read
        back, OSError if the write fails (the file then stays as it was).
        """
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}: a row must be one of {', '.join(KINDS)}")
        key = _key(kind, fields)
        with self._exclusive() as file:
            if key is not None and key in self._index:
                return self._index[key]
            line = _encode({"kind": kind, "seq": len(self._rows) + 1, "time": self._now(), **fields})
            rows, size = parse_rows(line, len(self._rows), self.path)
            if not rows:
                raise ValueError(f"{kind} row {fields}: must have {', '.join(_FIELDS[kind])}, of the right types")
            self._write(file, line)
            self._take(rows, size)
            return rows[0]

    def now(self) -> float:
        """The time that the next row would have, in unix seconds."""
        with self._exclusive():
            return self._now()

    def _now(self) -> float:
        """Never earlier than the last row, whose writer may have had another clock."""
        return max(self._clock(), self._rows[-1]["time"] if self._rows else 0.0)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._thread:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _open(self) -> int:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            _sync_folder(self.path.parent)
            with self._exclusive():
                pass  # reads the rows, and drops a torn last line
        return self._file

    @contextmanager
    def _exclusive(self) -> Iterator[int]:
        with self._thread:
            file = self._open()
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                self._catch_up(file)
                yield file
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)

    def _catch_up(self, file: int) -> None:
        size = os.fstat(file).st_size
        if size == self._size:
            return
        if size < self._size:
            raise JournalError(f"{self.path}: {size} bytes, {self._size} were written; a journal only grows")
        rows, used = parse_rows(os.pread(file, size - self._size, self._size), len(self._rows), self.path)
        self._take(rows, used)
        if self._size < size:  # we hold the lock, so the writer of this line has died
            os.ftruncate(file, self._size)

    def _take(self, rows: list[Row], size: int) -> None:
        for row in rows:
            key = _key(row["kind"], row)
            if key is not None:
                self._index[key] = row
        self._rows.extend(rows)
        self._size += size

    def _write(self, file: int, line: bytes) -> None:
        try:
            written = os.write(file, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes written", str(self.path))
            os.fsync(file)
        except OSError:
            os.ftruncate(file, self._size)
            raise


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as durable as its content."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
