"""Bytes that anybody may have written, through every reader: whatever they are, only the documented errors come out.

The fast profile runs with every `make test`; the long one is marked slow. `guided.py` goes further, with coverage.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, TOKENS, seeds

SEEDS = seeds()
MAX_SECONDS = 10.0

edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat", "swap", "replace"]),
        st.integers(0, 2**20),
        st.integers(0, 400),
        st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4)),
    ),
    max_size=5,
)
Edit = tuple[str, int, int, bytes]


def edited(data: bytes, changes: list[Edit]) -> bytes:
    for how, at, length, token in changes:
        start = at % (len(data) + 1)
        part = data[start : start + length]
        data = {
            "flip": lambda b, s, p, t: b[:s] + bytes(x ^ (1 << len(t) % 8) for x in p[:1]) + b[s + 1 :],
            "cut": lambda b, s, p, t: b[:s] + b[s + len(p) :],
            "insert": lambda b, s, p, t: b[:s] + t + b[s:],
            "repeat": lambda b, s, p, t: b[:s] + p * 2 + b[s + len(p) :],
            "swap": lambda b, s, p, t: b[:s] + p[::-1] + b[s + len(p) :],
            "replace": lambda b, s, p, t: b[:s] + t + b[s + len(t) :],
        }[how](data, start, part, token)
    return data


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Good inputs after a few edits, and anything at all."""
    return st.one_of(
        st.builds(edited, st.sampled_from(SEEDS[name]), edits),
        st.builds(b"".join, st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=20)), max_size=12)),
    )


def hammer(name: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs(name))
    def one(data: bytes) -> None:
        before = time.process_time()
        TARGETS[name](data)
        assert time.process_time() - before < MAX_SECONDS

    one()


FAST = {"spec": 250, "override": 150, "log": 100, "manifest": 400, "journal": 250, "packed": 400}


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_taken(name: str) -> None:
    taken = [TARGETS[name](data) for data in SEEDS[name]]
    assert any(taken), "the target takes nothing: it would prove nothing"


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    hammer(name, FAST[name])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", TARGETS)
def test_very_many_bytes(name: str) -> None:
    hammer(name, 50 * FAST[name])


BOMBS = {
    "aliases": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c + 1, c + 1, b", ".join([b"*%c" % c] * 9)) for c in range(97, 110)),
    "depth": b"[" * 100_000,
    "depth of blocks": b"".join(b" " * i + b"a:\n" for i in range(900)),
    "one long word": b"a" * 199_000,
    "too many bytes": b"a: 1\n" * 300_000,
    "many keys": b"".join(b"k%d: %d\n" % (i, i) for i in range(8_000)),
    "many problems": b"search: {" + b", ".join(b"k%d: -1" % i for i in range(5_000)) + b"}",
    "digits": b"seeds: [" + b"9" * 190_000 + b"]",
    "quotes": b"'" * 199_999,
    "brackets in turn": b"{[" * 90_000,
    "comments": b"#\n" * 99_000,
    "tags": b"!!a " * 49_000,
    "anchors": b"&a " * 60_000,
    "UTF-16": "name: x".encode("utf-16"),
    "zeros": b"\0" * 190_000,
    "a surrogate": b"name: \xed\xa0\x80",
    "escaped surrogate": rb'name: "\ud800"',
    "a sign for a number": b"!!float +",
    "merge": b"<<: {name: x}\n",
    "complex key": b"? [a, b]\n: c\n",
    "control characters": b'name: "\\e[31m\\a"\n',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_bounded_time(name: str) -> None:
    before = time.process_time()
    assert TARGETS["spec"](BOMBS[name]) is False
    assert time.process_time() - before < MAX_SECONDS


def test_bombs_are_refused_in_bounded_memory() -> None:
    """In a process that may have half a gigabyte of data; that is for all of them, one after another."""
    code = (
        "import resource, sys; from tests.fuzz.targets import spec; from tests.fuzz.test_targets import BOMBS\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**29, 2**29))\n"
        "print(sum(spec(bomb) for bomb in BOMBS.values()), len(BOMBS))"
    )
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout.split() == ["0", str(len(BOMBS))], done.stderr[-2000:]
