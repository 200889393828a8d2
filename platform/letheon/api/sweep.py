"""A sweep before it runs: checked, planned, started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from letheon.api.arguments import root_folder
from letheon.api.driver import start_driver, starting
from letheon.api.html import facts_table, heading, page
from letheon.common.counting import several
from letheon.common.errors import SpecErrors
from letheon.spec.load import dump_spec, load_spec, spec_of, with_copies
from letheon.spec.model import SweepSpec
from letheon.spec.rules_benchmark import require_data
from letheon.spec.search_space import trial_count
from letheon.spec.source import as_yaml, flow
from letheon.spec.validate import require_name
from letheon.sweep.sweep import Sweep as SweepFolder
from letheon.sweep.sweep import SweepExists, free_name

if TYPE_CHECKING:
    from letheon.api.plan import SweepPlan
    from letheon.api.run import Run

Settings = Mapping[str, Any]


class Sweep:
    """A sweep file that was checked. Does nothing until `start`.

    `Sweep(name=…, search={…}, …)` takes the sections of a sweep file as keywords, each as plain data:
    docs/sweep-file.md lists them. `set`: values by their path, such as `{"budget.trials": 8}`; None removes a key of
    the search, the objectives or the constraints.

    Attributes:
        spec: all settings, defaults included.

    Raises:
        SpecErrors: with all errors at once, as the command prints them.
    """

    spec: SweepSpec

    def __init__(self, *, set: Settings | None = None, **sections: Any) -> None:
        self.spec = spec_of(sections, "letheon.Sweep", _overrides(set))
        require_data(self.spec)

    @classmethod
    def from_file(cls, file: str | os.PathLike[str], set: Settings | None = None) -> Sweep:
        """A sweep file by its path, or a shipped one by its name, such as `quickstart`.

        Raises:
            SpecErrors: with all errors of the file, each with its line; SweepFileNotFound if there is no such file.
        """
        made = cls.__new__(cls)
        made.spec = load_spec(os.fspath(file), _overrides(set), import_plugins=True)
        require_data(made.spec)
        return made

    @property
    def name(self) -> str:
        """The name in the file, which is also the study in MLflow. A run may have another one."""
        return self.spec.name

    def to_yaml(self) -> str:
        """The sweep file, defaults included. Loading it gives an equal sweep.

        A plug-in that is a file is expected in the folder `plugins` beside it.
        """
        return dump_spec(self.spec)

    def plan(self, root: str | os.PathLike[str] | None = None) -> SweepPlan:
        """Trials, rungs, memory, time and the models that are missing under `root`. Starts and writes nothing."""
        from letheon.api.plan import SweepPlan
        from letheon.sweep.plan import make_plan

        return SweepPlan(**vars(make_plan(self.spec, root_folder(root))))

    def start(
        self,
        *,
        name: str | None = None,
        root: str | os.PathLike[str] | None = None,
        address: str | None = None,
    ) -> Run:
        """Start the sweep in a process of its own and return at once.

        That process ends with this one: the sweep is then interrupted and can be resumed.

        Args:
            name: of the run; default: that of the file, numbered if it is taken.
            root: where models, caches, sweeps and records are kept; default: `LETHEON_ROOT`, else `.letheon`.
            address: the Ray cluster to use (ray://… or host:port); default: this machine.

        Raises:
            SweepExists: the name is taken. SpecErrors: it is not a name. LetheonError: the root is not a folder.
                Whatever the process itself refuses, such as too little memory, is raised by `Run.wait`.
        """
        from letheon.api.run import Run

        place = root_folder(root)
        if name is None:
            name = free_name(place, self.name, starting(place))
        require_name(name)
        sweep = SweepFolder(self.spec, name, place)
        if sweep.file.exists() or name in starting(place):
            raise SweepExists(f"sweep {name!r} exists; choose another name, or continue it: letheon.open({name!r})")
        sweep.logs.mkdir(parents=True, exist_ok=True)
        given = sweep.logs / "given.yaml"
        given.write_text(dump_spec(with_copies(self.spec, sweep.logs)), encoding="utf-8")
        to = [] if address is None else ["--address", address]
        start_driver(sweep.folder, ["sweep", str(given), "--name", name, "--root", str(place), *to])
        return Run.at(sweep.folder, self.spec)

    def __repr__(self) -> str:
        count = trial_count(self.spec)
        trials = "as many trials as the budget gives" if count is None else several(count, "trial")
        return f"Sweep({self.name!r}: {trials}, {several(len(self.spec.fractions), 'forget fraction')})"

    def _repr_html_(self) -> str:
        given = self.spec.model_dump(mode="json", exclude_defaults=True, exclude={"name", "search"})
        searched = self.spec.model_dump(mode="json", include={"search"})["search"]
        facts = [(name, flow(value)) for name, value in searched.items()]
        facts += [(section, _settings(value)) for section, value in given.items()]
        return page(heading(self.name, "sweep", repr(self).partition(": ")[2].rstrip(")")), facts_table(facts))


def _settings(section: object) -> str:
    """`people 20, evaluation_rows 40`."""
    if isinstance(section, Mapping):
        return ", ".join(f"{name} {_settings(value)}" for name, value in section.items())
    return flow(section)


def _overrides(changes: Settings | None) -> list[str]:
    """The changes as the command takes them: `key.path=value`. Raises SpecErrors for a value that is not plain data."""
    made = []
    for key, value in (changes or {}).items():
        try:
            made.append(f"{key}={as_yaml(value)}")
        except (TypeError, ValueError) as error:
            fix = "give text, numbers, lists and mappings"
            raise SpecErrors([f"--set {key}: holds what a sweep file cannot ({error}); {fix}"]) from None
    return made
