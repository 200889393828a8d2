"""Reads YAML into plain data, the place of each key, and a list of problems, so that every error names a line.

Stricter than YAML: no tags, no anchors, no duplicate keys. Numbers follow YAML 1.2: 1e-5 is a number, 010 is text.
Nothing is raised; problems are collected, so that all can be shown at once. Independent of what a sweep file means.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from letheon.common.errors import did_you_mean
from letheon.common.redaction import redact

KeyPath = tuple[str | int, ...]
MISSING: object = object()

_MAX_BYTES = 200_000
_MAX_DEPTH = 32
_MAX_VALUE, _MAX_PATH, _MAX_SET = 60, 200, 400
"""The most characters of a value, a path and a `--set` in a message."""
_WORDS: dict[str, tuple[str, str, Callable[[str], object]]] = {
    "null": ("~|null|Null|NULL", "~nN", lambda text: None),
    "bool": ("(?i:true|false|yes|no)", "tTfFyYnN", lambda text: text.lower() in ("true", "yes")),
    "int": ("[-+]?(0|[1-9][0-9_]{0,39})", "-+0123456789", lambda text: int(text.replace("_", ""))),
    "float": (
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?",
        "-+.0123456789",
        lambda text: float(text.replace("_", "")),
    ),
}
"""Unquoted words that are not text, by type: pattern, first characters, value. `on` and `off` are text, because some
settings have such values."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_CLOSED_BY = {"{": "}", "[": "]", '"': '"', "'": "'"}
_SYNTAX = {
    "'\\t'": "indent with spaces, not with a tab",
    "<stream end>": "close the bracket or the quote that is still open",
    "<block end>": "indent this line like the others of its section",
    "mapping values": "put the text in quotes, or begin a new line before the second key",
    "another document": "one file holds one sweep",
}


@dataclass(frozen=True)
class Problem:
    """The value at `path` breaks `rule`; `fix` says what to write instead. `place` replaces the place of `path`."""

    path: KeyPath
    rule: str
    fix: str
    place: str | None = None


@dataclass
class Source:
    """Data of a YAML file (keys as text), the place of each key (`file:line` or the text of a `--set`), and problems.

    `refused`: paths whose value was refused and is None in `data`; other rules must skip them.
    """

    name: str
    data: Any = None
    places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: set[KeyPath] = field(default_factory=set)

    def place(self, path: KeyPath) -> str:
        """The place of `path` or, if it is not in the file, of its nearest ancestor that is."""
        known = (self.places.get(path[:length]) for length in range(len(path), -1, -1))
        return next(filter(None, known), self.name)

    def describe(self, problem: Problem) -> str:
        """`file:line: key = value: rule; fix`, one line. The value is left out if the problem has its own place."""
        parts = [problem.place or self.place(problem.path)]
        if problem.path:
            value = MISSING if problem.place else get(self.data, problem.path)
            parts.append(dotted(problem.path) + ("" if value is MISSING else f" = {show(value)}"))
        return one_line(f"{': '.join(parts)}: {problem.rule}; {problem.fix}")


def get(data: object, path: KeyPath) -> object:
    """The value at `path`, or MISSING."""
    for key in path:
        inside = key in data if isinstance(data, dict) else isinstance(data, list) and key in range(len(data))
        if not inside:
            return MISSING
        data = data[key]  # type: ignore[index]
    return data


def dotted(path: KeyPath) -> str:
    """`search.method.choice[1]`; long keys are cut."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{_cut(key)}" for key in path)
    return _cut(text.removeprefix("."), _MAX_PATH)


def show(value: object) -> str:
    """A value for a message: null and booleans as in YAML, secrets redacted, cut to a readable length."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return _cut(redact(text))


def flow(value: object) -> str:
    """A value as a sweep file has it, on one line: `{choice: [0.1, 0.2]}`. Redacted and cut as in `show`."""
    text = to_yaml(value, default_flow_style=True, width=10**6)
    return _cut(redact(text.removesuffix("\n").removesuffix("\n...")))


def _cut(text: str, limit: int = _MAX_VALUE) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str) -> str:
    """Replace line breaks and control characters, which a hostile file could use to forge output."""
    return "".join(c if c.isprintable() else " " for c in text)


class _SafeLoader(yaml.SafeLoader):
    """Reads unquoted words by `_WORDS` alone."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]


class _SafeDumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or `_WORDS` would read as something else."""


for _kind, (_pattern, _first, _) in _WORDS.items():
    for _class in (_SafeLoader, _SafeDumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"({_pattern})\Z"), list(_first))
_SafeLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"\Z"), [""])


def to_yaml(value: object, **options: Any) -> str:
    """YAML that `read_source` and YAML 1.1 readers read alike. `options` are those of `yaml.dump`."""
    return str(yaml.dump(value, Dumper=_SafeDumper, sort_keys=False, allow_unicode=True, **options))


def read_source(path: Path) -> Source:
    """Read a file without executing anything. An unreadable file gives a Source with data None and the problem."""
    source = Source(name=str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode("utf-8-sig") if len(raw) <= _MAX_BYTES else None
    except OSError as error:
        problem = Problem((), f"cannot be read ({error.strerror})", "give the path of a YAML file")
    except UnicodeDecodeError as error:
        rule = f"byte {raw[error.start]:#04x} at offset {error.start} is not UTF-8"
        problem = Problem((), rule, "save the file as UTF-8")
    else:
        if text is not None:
            _Reader(source, lambda line: f"{path}:{line}").read(text, ())
            return source
        problem = Problem((), f"is larger than {_MAX_BYTES} bytes", "a sweep file is a page of text")
    source.problems.append(problem)
    return source


def read_data(data: Mapping[str, Any], name: str) -> Source:
    """The same for data that is in memory; `name` stands for the file in messages, which have no lines."""
    source = Source(name=name)
    try:
        text = as_yaml(data)
    except (TypeError, ValueError) as error:
        problem = Problem((), f"holds what a sweep file cannot ({error})", "give text, numbers, lists and mappings")
        source.problems.append(problem)
        return source
    _Reader(source, lambda line: name).read(text, ())
    return source


def as_yaml(value: object) -> str:
    """A value as YAML on one line; paths become text. Raises TypeError or ValueError for what YAML cannot hold."""

    def plain(value: object) -> object:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, Mapping):
            return dict(value)
        if hasattr(value, "tolist"):  # a number or an array of NumPy
            return value.tolist()
        raise TypeError(f"{_cut(redact(repr(value)))} of type {type(value).__name__}")

    return json.dumps(value, default=plain)  # JSON is YAML, and YAML of PyYAML would abbreviate a value used twice


def override(source: Source, text: str, removable: Collection[str] = ()) -> None:
    """Apply one `key.path=value` (the value is YAML) to `source`; the place of what it sets is the text itself.

    `removable`: sections in which `section.key=null` removes the key.
    """
    place = f"--set {_cut(redact(text), _MAX_SET)}"
    key, equals, value = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        source.problems.append(Problem((), "is not key.path=value", "write for example search.beta=0.1", place))
        return
    if not isinstance(source.data, dict):
        return
    parent = _section(source, path, place)
    if parent is None:
        return
    for known in [known for known in source.places if known[: len(path)] == path]:
        del source.places[known]
    parsed = Source(name=place)
    _Reader(parsed, lambda line: place).read(value, path)
    source.problems += parsed.problems
    source.refused |= parsed.refused | ({path} if parsed.problems else set())
    if parsed.data is None and not parsed.problems and path[:-1] in {(section,) for section in removable}:
        if parent.pop(path[-1], MISSING) is MISSING:
            source.problems.append(Problem(path, "cannot be removed: not set", did_you_mean(path[-1], parent), place))
        return
    parent[path[-1]] = parsed.data
    source.places[path] = place


def _section(source: Source, path: tuple[str, ...], place: str) -> dict[str, Any] | None:
    """The mapping that holds the last key of `path`, created if missing; None and a problem if it is not a mapping."""
    section: dict[str, Any] = source.data
    for depth, part in enumerate(path[:-1], start=1):
        child = section.get(part)
        if child is None:
            child = section[part] = {}
            source.places.setdefault(path[:depth], place)
        if not isinstance(child, dict):
            rule = f"has no keys, so {show(path[depth])} cannot be set in it"
            fix = f"set it as a whole: {dotted(path[:depth])}=…"
            source.problems.append(Problem(path[:depth], rule, fix, place))
            return None
        section = child
    return section


class _Reader:
    """Reads one YAML document into `source`. `place` names a line, counted from 1."""

    def __init__(self, source: Source, place: Callable[[int], str]) -> None:
        self.source, self.place = source, place

    def read(self, text: str, path: KeyPath) -> None:
        """Set the data, which belong at `path`, with their places, and add the problems."""
        try:
            self._refuse_constructs(text)
            node = None if self.source.problems else yaml.compose(text, Loader=_SafeLoader)
        except yaml.YAMLError as error:
            self._syntax_error(error, text)
            return
        self.source.data = None if node is None else self._value(node, path)

    def _refuse(self, mark: Any, rule: str, fix: str, path: KeyPath = ()) -> None:
        self.source.problems.append(Problem(path, rule, fix, self.place(1 if mark is None else mark.line + 1)))

    def _syntax_error(self, error: yaml.YAMLError, text: str) -> None:
        """Report a syntax error; an unclosed bracket or quote is reported where it was opened."""
        mark, opened = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
        reason = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML")
        reason = _cut(redact(reason.removeprefix("but ")), _MAX_PATH)
        if mark and opened and re.search("flow (mapping|sequence)|quoted", getattr(error, "context", None) or ""):
            bracket = text[opened.index]
            before = f"column {mark.column + 1}" if mark.line == opened.line else f"line {mark.line + 1}"
            rule = f"not valid YAML: the {bracket} in column {opened.column + 1} is not closed before {before}"
            comma = ", or a missing comma between its entries" if bracket in "{[" else ""
            self._refuse(opened, rule, f"add {_CLOSED_BY.get(bracket, bracket)}{comma}")
        else:
            fix = next((fix for part, fix in _SYNTAX.items() if part in reason), "correct the syntax here")
            self._refuse(mark, f"not valid YAML ({reason})", fix)

    def _refuse_constructs(self, text: str) -> None:
        """Refuse tags, anchors and aliases, which can run code or expand without end, and deep nesting."""
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
            if anchor is not None:
                kind = "alias *" if isinstance(event, yaml.AliasEvent) else "anchor &"
                self._refuse(event.start_mark, f"{kind}{_cut(anchor)} is not allowed", "write the value out")
            if tag is not None:
                rule, fix = f"YAML tag {show(tag)} is not allowed", "write plain text, numbers, lists and mappings"
                self._refuse(event.start_mark, rule, fix)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                self._refuse(event.start_mark, f"nested deeper than {_MAX_DEPTH} levels", "a sweep file needs four")
                return

    def _value(self, node: yaml.Node, path: KeyPath) -> object:
        self.source.places.setdefault(path, self.place(node.start_mark.line + 1))
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*path, i)) for i, child in enumerate(node.value)]
        kind = node.tag.rpartition(":")[2]
        value = _WORDS[kind][-1](node.value) if kind in _WORDS else node.value
        if isinstance(value, float) and math.isinf(value):
            value = node.value
        return self._text(value, node.start_mark, path) if isinstance(value, str) else value

    def _items(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, object]]:
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            mark, key = key_node.start_mark, key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(mark, "a key must be plain text", "give every setting a name", path)
            elif key in lines:
                fix = f"keep one of the two (the other is in line {lines[key]})"
                self._refuse(mark, "this key is written twice", fix, (*path, key))
            elif self._text(key, mark, path) is not None:
                lines[key] = mark.line + 1
                self.source.places[(*path, key)] = self.place(lines[key])
                yield key, self._value(value_node, (*path, key))

    def _text(self, text: str, mark: Any, path: KeyPath) -> str | None:
        """Refuse secrets, which would be copied into every record of the sweep, and lone surrogates (an escape such as
        \\ud800 can write one), which cannot be encoded."""
        if redact(text) != text:
            rule, fix = "holds a password or a token", "leave it out: secrets come from environment variables"
        elif _SURROGATE.search(text):
            rule, fix = "has a lone surrogate, which is half a character", "write the character itself"
        else:
            return text
        self._refuse(mark, f"{show(text)} {rule}", fix, path)
        self.source.refused.add(path)
        return None
