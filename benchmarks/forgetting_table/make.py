"""Makes the forgetting table: runs its two sweeps with Letheon, or finds them under the root, and writes them down.

    python benchmarks/forgetting_table/make.py [--root DIR]

Every trial runs to its last epoch, nothing is pruned. An hour on two cores; what was made is kept, so it can be stopped
and started again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from letheon.journal import Journal
from letheon.search.trajectories import Table

HERE = Path(__file__).resolve().parent
SWEEPS = {"forgetting-table": "configurations.yaml", "forgetting-table-seeds": "seeds.yaml"}
PACKAGES = ("letheon", "ray", "torch", "transformers", "deepspeed", "datasets")
LEFT_OUT = ("tokens_per_second", "peak_memory_bytes", "predicted_memory_bytes", "restarts", "time_total_s")


def main() -> None:
    """Sweep, then write `table.parquet` next to this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(".letheon"))
    root = parser.parse_args().root
    for name, file in SWEEPS.items():
        _sweep(name, HERE / file, root)
    journals = [Journal.read(root / "sweeps" / name / "journal.jsonl") for name in SWEEPS]
    table = Table.of_journals(journals, leave_out=LEFT_OUT)
    made = max(row["time"] for rows in journals for row in rows)
    table.write(HERE / "table.parquet", _about(datetime.fromtimestamp(made, UTC)))
    size = (HERE / "table.parquet").stat().st_size
    print(f"{len(table.trajectories)} trajectories of {table.max_epochs} epochs, {size / 1e6:.2f} MB")


def _sweep(name: str, file: Path, root: Path) -> None:
    command = Path(sys.executable).parent / "letheon"
    there = (root / "sweeps" / name / "spec.yaml").exists()
    verb = ["resume", name] if there else ["sweep", str(file), "--name", name]
    subprocess.run([str(command), *verb, "--root", str(root)], check=True)


def _about(made: datetime) -> dict[str, str]:
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    sweeps = {file: (HERE / file).read_text() for file in SWEEPS.values()}
    return {"made": made.date().isoformat(), "machine": f"2 cores, {platform.machine()}", **versions, **sweeps}


if __name__ == "__main__":
    main()
