"""Runs checks one after another, each in a process of its own with a time limit, and writes one line about each.

A check that crashes, hangs or takes the device down leaves a line with its last output, and the next one runs. On a GPU
every process is spawned and imports again: a forked one could not use CUDA.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LINES = 12
"""Last lines of a failed check's output that are kept."""
_PRELOADED = ["torch", "deepspeed", "transformers.models.llama.modeling_llama", "trainables.training.step"]


@dataclass(frozen=True)
class Settings:
    """`tiny`: small shapes and few repeats, to see that every check runs. `peer`: a checkout of open-unlearning."""

    device: str = "cuda"
    tiny: bool = False
    threads: int = 8
    peer: str | None = None
    tofu: str | None = None
    models: str | None = None

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")


@dataclass(frozen=True)
class Check:
    """`function`: `module:name`; it takes the settings and `arguments`, and returns figures for JSON."""

    name: str
    part: int
    seconds: float
    function: str
    arguments: tuple[str, ...] = ()


def run(checks: Iterable[Check], settings: Settings, out: Path, minutes: float) -> Iterator[dict[str, Any]]:
    """One line per check, written to the end of `out` as soon as it is known.

    What does not fit into `minutes` any more is left out, and its line says so.
    """
    end = time.monotonic() + 60 * minutes
    with out.open("a", encoding="utf-8") as lines:
        for check in checks:
            left = end - time.monotonic()
            began = time.monotonic()
            found = _in_own_process(check, settings, min(check.seconds, left)) if left > 1 else _left_out(minutes)
            line = {"check": check.name, "part": check.part, "seconds": round(time.monotonic() - began, 1), **found}
            lines.write(json.dumps(line) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
            yield line


def _left_out(minutes: float) -> dict[str, Any]:
    return {"left_out": f"the {minutes:g} minutes of this call are over; run it with --only"}


def _in_own_process(check: Check, settings: Settings, seconds: float) -> dict[str, Any]:
    """`{"result": …}`, or `{"error": …}` with the last lines of the process."""
    start: Any = multiprocessing.get_context("spawn" if settings.cuda else "forkserver")
    if not settings.cuda:
        start.set_forkserver_preload(_PRELOADED)
    with tempfile.TemporaryDirectory(prefix="letheon-check-") as name:
        folder = Path(name)
        process = start.Process(target=_work, args=(asdict(check), asdict(settings), name))
        process.start()
        process.join(seconds)
        if late := process.is_alive():
            _kill(process.pid)
        process.join()
        result, log = folder / "result.json", folder / "log"
        if result.exists():
            return {"result": json.loads(result.read_text(encoding="utf-8"))}
        written = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        why = f"not done after {seconds:.0f} s" if late else f"exit code {process.exitcode}"
        return {"error": "\n".join([*written.strip().splitlines()[-LINES:], why])}


def _kill(pid: int | None) -> None:
    """The process and all that it has started: it leads a group of its own, unless it has not got so far yet."""
    assert pid is not None
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)


def _work(check: dict[str, Any], settings: dict[str, Any], name: str) -> None:
    folder, chosen = Path(name), Settings(**settings)
    os.setsid()
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= {
        "DS_ACCELERATOR": "cuda" if chosen.cuda else "cpu",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(chosen.threads),
        "PYTHONUNBUFFERED": "1",
        "TORCH_CUDNN_SDPA_DEPRIORITIZED": "1",  # as in workers
    }
    if "torch" in sys.modules:  # a forked process has it already
        sys.modules["torch"].set_num_threads(chosen.threads)
    try:
        module, _, function = check["function"].partition(":")
        found = getattr(importlib.import_module(module), function)(chosen, *check["arguments"])
        (folder / "part.json").write_text(json.dumps(found), encoding="utf-8")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    (folder / "part.json").replace(folder / "result.json")
    os._exit(0)  # engines and process groups would only be taken apart
