"""The notebooks of examples/ and the code of docs/python.md run as they stand, one after another, on real sweeps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.letheon.servers import mlflow_server
from tests.test_architecture import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
PATIENCE = 1500
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(name: str) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(ROOT / "examples" / name, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def executed(name: str, folder: Path) -> NotebookNode:
    """The notebook with its outputs, run in this folder. Fails with the traceback of the cell that failed."""
    notebook = read(name)
    NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def outputs(notebook: NotebookNode, source: str) -> list[dict[str, str]]:
    """What the first cell that contains `source` showed: a mapping of types to content per output."""
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source)
    return [dict(output.data) for output in cell.outputs if "data" in output]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_what_they_printed(path: Path) -> None:
    notebook = read(path.name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(empty_store, folder / "mlflow.db")
    with mlflow_server(folder) as started:
        yield started.uri


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_notebooks_run(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second reads what the first has recorded, in a folder of its own: only the server has it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a notebook draws in itself
    monkeypatch.delenv("LETHEON_ROOT", raising=False)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    first = executed("first_sweep.ipynb", here)
    (watched,) = outputs(first, "run.wait()")
    assert "finished" in watched["text/html"] and "4 of 4 trials" in watched["text/html"]
    for source in ("sweep.plan()", "run.front()", "run.trials()[", 'run.trial("t000")', "groupby", "best.evaluate()"):
        assert "<table" in outputs(first, source)[-1]["text/html"], source
    assert "image/png" in outputs(first, "run.plot_front()")[-1]
    assert not (there / ".letheon").exists()
    second = executed("finished_sweep.ipynb", there)
    assert "finished" in outputs(second, "letheon.open")[-1]["text/html"]
    assert outputs(second, "run.front()") == outputs(first, "run.front()")
    assert outputs(second, "run.plot_front()") == outputs(first, "run.plot_front()")
    assert "image/png" in outputs(second, "unstack")[-1]
    assert (there / "from_the_server" / "config.json").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LETHEON_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(page)
    assert len(blocks) > 10
    command = [sys.executable, "-c", "\n".join(blocks)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout
    refusals = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert refusals and refusals[1] in printed
    for text in ("small preparing", "t000 ", "finished 3", "True True"):
        assert text in printed, printed
    for file in ("front.png", "report.html", "best/config.json", ".letheon/sweeps/small/spec.yaml"):
        assert (tmp_path / file).is_file()
