"""A sweep as a folder: its name, file, journal and lock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from letheon.common.disk import root_option
from letheon.common.errors import LetheonError
from letheon.common.paths import JOURNAL, SPEC
from letheon.journal import Row
from letheon.pareto.objectives import Goals
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from letheon.spec.rules_objectives import goals_of

Show = Callable[[Sequence[Row]], None]
Say = Callable[[str], None]


class SweepExists(LetheonError):
    """The name is taken."""


class SweepNotFound(LetheonError):
    """No sweep of this name under the root."""

    exit_code = 4


@dataclass(frozen=True)
class Sweep:
    """A sweep's file, its name and the paths of its folder below the root."""

    spec: SweepSpec
    name: str
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "sweeps" / self.name

    @property
    def file(self) -> Path:
        return self.folder / SPEC

    @property
    def trials(self) -> Path:
        return self.folder / "trials"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def goals(self) -> Goals:
        return goals_of(self.spec)

    @property
    def journal(self) -> Path:
        return self.folder / JOURNAL

    def command(self, verb: str) -> str:
        """The command for `verb`, as in `letheon resume small --root /shared`."""
        return f"letheon {verb} {self.name}{root_option(self.root)}"


def free_name(root: Path, name: str, starting: Collection[str] = ()) -> str:
    """`name`, or `name-2`, `name-3`, … if sweeps of that name exist, or are `starting` and have no file yet."""
    taken = {path.parent.name for path in (root / "sweeps").glob(f"*/{SPEC}")} | {*starting}
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def find_sweep(name: str, root: Path, import_plugins: bool = False) -> Sweep:
    """The sweep of this name, to look at it or, with `import_plugins`, to go on with it.

    Raises SweepNotFound, which lists the existing ones.
    """
    root = root.resolve()
    files = {path.parent.name: path for path in (root / "sweeps").glob(f"*/{SPEC}")}
    if name not in files:  # names are not paths, so `..` does not work
        raise SweepNotFound(f"sweep {name!r} is not under {root}; sweeps there: {', '.join(sorted(files)) or 'none'}")
    return Sweep(load_spec(files[name], import_plugins=import_plugins), name, root)
