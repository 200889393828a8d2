"""`letheon stop` means what Ctrl-C means, also while models are made: nobody waits for them, nothing runs on."""

from __future__ import annotations

import json
from pathlib import Path

from tests.letheon.small_sweep import SPACE, letheon, start, wait_for, write_space

EPOCHS = 100_000  # of fine-tuning: longer than anyone would wait
EXIT_INTERRUPTED = 130


def test_a_termination_abandons_a_preparation(tmp_path: Path) -> None:
    text = SPACE.replace("recipe: {epochs: 12}", f"recipe: {{epochs: {EPOCHS}}}")
    driver = start("sweep", write_space(tmp_path, text), root=tmp_path, log=tmp_path / "driver.log")
    logs = tmp_path / "sweeps" / "small" / "logs"
    base = tmp_path / "models"
    wait_for(lambda: any(base.glob("base-*/prepared.json")) and any(logs.glob("*rank0.log")), driver)
    stopped = letheon("stop", "small", root=tmp_path)
    assert "small is stopped" in stopped.stdout, stopped.stderr
    assert driver.wait(120) == EXIT_INTERRUPTED, (tmp_path / "driver.log").read_text()
    assert not any(base.glob("target-*"))
    status = json.loads(letheon("status", "small", "--json", root=tmp_path).stdout)
    assert status["state"] == "interrupted"
    assert "letheon resume small" in (tmp_path / "driver.log").read_text()
    assert not [command for command in _processes() if str(tmp_path) in command]


def _processes() -> list[str]:
    """Command lines of everything that runs now."""
    lines = (file for file in Path("/proc").glob("[0-9]*/cmdline"))
    found = []
    for line in lines:
        try:
            found.append(line.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return found
