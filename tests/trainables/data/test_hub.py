"""Tables of an unreachable hub: one error, at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ASK = """
from trainables.data.hub import read_hub
try:
    read_hub("locuslab/TOFU", "full", "train", None)
except ValueError as error:
    print(error)
from huggingface_hub import constants
print(constants.HF_HUB_OFFLINE)
"""


def test_an_unreachable_hub_is_tried_only_once(tmp_path: Path) -> None:
    """The client's own retries took half a minute and a dozen lines."""
    online = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment = {**online, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, env=environment, timeout=300
    )
    assert "Retrying" not in done.stderr + done.stdout
    said, offline = done.stdout.splitlines()
    assert "did not load" in said and "set benchmark.path to a folder of the files" in said
    assert offline == "False"  # what others find is as it was
