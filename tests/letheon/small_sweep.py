"""A sweep small enough for tests (four fictitious people, few epochs and rows), and helpers that run the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from letheon.searchers.static import RandomSearcher
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import SearchSpace
from trainables.config import Hyperparameters

SPACE = """\
name: small
benchmark: {name: fictional, people: 4, evaluation_rows: 4}
model: {base: tiny, recipe: {epochs: 12}}
evaluation: {max_new_tokens: 8}
search:
  method: {choice: [ga, npo_rt]}
  forget_fraction: {choice: [0.25, 0.5]}
  learning_rate: {loguniform: [2.0e-4, 6.0e-4]}
  beta: {loguniform: [0.05, 0.2]}
  retain_weight: {uniform: [1.0, 2.0]}
scheduler: {name: asha, max_epochs: 4, reduction_factor: 2, collapse: null}
searcher: {name: random}
budget: {trials: 6}
trial: {batch_size: 8}
"""


def write_space(folder: Path, text: str = SPACE) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def sample(spec: SweepSpec, index: int) -> Hyperparameters:
    """Trial `index` of a random search; with several seeds, consecutive trials share a configuration."""
    configuration, seed = divmod(index, len(spec.seeds))
    space = SearchSpace(spec)
    chosen = RandomSearcher(space, spec.searcher.seed).propose(configuration)
    return space.hyperparameters(chosen.values, spec.seeds[seed])


def letheon(*arguments: str | Path, root: Path) -> subprocess.CompletedProcess[str]:
    """Run the command on this root to its end."""
    return run(*arguments, "--root", root)


def run(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with its default root."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


def python(code: str, *arguments: object, stdin: str = "", **variables: str) -> str:
    """The output of a new interpreter with the import path of this one and these variables."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    line = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(line, input=stdin, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(*arguments: str | Path) -> list[str]:
    return [str(Path(sys.executable).parent / "letheon"), *map(str, arguments)]


def start(*arguments: str | Path, root: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the command in its own process group; its output goes to `log`."""
    return subprocess.Popen(
        [*command(*arguments), "--root", str(root)],
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[bytes] | None = None, seconds: float = 300
) -> None:
    """Raises AssertionError when the time is up, or when `process` ends first."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "the process ended too early"
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


def processes_of(place: Path) -> list[str]:
    """Command lines of all processes with this path in their command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to another user
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(place) in line + (process / "environ").read_bytes().decode(errors="replace"):
                found.append(line[:120])
    return found


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the driver only, as the kernel does when memory runs out; its children must end by themselves."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
