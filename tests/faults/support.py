"""Small sweeps of the synthetic experiment with faults planted in their workers; see `injected/sitecustomize.py`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from letheon.journal import Journal
from tests.letheon.small_sweep import command, processes_of, run, wait_for

INJECTED = Path(__file__).parent / "injected"

SPACE = """\
name: faulty
benchmark: {{name: synthetic}}
search:
  method: npo_rt
  forget_fraction: 1.0
  learning_rate: {{loguniform: [5.0e-3, 1.0e-2]}}
  beta: 1.0
  retain_weight: 1.0
scheduler: {{name: none, max_epochs: {epochs}}}
searcher: {{name: random}}
budget: {{trials: {trials}}}
trial: {{max_failures: 1, cpus_per_worker: {cpus}}}
seeds: [1]
"""
Faults = Mapping[str, Mapping[str, Any]]


class FaultySweep:
    """One sweep below `folder`, its command, its journal and its logs."""

    def __init__(self, folder: Path, trials: int, epochs: int, faults: Faults, cpus: float = 1) -> None:
        self.folder, self.root, self.name = folder, folder / "root", "faulty"
        self.space, self.plan = folder / "faulty.yaml", folder / "faults.json"
        self.space.write_text(SPACE.format(trials=trials, epochs=epochs, cpus=cpus))
        self.plan.write_text(json.dumps(faults))
        self.place = self.root / "sweeps" / self.name

    @property
    def environment(self) -> dict[str, str]:
        paths = [str(INJECTED), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "LETHEON_TEST_FAULTS": str(self.plan)}

    @property
    def rows(self) -> list[dict[str, Any]]:
        return Journal.read(self.place / "journal.jsonl")

    def kind(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["kind"] == kind]

    @property
    def ends(self) -> dict[str, dict[str, Any]]:
        return {row["trial"]: row for row in self.kind("end")}

    @property
    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted((self.place / "logs").glob("*.log")))

    def release(self, trial: str) -> None:
        """Let a trial continue that holds."""
        Path(f"{self.plan}.{trial}.go").touch()

    def run(
        self, *arguments: str | Path, seconds: float = 600, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return run(*arguments, "--root", self.root, env=environment or self.environment, timeout=seconds)

    def has_reported(self, trial: str, epoch: int) -> bool:
        return any((row["trial"], row["epoch"]) == (trial, epoch) for row in self.kind("report"))

    @contextmanager
    def started(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A command in its own process group, killed at the end of the block; its output is in `output`."""
        log = self.output.open("ab")
        line = [*command(*arguments), "--root", str(self.root)]
        process = subprocess.Popen(
            line, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=environment or self.environment
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(30)
            log.close()

    @property
    def output(self) -> Path:
        return self.folder / "output.log"

    def processes(self) -> list[str]:
        """Command lines of all processes of this sweep."""
        return processes_of(self.plan)

    def wait_until_gone(self, seconds: float = 60) -> None:
        """Raises AssertionError if a process is left."""
        wait_for(lambda: not self.processes(), seconds=seconds)
