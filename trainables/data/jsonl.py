"""Reads JSON lines into objects with their line numbers, and reports all problems of a file at once.

Depends on no benchmark.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from trainables.data.text_files import read_text

T = TypeVar("T")

SHOWN_PROBLEMS = 50
SHOWN_CHARACTERS = 60


class DataErrors(ValueError):
    """`problems`: one sentence each (place, value, rule, fix), at most `SHOWN_PROBLEMS`; the message lists them."""

    def __init__(self, problems: Sequence[str]) -> None:
        hidden = len(problems) - SHOWN_PROBLEMS
        more = [f"and {hidden} more like these; correct them in the same way"] if hidden > 0 else []
        self.problems = (*problems[:SHOWN_PROBLEMS], *more)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Record:
    """One object of a file; `place` is file:line."""

    place: str
    fields: Mapping[str, Any]


def read_records(path: Path, given: str, problems: list[str]) -> Iterator[Record]:
    """The objects of a file of JSON lines; blank lines are skipped. `given` is the option and its value.

    Problems are appended to `problems` as lines are reached, so a caller's own problems are in order with them.
    """
    try:
        text = read_text(path, given)
    except ValueError as error:
        problems.append(str(error))
        return
    if text.lstrip()[:1] == "[" and _parse(text)[1] is None:
        problems.append(f"{path}:1: a JSON array; must be one object per line; write it with `jq -c '.[]'`")
        return
    if not text.strip():
        problems.append(f"{given}: no rows; at least one is needed; write one JSON object per line")
    # Not splitlines(): a JSON string may contain U+2028 and the like unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        value, problem = _parse(line)
        if problem is None and not isinstance(value, dict):
            problem = f"{show(value)} is not an object; must be one object per line; write {{...}}"
        if problem is None:
            yield Record(f"{path}:{number}", value)
        else:
            problems.append(f"{path}:{number}: {problem}")


def _parse(line: str) -> tuple[Any, str | None]:
    """(value, None), or (None, problem) if the text is not valid JSON."""
    try:
        return _DECODER.decode(line), None
    except json.JSONDecodeError as error:
        what = f"not JSON at character {error.pos + 1} ({error.msg})"
        return None, f"{what}; must be one object per line; quote texts and escape line ends in them as \\n"
    except RecursionError:
        return None, "nested too deeply; must be an object of texts; write question and answer only"
    except ValueError as error:  # from the hooks below, or a number of thousands of digits
        return None, f"{error}; must be an object of texts; correct the line"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {twice!r}")
    return fields


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def show(value: object) -> str:
    """A value as errors quote it, shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


class BadField(ValueError):
    """A problem of one field (value, rule, fix), without its place."""


def made(records: Iterable[Record], make: Callable[[Record], T], problems: list[str]) -> Iterator[T]:
    """What `make` makes of every record; where it raises BadField, a problem with the record's place instead."""
    for record in records:
        try:
            yield make(record)
        except BadField as error:
            problems.append(f"{record.place}: {error}")


def text_field(fields: Mapping[str, Any], key: str, longest: int) -> str:
    """The text of a key. Raises BadField if it is missing, not a text, blank, too long or not encodable."""
    if key not in fields:
        near = difflib.get_close_matches(key, fields, n=1, cutoff=0.8)
        hint = f"rename {near[0]!r}" if near else f"add {key!r}"
        raise BadField(f"no {key!r}; every row needs one; {hint}")
    return check_text(key, fields[key], longest)


def check_text(key: str, value: object, longest: int) -> str:
    """`value` if it can be tokenised. Raises BadField otherwise."""
    if not isinstance(value, str) or not value.strip():
        raise BadField(f"{key}={show(value)}: must be a text that is not blank; write it in quotes")
    if len(value) > longest:
        raise BadField(f"{key}={show(value)}: {len(value)} characters; must be at most {longest}; shorten or split it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        lone = value[error.start]
        raise BadField(f"{key}={show(value)}: half of a surrogate pair ({lone!r}); must be whole; remove it") from error
    return value


def text_list(fields: Mapping[str, Any], key: str, longest: int, most: int) -> tuple[str, ...]:
    """The text, or list of 1 to `most` texts, of an optional key; () without it. Raises BadField."""
    value = fields.get(key)
    if value is None:
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 1 <= len(texts) <= most:
        raise BadField(f"{key}={show(value)}: must be a text or a list of 1 to {most} texts; correct it")
    return tuple(check_text(key, text, longest) for text in texts)


def refuse_misspelt(fields: Mapping[str, Any], optional: tuple[str, ...]) -> None:
    """Raises BadField for a key that looks like a missing optional key. Other unknown keys are allowed."""
    for key in fields:
        near = _near(key, optional)
        if near is not None and near not in fields:
            raise BadField(f"the key {key!r}: looks like a misspelt {near!r}; rename or remove it")


@lru_cache(maxsize=1024)  # every row has the same few keys
def _near(key: str, known: tuple[str, ...]) -> str | None:
    if key in known or len(key) > SHOWN_CHARACTERS:
        return None
    return next(iter(difflib.get_close_matches(key, known, n=1, cutoff=0.85)), None)
