"""Makes tables of recorded trajectories, on which searches are compared: runs their sweeps and writes them down.

    python benchmarks/tables/make.py [TABLE …] [--data DIR] [--root DIR]

TABLE is a folder here (default: each) or any other folder: its sweep files record it, whole and unpruned, and
`table.parquet` goes into the same folder. A stopped recording continues when the script runs again. An epoch's
`seconds` are the median over its method and fraction: single times on a busy machine mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median

from letheon.journal import Journal
from letheon.search.trajectories import Table
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from trainables.data.benchmarks.lume import SPLITS
from trainables.data.benchmarks.registry import load_benchmark

HERE = Path(__file__).resolve().parent
FILE = "table.parquet"
PACKAGES = ("letheon", "ray", "torch", "transformers", "deepspeed", "datasets")
LEFT_OUT = ("tokens_per_second", "peak_memory_bytes", "predicted_memory_bytes", "restarts", "time_total_s")
DOCUMENTS = 25
"""The first documents of each LUME file: as many as the tiny model can learn in minutes."""


def main() -> None:
    """Record, write down, print what was made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=sorted(file.parent.name for file in HERE.glob("*/*.yaml")))
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("LETHEON_TABLE_DATA"),
        help="folder with tofu/ and lume/, their files (default: $LETHEON_TABLE_DATA; tofu also from the hub)",
    )
    parser.add_argument("--root", type=Path, default=Path(".letheon"), help="where the sweeps are recorded")
    options = parser.parse_args()
    for name in dict.fromkeys(options.tables):
        folder = HERE / name if (HERE / name).is_dir() else Path(name).resolve()
        make(folder, options.data, options.root.resolve())


def make(folder: Path, data: Path | None, root: Path) -> None:
    """Record what is missing of the folder's sweeps, then write its table. Raises SystemExit if a sweep did not end."""
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise SystemExit(f"{folder}: must be a folder with the sweep files that record a table; see {HERE}")
    names = [f"table-{folder.name}-{file.stem}" for file in files]
    specs = [_recorded(name, file, data, root) for name, file in zip(names, files, strict=True)]
    journals = [Journal.read(root / "sweeps" / name / "journal.jsonl") for name in names]
    table = with_typical_seconds(Table.from_journals(journals, leave_out=LEFT_OUT))
    about = {
        "made": datetime.fromtimestamp(max(row["time"] for rows in journals for row in rows), UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "forget rows": json.dumps(dict(_forget_rows(specs[0]))),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        **{file.name: file.read_text() for file in files},
    }
    table.write(folder / FILE, about)
    size = (folder / FILE).stat().st_size
    print(f"{folder.name}: {len(table.trajectories)} trajectories of {table.max_epochs} epochs, {size / 1e6:.2f} MB")


def _recorded(name: str, file: Path, data: Path | None, root: Path) -> SweepSpec:
    """Start or resume the sweep; nothing if it has ended."""
    spec = load_spec(file)
    if not (root / "sweeps" / name / "spec.yaml").exists():
        verb = ["sweep", str(file), "--name", name, *_path_of_data(spec, data, root)]
    else:
        verb = ["resume", name]
    subprocess.run([str(Path(sys.executable).parent / "letheon"), *verb, "--root", str(root)], check=False)
    spec = load_spec(root / "sweeps" / name / "spec.yaml")
    ended = sum(row["kind"] == "end" for row in Journal.read(root / "sweeps" / name / "journal.jsonl"))
    if ended != spec.budget.trials:  # the command also fails if there is merely nothing on the front
        raise SystemExit(f"{name}: {ended} of {spec.budget.trials} trials have ended; run this again to continue")
    return spec


def _path_of_data(spec: SweepSpec, data: Path | None, root: Path) -> list[str]:
    """The option that says where the benchmark's files are."""
    benchmark = spec.benchmark.name
    if benchmark not in ("tofu", "lume") or spec.benchmark.path is not None or (benchmark == "tofu" and data is None):
        return []
    if data is None:
        raise SystemExit(f"{spec.name}: needs the files of LUME; give --data DIR with a folder lume")
    if benchmark == "tofu":
        return ["--set", f"benchmark.path={data.resolve() / benchmark}"]
    folder = root / "data" / f"lume-{DOCUMENTS}"
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        with (data / benchmark / f"{split}.jsonl").open(encoding="utf-8") as lines:
            (folder / f"{split}.jsonl").write_text("".join(_first_documents(lines, spec)), encoding="utf-8")
    return ["--set", f"benchmark.path={folder}"]


def _first_documents(lines: Iterator[str], spec: SweepSpec) -> Iterator[str]:
    """The lines of the first documents of the sweep's tasks; a document is a text to complete and its questions."""
    documents: dict[str, None] = {}
    for line in lines:
        row = json.loads(line)
        document = row["id"].rsplit("sc", 1)[0].rsplit("qa", 1)[0]
        if row["task"] in (spec.benchmark.tasks or (row["task"],)):
            documents.setdefault(document)
            if document in islice(documents, DOCUMENTS):
                yield line


def _forget_rows(spec: SweepSpec) -> Iterator[tuple[str, int]]:
    """By fraction, the number of rows that a forget (or loss) quality compares."""
    benchmark = load_benchmark(spec.benchmark)
    for fraction in spec.fractions:
        yield f"{fraction:g}", len(benchmark.split(fraction).evaluation["forget"].rows)


def with_typical_seconds(table: Table) -> Table:
    """Every epoch gets the median of all epochs of its method and fraction."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for one in table.trajectories:
        seconds.setdefault((one.config["method"], one.stratum), []).extend(one.seconds)
    typical = {kind: round(median(found), 3) for kind, found in seconds.items()}
    changed = [
        replace(one, seconds=(typical[one.config["method"], one.stratum],) * len(one.epochs))
        for one in table.trajectories
    ]
    return Table(changed, table.baselines)


if __name__ == "__main__":
    main()
