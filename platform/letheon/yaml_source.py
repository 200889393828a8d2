"""Reads YAML so that every complaint can name a line: plain data, the place of each key, and what is wrong.

Stricter than YAML: no tags, anchors, duplicate keys or numbers that YAML 1.1 reads in surprising ways. Nothing is
raised; problems are collected, so that a reader can show all of them. Does not know what a sweep file means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from letheon.redact import redact

KeyPath = tuple[str | int, ...]
MISSING: object = object()

_MAX_BYTES = 200_000
_MAX_DEPTH = 32
_MAX_DIGITS = 40
_MAX_SHOWN = 60
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"(?=[-+._]*[0-9])[-+]?[0-9_]*\.?[0-9_]*([eE][-+]?[0-9]+)?")
_EXPONENT = re.compile(r"([-+]?[0-9]+)(\.[0-9]*)?[eE]([-+]?[0-9]+)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKETS = ("{}", "[]")
_PAIRS = {"flow mapping": "{}", "flow sequence": "[]", "quoted scalar": '""'}
_SEPARATE = ", or a missing comma between its entries"
_SYNTAX = {
    "'\\t'": "indent with spaces, not with a tab",
    "<stream end>": "close the bracket or the quote that is still open",
    "<block end>": "indent this line like the others of its section",
    "mapping values": "put the text in quotes, or begin a new line before the second key",
}
_BOOLEANS = yaml.constructor.SafeConstructor.bool_values


@dataclass(frozen=True)
class Problem:
    """One complaint: the value at `path` breaks `rule`; `fix` says what to write. `place` overrides that of `path`."""

    path: KeyPath
    rule: str
    fix: str
    place: str | None = None


@dataclass
class Source:
    """Data of a YAML file (keys as text), where each key stands (`file:line` or the text of a `--set`), and problems.

    `refused`: paths whose value could not be taken over and is None in `data`; there is no point in judging it again.
    """

    name: str
    data: Any = None
    places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: set[KeyPath] = field(default_factory=set)

    def place(self, path: KeyPath) -> str:
        """Where `path`, or its nearest ancestor that is written down, stands."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.name

    def describe(self, problem: Problem) -> str:
        """`file:line: key = value: rule; fix`, one line. Where the place is given, the rule tells the value too."""
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
    """`search.method.choice[1]`; keys that no sweep file has are cut to a readable length."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{_cut(key)}" for key in path)
    return text.removeprefix(".")


def show(value: object) -> str:
    """A value in a message: as YAML would show it, without secrets, cut to a readable length."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return _cut(redact(text))


def flow(value: object) -> str:
    """A value as it may be written in a sweep file, on one line: `{choice: [0.1, 0.2]}`."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return _cut(redact(text.removesuffix("\n").removesuffix("\n...")))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def one_line(text: str) -> str:
    """Without line breaks and control characters, which a hostile file could use to forge output."""
    return "".join(c if c.isprintable() else " " for c in text)


def exponent_as_text(value: object) -> str | None:
    """The YAML number for text such as 1e-5 (YAML 1.1 needs a dot), or None when it is no such text."""
    match = _EXPONENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    mantissa, fraction, exponent = match.groups()
    signed = exponent if exponent[0] in "+-" else f"+{exponent}"
    return f"{mantissa}{fraction if fraction and len(fraction) > 1 else '.0'}e{signed}"


def read_source(path: Path) -> Source:
    """Read a file; it is closed and never executed. Unreadable files give a Source with data None and the problem."""
    source = Source(name=str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        source.problems.append(Problem((), f"cannot be read ({error.strerror})", "give the path of a YAML file"))
        return source
    if len(raw) > _MAX_BYTES:
        source.problems.append(Problem((), f"is larger than {_MAX_BYTES} bytes", "a sweep file is a page of text"))
        return source
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        rule = f"byte {raw[error.start]:#04x} at offset {error.start} is not UTF-8"
        source.problems.append(Problem((), rule, "save the file as UTF-8"))
        return source
    _Reader(source, lambda line: f"{path}:{line}").read(text, ())
    return source


def override(source: Source, text: str) -> None:
    """Apply one `key.path=value` (the value is YAML) to `source`; what it sets is placed at the text itself."""
    place = f"--set {redact(text)}"
    key, equals, value = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        source.problems.append(Problem((), "is not key.path=value", "write for example search.beta=0.1", place))
        return
    if not isinstance(source.data, dict):
        return
    parent = source.data
    for depth, part in enumerate(path[:-1], start=1):
        child = parent.get(part)
        if child is None:
            child = parent[part] = {}
            source.places.setdefault(path[:depth], place)
        if not isinstance(child, dict):
            rule = f"has no keys, so {path[depth]!r} cannot be set in it"
            fix = f"set the whole of it: {dotted(path[:depth])}=…"
            source.problems.append(Problem(path[:depth], rule, fix, place))
            return
        parent = child
    for known in [known for known in source.places if known[: len(path)] == path]:
        del source.places[known]
    parsed = Source(name=place)
    _Reader(parsed, lambda line: place).read(value, path)
    source.problems += parsed.problems
    source.refused |= parsed.refused | ({path} if parsed.problems else set())
    parent[path[-1]] = parsed.data
    source.places[path] = place


def _line(node: yaml.Node | yaml.Event) -> int:
    return node.start_mark.line + 1 if node.start_mark is not None else 1


class _Reader:
    """One pass over a document: refuses what it must, then turns nodes into plain data with places."""

    def __init__(self, source: Source, place: Callable[[int], str]) -> None:
        self.source = source
        self.place = place
        self.visited: set[int] = set()

    def read(self, text: str, path: KeyPath) -> None:
        try:
            if self._refuse_constructs(text):
                return
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            self._syntax_error(error)
            return
        self.source.data = None if node is None else self._value(node, path)

    def _refuse(self, line: int, rule: str, fix: str, path: KeyPath = ()) -> None:
        self.source.problems.append(Problem(path, rule, fix, self.place(line)))

    def _syntax_error(self, error: yaml.YAMLError) -> None:
        """A bracket or a quote that is not closed is reported where it was opened."""
        mark, opened = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        context = getattr(error, "context", None) or ""
        if mark is None:
            self._refuse(1, f"not valid YAML ({what})", "correct the syntax here")
        elif opened is not None and (sign := next((s for w, s in _PAIRS.items() if w in context), None)):
            place = f"column {mark.column + 1}" if mark.line == opened.line else f"line {mark.line + 1}"
            rule = f"not valid YAML: the {sign[0]} in column {opened.column + 1} is not closed before {place}"
            self._refuse(opened.line + 1, rule, f"add {sign[-1]}{_SEPARATE if sign in _BRACKETS else ''}")
        else:
            fix = next((text for found, text in _SYNTAX.items() if found in what), "correct the syntax here")
            self._refuse(mark.line + 1, f"not valid YAML ({what})", fix)

    def _refuse_constructs(self, text: str) -> bool:
        """Report tags, anchors and aliases; true when the document cannot be composed safely at all."""
        depth = documents = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = _line(event)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            documents += isinstance(event, yaml.DocumentStartEvent)
            if depth > _MAX_DEPTH:
                self._refuse(line, f"nested deeper than {_MAX_DEPTH} levels", "a sweep file needs four")
                return True
            if documents > 1:
                self._refuse(line, "a second document ('---') begins here", "one file holds one sweep")
                return True
            self._refuse_node(event, line)
        return False

    def _refuse_node(self, event: yaml.Event, line: int) -> None:
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            self._refuse(line, f"alias *{anchor} is not allowed", "write the value out")
        elif anchor is not None:
            self._refuse(line, f"anchor &{anchor} is not allowed", "write the value out where it is used")
        if tag is not None:
            self._refuse(line, f"YAML tag {show(tag)} is not allowed", "write plain text, numbers, lists and mappings")

    def _value(self, node: yaml.Node, path: KeyPath) -> object:
        self.source.places.setdefault(path, self.place(_line(node)))
        if id(node) in self.visited:  # an alias, refused already: expanding it is how such bombs go off
            self.source.refused.add(path)
            return None
        self.visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*path, i)) for i, child in enumerate(node.value)]
        return self._scalar(node, path) if isinstance(node, yaml.ScalarNode) else None

    def _items(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, object]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(line, "a key must be plain text", "give every setting a name", path)
                continue
            key = key_node.value
            if self._text(key, line, path) is None:
                continue
            if key in seen:
                fix = f"keep one of the two (the other is in line {seen[key]})"
                self._refuse(line, "this key is given twice", fix, (*path, key))
                continue
            seen[key] = line
            self.source.places[(*path, key)] = self.place(line)
            yield key, self._value(value_node, (*path, key))

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> str | float | bool | None:
        text: str = node.value
        kind = node.tag.rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool":
            return _BOOLEANS.get(text.lower(), text)
        if kind in ("int", "float"):
            return self._number(node, kind, path)
        return self._text(text, _line(node), path)

    def _text(self, text: str, line: int, path: KeyPath) -> str | None:
        """A secret would be copied into every record of the sweep; half a character (an escape such as \\ud800 can
        write one) is no text that could be kept."""
        if redact(text) != text:
            rule, fix = "holds a password or a token", "leave it out: secrets come from environment variables"
        elif _SURROGATE.search(text):
            rule, fix = "has half a character (a lone surrogate)", "write the character itself"
        else:
            return text
        self._refuse(line, f"{show(text)} {rule}", fix, path)
        self.source.refused.add(path)
        return None

    def _number(self, node: yaml.ScalarNode, kind: str, path: KeyPath) -> float | None:
        """Octal 010, sexagesimal 1:30, .inf and .nan are refused; None stands in for them."""
        text, line = node.value, _line(node)
        if len(text) <= _MAX_DIGITS and (_DECIMAL if kind == "int" else _FLOAT).fullmatch(text):
            value = int(text.replace("_", "")) if kind == "int" else float(text.replace("_", ""))
            if abs(value) < float("inf"):
                return value
        rule = (
            f"{show(text)} is not a finite decimal number"
            if kind == "float"
            else f"{show(text)} is not a plain decimal number"
        )
        self._refuse(line, rule, "write it as in 42, 0.5 or 1.0e-5, or quote it if it is text", path)
        self.source.refused.add(path)
        return None
