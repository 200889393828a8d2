"""No test reads or writes the home folder of whoever runs it; nor do processes and Ray workers that tests start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.home import ELSEWHERE, PREFIX, REAL, places, places_of_libraries, remove_stale

ROOT = Path(__file__).parents[1]
CODE = "import json; from tests.home import places; print(json.dumps(places()))"


def test_everything_is_in_a_home_of_the_suite_s_own() -> None:
    home = Path(os.environ["HOME"])
    assert home != REAL and home.parent == Path(tempfile.gettempdir())
    assert outside(places() | places_of_libraries()) == {}


def test_a_process_inherits_it() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert outside(json.loads(done.stdout)) == {}


def test_a_worker_of_ray_inherits_it(ray_session: None) -> None:
    import ray

    assert outside(ray.get(ray.remote(places).remote())) == {}


def test_the_home_of_a_killed_session_is_removed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (f"{PREFIX}{gone.pid}-left", f"{PREFIX}{os.getpid()}-mine", f"{PREFIX}of-no-process"):
        (tmp_path / name / "folder").mkdir(parents=True)
    remove_stale()
    assert {place.name for place in tmp_path.iterdir()} == {f"{PREFIX}{os.getpid()}-mine", f"{PREFIX}of-no-process"}


def outside(found: dict[str, str]) -> dict[str, str]:
    return {name: place for name, place in found.items() if not Path(place).is_relative_to(os.environ["HOME"])}


def run_one(line: str, folder: Path) -> tuple[int, str]:
    """A session of one test, whose home is `folder`/home before it is moved. Exit code and output."""
    file, home = folder / "test_line.py", folder / "home"
    file.write_text(f"import os\nfrom pathlib import Path\n\n\ndef test_line(): {line}\n")
    home.mkdir()
    path = f"{ROOT}:{ROOT / 'platform'}"
    elsewhere = {name: str(home / "elsewhere") for name in ELSEWHERE}
    environment = {**os.environ, **elsewhere, "HOME": str(home), "PYTHONPATH": path}
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "tests.conftest", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_what_tests_leave_in_their_home_is_gone_after_them(tmp_path: Path) -> None:
    code, told = run_one("print('at', Path.home(), *os.environ.values()), (Path.home() / 'left').mkdir()", tmp_path)
    assert code == 0, told
    (at,) = (line.split() for line in told.splitlines() if line.startswith("at "))
    assert not Path(at[1]).exists() and not any(word.startswith(str(tmp_path / "home")) for word in at)
    assert list((tmp_path / "home").iterdir()) == []


def test_what_they_leave_in_the_home_of_who_runs_them_fails(tmp_path: Path) -> None:
    code, told = run_one(f"Path({str(tmp_path / 'home' / '.ray')!r}).mkdir()", tmp_path)
    assert code == 1 and "which is not the tests': ['.ray']" in told, told
