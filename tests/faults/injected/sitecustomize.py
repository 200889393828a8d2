"""Injects faults into real worker processes: Python imports this file at start if its folder is on PYTHONPATH.

`LETHEON_TEST_FAULTS` names a JSON file: trial -> `{"fault": name, "epoch": n, "times": n}` (`times` is unlimited if
absent).
The product has no code for it: this file wraps the epoch of a synthetic trial after the import of its module.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

WRAPPED = "trainables.synthetic.loop"
PLAN = os.environ.get("LETHEON_TEST_FAULTS", "")


def due(trial: str, epoch: int) -> str | None:
    """The fault of this trial's epoch, at most `times`, counted over all processes."""
    fault = json.loads(Path(PLAN).read_text()).get(trial)
    if fault is None or fault["epoch"] != epoch:
        return None
    seen = Path(f"{PLAN}.{trial}")
    count = int(seen.read_text()) if seen.exists() else 0
    seen.write_text(str(count + 1))
    return str(fault["fault"]) if count < fault.get("times", sys.maxsize) else None


def before_epoch(trial: Any, fault: str | None) -> None:
    import torch

    match fault:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        case "nan":
            trial.unlearning.weights.data.fill_(float("nan"))
        case "flood":
            for _ in range(200):
                print("flood" * 20_000, flush=True)
            raise RuntimeError("giant " * 1_000_000)
        case "hang":  # in C, holding the interpreter's lock, so no thread and no signal handler of Python runs
            re.match("(a+)+$", "a" * 200 + "b")
        case "hold":
            while not Path(f"{PLAN}.{trial.config.trial}.go").exists():
                time.sleep(0.05)


def change(metrics: dict[str, Any], fault: str | None) -> None:
    match fault:
        case "missing":
            del metrics["forget_kl"]
        case "none":
            metrics["forget_kl"] = None
        case "text":
            metrics["forget_kl"] = "high"


def wrap(module: ModuleType) -> None:
    """Make every epoch check whether a fault is due."""
    plain, write = module.Trial.run_epoch, module.Trial._write

    def run_epoch(self: Any, epoch: int) -> None:
        self.fault = due(self.config.trial, epoch)
        before_epoch(self, self.fault)
        plain(self, epoch)

    def write_changed(self: Any, epoch: int, metrics: dict[str, Any]) -> None:
        change(metrics, self.fault)
        write(self, epoch, metrics)

    module.Trial.run_epoch, module.Trial._write = run_epoch, write_changed


class Finder(importlib.abc.MetaPathFinder):
    """Finds the module as Python's own finder does, and wraps it after it was executed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if name != WRAPPED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                wrap(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if PLAN:
    sys.meta_path.insert(0, Finder())
