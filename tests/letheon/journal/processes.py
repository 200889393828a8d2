"""Python code in processes of its own, for tests that kill a writer or a driver."""

from __future__ import annotations

import subprocess
import sys


def python_process(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs `code` with `arguments` as `sys.argv[1:]`; its standard output is a text pipe."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
