"""What the verbs that run something refuse."""

from __future__ import annotations

import json
from pathlib import Path

from letheon.journal import Journal
from tests.letheon.cli.command import run


def test_a_bad_file_prints_only_its_errors(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("name: A\nsearch: {method: nop}\n")
    for verb in ("plan", "prepare", "sweep"):
        result = run(verb, str(file), "--root", str(tmp_path))
        assert (result.exit_code, result.stdout) == (2, "")
        assert len(result.stderr.splitlines()) == 5
        assert all(line.startswith(f"{file}:") for line in result.stderr.splitlines())
    planned = run("plan", str(file), "--json")
    assert planned.exit_code == 2
    assert len(json.loads(planned.stdout)["errors"]) == 5


def test_unreadable_data_are_one_line(tmp_path: Path) -> None:
    result = run("sweep", "tofu-tiny", "--set", f"benchmark.path={tmp_path}", "--root", str(tmp_path / "root"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "root").exists()


def test_an_audit_wants_a_finished_sweep_with_a_front(root: Path) -> None:
    journal = Journal(root / "sweeps" / "done" / "journal.jsonl")
    journal.append("sweep", state="interrupted")
    result = run("audit", "done", "--root", str(root))
    assert (result.exit_code, "letheon resume done" in result.stderr) == (3, True)
