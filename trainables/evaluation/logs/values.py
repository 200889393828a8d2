"""Reads the values of a log leniently: rows as objects or lists, numbers as text or nested in lists.

`None` means "not measured"; NaN and infinity are measurements. Anything that is not a number raises LogError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from trainables.evaluation.logs.log import Column, Index, LogError, Value

_SLACK = 1e-4  # low-precision arithmetic exceeds the ends of a range by this much
_MOST_NAMES = 3


def rows_of(content: object, where: str) -> dict[Index, Any]:
    """Rows by index, from `{"0": …}` or a list: integers in order, then names. Raises LogError for anything else."""
    if isinstance(content, list):
        return dict(enumerate(content))
    if not isinstance(content, Mapping):
        raise LogError(f"{where}: is {_kind(content)}, must be rows by index; take the file as it was written")
    return in_order({_index(key): row for key, row in content.items()})


def in_order(rows: Mapping[Index, Any]) -> dict[Index, Any]:
    """Rows sorted by index: integers, then names."""
    return dict(sorted(rows.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def is_rows(content: object) -> bool:
    """Whether `content` is certainly rows: an object with integer keys, or a list."""
    if isinstance(content, Mapping):
        return bool(content) and all(isinstance(_index(key), int) for key in content)
    return isinstance(content, list)


def column(rows: Mapping[Index, Any], read: Callable[[Any, str], Value | None], where: str) -> Column:
    """The rows that have a value."""
    found = {index: read(row, f"{where}, row {index}") for index, row in rows.items()}
    return {index: value for index, value in found.items() if value is not None}


def missing(metric: str, column: str, rows: int) -> tuple[str, ...]:
    """A note about rows without a value, if any."""
    return (f"{metric}: {rows} rows have no {column} and are left out of it",) if rows else ()


def first_few(keys: Iterable[object]) -> str:
    """The first few keys, for an error."""
    names = [str(key)[:30] for key in keys]
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "") or "nothing"


def share(value: object, where: str) -> float | None:
    """A number between 0 and 1, NaN included."""
    found = score(value, where)
    if found is not None and not math.isnan(found) and not -_SLACK <= found <= 1 + _SLACK:
        raise LogError(f"{where}: is {found:g}, must lie between 0 and 1; take the file as it was written")
    return None if found is None else found if math.isnan(found) else min(1.0, max(0.0, found))


def loss(value: object, where: str) -> float | None:
    """A non-negative number, NaN and infinity included."""
    found = score(value, where)
    if found is not None and found < -_SLACK:
        raise LogError(f"{where}: is {found:g}, must not be negative; take the file as it was written")
    return None if found is None else found if math.isnan(found) else max(0.0, found)


def score(value: object, where: str) -> float | None:
    """Any number; the mean of several in lists."""
    found = _numbers(value, where)
    return None if found is None else sum(found) / len(found)


def losses(value: object, where: str) -> tuple[float, ...] | None:
    """One or more non-negative numbers."""
    found = _numbers(value, where)
    return None if found is None else tuple(loss(each, where) or 0.0 for each in found)


def shares(value: object, where: str) -> tuple[float, ...] | None:
    """One or more numbers between 0 and 1."""
    found = _numbers(value, where)
    return None if found is None else tuple(share(each, where) or 0.0 for each in found)


def text(value: object, where: str) -> str | None:
    """A text; None for anything else."""
    return value if isinstance(value, str) else None


def number(value: object) -> float | None:
    """A plain number, also as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _numbers(value: object, where: str) -> tuple[float, ...] | None:
    """All numbers of a nested list in order; None if it is empty or any is None."""
    found = []
    for leaf in _leaves(value):
        if leaf is None:
            return None
        if (plain := number(leaf)) is None:
            raise LogError(f"{where}: is {_kind(leaf)}, must be a number; take the file as it was written")
        found.append(plain)
    return tuple(found) or None


def _leaves(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list | tuple):
            waiting.extend(reversed(each))
        elif isinstance(each, Mapping):
            waiting.extend(reversed(list(rows_of(each, "").values())))
        else:
            yield each


def _index(key: object) -> Index:
    try:
        return int(str(key))
    except ValueError:
        return re.sub(r"[^\w .+/-]", "?", str(key)[:40])


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value[:20]!r}"
    names = {dict: "an object", list: "a list", bool: str(value).lower(), type(None): "null"}
    return names.get(type(value), f"{str(value)[:20]}")
