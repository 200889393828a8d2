"""Imports modules of checkouts of published code, as they are.

The checkouts have modules of equal names, so a module is forgotten by the interpreter once it is imported. What only
evaluations or plots of theirs need and is not installed is replaced by empty modules.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

NOT_NEEDED = ("evaluate", "evaluate_util", "natsort", "quadprog")

REPOSITORIES = {
    "open-unlearning": "locuslab/open-unlearning",
    "negative-preference-optimization": "licong-lin/negative-preference-optimization",
    "closer-look-LLM-unlearning": "sail-sg/closer-look-LLM-unlearning",
    "FLAT": "UCSC-REAL/FLAT",
    "G-effect": "tmlr-group/G-effect",
    "Unlearn-Simple": "OPTML-Group/Unlearn-Simple",
    "SatImp": "tmlr-group/SatImp",
    "Alternate-Preference-Optimization": "molereddy/Alternate-Preference-Optimization",
    "Unlearn-Smooth": "OPTML-Group/Unlearn-Smooth",
    "GRU": "tmlr-group/GRU",
}
"""The folder of each checkout, and where it comes from."""


@dataclass(frozen=True)
class Checkout:
    """One peer's repository on this machine."""

    folder: Path

    @property
    def commit(self) -> str:
        return self._git("rev-parse", "HEAD")

    def module(self, name: str, inside: str = ".") -> ModuleType:
        """The module `name`, imported with the folder `inside` in front of the search path.

        Raises ValueError where a file that is imported is not as in the commit: numbers would not be the peer's.
        """
        before, place = dict(sys.modules), str(self.folder / inside)
        sys.path.insert(0, place)
        sys.modules.update({each: _Empty(each) for each in NOT_NEEDED})
        try:
            found = importlib.import_module(name)
            self._check(file for module in sys.modules.values() if (file := self._file(module)))
            return found
        finally:
            sys.path.remove(place)
            for each, module in list(sys.modules.items()):
                if before.get(each) is not module and (isinstance(module, _Empty) or self._has(module)):
                    del sys.modules[each]
            sys.modules.update(before)

    def _has(self, module: ModuleType) -> bool:
        return self._file(module) is not None or any(
            str(self.folder) in str(at) for at in vars(module).get("__path__", [])
        )

    def _file(self, module: ModuleType) -> Path | None:
        file = Path(getattr(module, "__file__", None) or "")
        return file if file.is_relative_to(self.folder) else None

    def _check(self, files: Iterator[Path]) -> None:
        paths = [str(file.relative_to(self.folder)) for file in files]
        now = self._git("hash-object", *paths).split()
        committed = self._git("rev-parse", *(f"HEAD:{path}" for path in paths)).split()
        changed = [path for path, one, other in zip(paths, now, committed, strict=True) if one != other]
        if changed:
            raise ValueError(f"{self.folder.name}: {changed} are not as committed; check the repository out again")

    def _git(self, *words: str) -> str:
        done = subprocess.run(["git", "-C", str(self.folder), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()


class _Empty(ModuleType):
    """Has every attribute, all of them empty."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def with_constant(function: Callable[..., Any], old: float, new: float) -> Callable[..., Any]:
    """The same function with one number of its text replaced. Raises ValueError unless that number is there."""
    assert isinstance(function, FunctionType)
    constants = function.__code__.co_consts
    if old not in constants:
        raise ValueError(f"{function.__qualname__} has no constant {old}, only {constants}")
    code: CodeType = function.__code__.replace(
        co_consts=tuple(new if isinstance(each, float) and each == old else each for each in constants)
    )
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
