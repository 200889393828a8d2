"""Results of earlier runs, kept beside the tables, so that only what has changed is computed again.

A result is kept under a digest of all that it depends on (`sweeps.digest_of`): the table, the settings, the code and
the library's release. Results with another digest are ignored, and dropped at the next save.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks.protocol.sweeps import Found, Task, digest_of

Results = dict[Task, dict[str, Found]]


class Kept:
    """The results for one table in `file`; None keeps nothing. A file that cannot be read counts as empty."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[tuple[str, int, int], dict[str, Found]] = {}
        if file is not None and file.exists():
            self._read(file)

    def find(self, task: Task) -> dict[str, Found] | None:
        """The task's result by stratum; None if it has to be computed."""
        return self._known.get((digest_of(task), task.seed, task.workers))

    def save(self, results: Mapping[Task, Mapping[str, Found]]) -> None:
        """Write these results in place of all that the file had."""
        if self._file is None or not results:
            return
        import pyarrow
        from pyarrow import parquet

        rows = [
            {"digest": digest_of(task), "policy": task.policy, "settings": task.settings}
            | {"seed": task.seed, "workers": task.workers, "stratum": stratum}
            | vars(found)
            for task, strata in sorted(results.items(), key=lambda item: repr(item[0]))
            for stratum, found in strata.items()
        ]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_name(self._file.name + ".partial")
        parquet.write_table(pyarrow.Table.from_pylist(rows), partial, compression="zstd", compression_level=19)
        os.replace(partial, self._file)

    def _read(self, file: Path) -> None:
        from pyarrow import ArrowException, parquet

        try:
            rows = parquet.read_table(file).to_pylist()
        except (OSError, ArrowException):
            return
        for row in rows:
            key = row["digest"], row["seed"], row["workers"]
            found = Found(row["epochs_90"], row["epochs_95"], row["seconds_95"], tuple(row["after"]))
            self._known.setdefault(key, {})[row["stratum"]] = found
