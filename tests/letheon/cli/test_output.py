"""How a command ends: error lines, exit codes, closed pipes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.letheon.cli.command import run


def test_a_closed_pipe_is_not_an_error(root: Path) -> None:
    code = "import sys; from letheon.cli import app; app(sys.argv[1:])"
    arguments = [sys.executable, "-c", code, "front", "done", "--root", str(root)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None and command.stderr is not None
        command.stdout.close()
        assert (command.wait(), command.stderr.read()) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("plan", "quikstart"), 4),
        (("status", "nope"), 4),
        (("resume", "nope"), 4),
        (("explain", "done", "t999"), 4),
        (("front", "done", "--fraction", "0.5"), 4),
        (("sweep", "quickstart", "--name", "a/b"), 2),
        (("sweep", "quickstart", "--name", "done"), 2),
        (("evaluate",), 2),
        (("plan", "quickstart", "--nope"), 2),
    ],
)
def test_errors_are_lines_with_an_exit_code_of_their_kind(arguments: tuple[str, ...], code: int, root: Path) -> None:
    rooted = [] if arguments[0] == "evaluate" else ["--root", str(root)]
    result = run(*arguments, *rooted)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr


def test_a_stopped_command_runs_its_exit_handlers_and_nothing_of_the_interpreter_after_them() -> None:
    code = """
import atexit, threading, time
from letheon.cli.options import app
from letheon.cli import output

@app.command()
def stop():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    atexit.register(print, "handler")
    print("work")
    raise KeyboardInterrupt

class Late:
    def __del__(self):
        print("teardown")

late = Late()
app(["stop"])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.split()) == (130, ["work", "handler"]), ended.stderr
