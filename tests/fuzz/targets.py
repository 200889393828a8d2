"""What reads bytes that anybody may have written: each target takes bytes and may fail in the ways it documents only.

A target returns whether the bytes were taken. Used by property tests (`test_targets.py`) and by a coverage-guided
fuzzer (`guided.py`), which start from the same seeds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from letheon.checkpoints.manifest import VerificationError, parse_manifest
from letheon.common.errors import SpecErrors
from letheon.journal import Journal, JournalError, summary
from letheon.journal.reader import Follower
from letheon.pareto.front import front_of
from letheon.spec.load import dump_spec, load_spec
from letheon.spec.shipped import shipped_sweeps
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.store.journal_artifact import Packer, unpack
from tests.letheon.tracking.tracking_support import SPEC, audited_story, story
from tests.trainables.evaluation.small_logs import Model
from trainables.evaluation.logs.compare import compare_logs
from trainables.evaluation.logs.log import LogError
from trainables.evaluation.logs.read import parse_log, read_log

Target = Callable[[bytes], bool]

LONGEST_PROBLEM = 1000  # the names of all metrics are one


@cache
def _file() -> Path:
    """One file a process, written anew for every input."""
    folder = tempfile.TemporaryDirectory(prefix="fuzzed-")
    _KEPT.append(folder)
    return Path(folder.name) / "input"


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def _one_line(text: str) -> None:
    assert "\n" not in text and text.strip() and len(text) < LONGEST_PROBLEM, text


def spec(data: bytes) -> bool:
    """A sweep file. What is taken can be written back and read again as the same."""
    file = _file()
    file.write_bytes(data)
    try:
        found = load_spec(file)
    except SpecErrors as error:
        assert error.problems
        for problem in error.problems:
            _one_line(problem)
        return False
    file.write_text(dump_spec(found), encoding="utf-8")
    assert load_spec(file) == found
    return True


def override(data: bytes) -> bool:
    """`--set` of a good sweep file."""
    try:
        load_spec("quickstart", data.decode("utf-8", "replace").split("\0"))
    except SpecErrors as error:
        assert error.problems
        return False
    return True


@cache
def _good_log() -> Any:
    return parse_log(Model(1, knows=0.5).open_unlearning(), "good.json")


def log(data: bytes) -> bool:
    """An evaluation log, read and compared with a good one both ways."""
    file = _file()
    file.write_bytes(data)
    try:
        found = read_log(file)
        for pair in ((_good_log(), found), (found, _good_log())):
            json.dumps(compare_logs(*pair))
    except LogError as error:
        _one_line(str(error))
        return False
    return True


def manifest(data: bytes) -> bool:
    """A checkpoint's manifest. No name that is taken leaves its folder."""
    try:
        found = parse_manifest(data, "manifest")
    except VerificationError as error:
        _one_line(str(error))
        return False
    for name in found.files:
        assert (Path("/root/of/all") / name).resolve().is_relative_to("/root/of/all")
        assert name.isascii() and "\\" not in name
    return True


def journal(data: bytes) -> bool:
    """A journal on disk: three readers tell the same, and a writer that opens it keeps every row."""
    file = _file()
    file.write_bytes(data)
    try:
        rows = Journal.read(file)
    except JournalError as error:
        _one_line(str(error))
        return False
    assert Follower(file).rows() == rows or _has_nan(rows)
    writer = Journal(file)
    added = writer.append("sweep", state="running")
    assert added["seq"] == len(rows) + 1 and len(writer.rows) == len(rows) + 1
    writer.close()
    json.dumps(summary(rows).to_json(), allow_nan=False)
    front_of(rows)
    return True


def _has_nan(rows: Sequence[dict[str, Any]]) -> bool:
    return "nan" in repr(rows)


def packed(data: bytes) -> bool:
    """A journal that was recorded as an artifact, in a store that others write to."""
    try:
        rows = unpack(data, "artifact")
    except TrackingError as error:
        assert "\n" not in str(error)
        return False
    summary(rows)
    front_of(rows)
    return True


def _manifest_seed() -> bytes:
    files = {
        "model.safetensors": {"sha256": "0" * 64, "bytes": 12},
        "extra/config.json": {"sha256": "1" * 64, "bytes": 3},
    }
    return json.dumps({"files": files, "trial": "t000", "epoch": 3, "metrics": {"loss": None}}).encode()


def _journal_seed() -> bytes:
    from letheon.journal import encode_rows

    return encode_rows(audited_story())


def seeds() -> dict[str, list[bytes]]:
    """Good inputs of every target."""
    model = Model(1, knows=0.5)
    logs = [
        json.dumps(form).encode() for form in (model.open_unlearning(), model.legacy(), model.legacy(as_lists=True))
    ]
    settings = [
        b"search.beta=0.1",
        b"budget.trials=3",
        b"scheduler={name: asha, max_epochs: 4}",
        b"seeds=[0, 1]\0name=x",
    ]
    return {
        "spec": [path.read_bytes() for path in shipped_sweeps().values()] + [json.dumps(SPEC).encode()],
        "override": settings,
        "log": logs,
        "manifest": [_manifest_seed()],
        "journal": [_journal_seed()],
        "packed": [Packer().pack(story())],
    }


TARGETS: dict[str, Target] = {target.__name__: target for target in (spec, override, log, manifest, journal, packed)}

TOKENS: tuple[bytes, ...] = (
    *(b"{ } [ ] , : - # & * ! | > ' \" % @ ` ? ~ \\ / .. \n \t \r \0".split(b" ")),
    *(b"null true NaN -Infinity .nan .inf 1e999 1e-5 010 0x1F 1_000 1:30 -1 0 99999999999999999999 9e18".split(b" ")),
    *(b"!!python/object &a *a <<: --- ... ? !!binary !!set !!float".split(b" ")),
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    "\u2028\u202e\u0000é\U0001f600".encode(),
    b"9" * 5000,
    b"[" * 2000,
    b"{a: " * 500,
    b'{"a":' * 2000,
    b"../../etc/passwd",
    b"a" * 300,
)
