"""Ray without waiting for its dashboard: it comes up beside the rest, and everything ends with the session."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, time
from pathlib import Path
from letheon.session import ray_session

def children():
    mine, found = {os.getpid()}, {}
    for _ in range(4):  # a chain of parents
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(") ")[2].split()[1])
                if parent in mine:
                    mine.add(int(folder.name))
                    found[int(folder.name)] = (folder / "cmdline").read_text()
            except OSError:
                pass
    return found

with ray_session(None):
    import ray
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    from ray.util.state import list_nodes
    assert len(list_nodes(address=ray.get_runtime_context().gcs_address)) == 1, "the State API did not answer"
    started = children()
    names = " ".join(started.values())
    assert "dashboard.py" in names, names
    assert "log_monitor" not in names and "monitor.py" not in names, names
deadline = time.monotonic() + 20
while any(Path("/proc", str(pid)).exists() for pid in started) and time.monotonic() < deadline:
    time.sleep(0.1)
left = {pid: words for pid, words in children().items() if pid in started}
assert not left, left
from ray._private import node
assert node.Node.__name__ == "Node", "Ray was left changed"
"""


def test_the_dashboard_comes_up_beside_the_rest_and_ends_with_the_session() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
