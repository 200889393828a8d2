"""A small file system in memory that tests fill to its last page."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PAGE = 4096


class Disk:
    """A file system in memory at a folder, with a file that fills it. Skips the test if mounting is not allowed."""

    def __init__(self, folder: Path, size: str = "16m") -> None:
        self.folder, self.size, self.ballast = folder, size, folder / ".ballast"

    def mount(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root may mount a file system")
        self.folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)

    def fill(self, but: int = 0) -> None:
        """Fill all but `but` pages. Files take whole pages, so the rest of the last one does not matter."""
        with pytest.raises(OSError, match="No space left"), self.ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(PAGE))
        os.truncate(self.ballast, self.ballast.stat().st_size - but * PAGE)

    def free(self) -> None:
        self.ballast.unlink()
