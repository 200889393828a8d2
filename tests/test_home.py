"""No test reads or writes the home folder of whoever runs it; nor do processes and Ray workers that tests start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.home import ELSEWHERE, REAL, made_in, places, places_of_libraries

ROOT = Path(__file__).parents[1]
CODE = "import json; from tests.home import places; print(json.dumps(places()))"


def test_everything_is_in_a_home_of_the_suite_s_own() -> None:
    home = Path(os.environ["HOME"])
    assert home != REAL and home.parent == Path(tempfile.gettempdir())
    assert outside(places() | places_of_libraries()) == {}
    assert not ELSEWHERE & set(os.environ)


def test_a_process_inherits_it() -> None:
    path = f"{ROOT / 'platform'}:{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=True
    )
    assert outside(json.loads(done.stdout)) == {}


def test_a_worker_of_ray_inherits_it(ray_session: None) -> None:
    import ray

    assert outside(ray.get(ray.remote(places).remote())) == {}


def outside(found: dict[str, str]) -> dict[str, str]:
    return {name: place for name, place in found.items() if not Path(place).is_relative_to(os.environ["HOME"])}


def test_what_libraries_make_in_a_home_is_seen(tmp_path: Path) -> None:
    (tmp_path / ".cache" / "somebody").mkdir(parents=True)
    assert made_in(tmp_path) == set()
    for name in (".ray", ".cache/huggingface", ".config/mlflow"):
        (tmp_path / name).mkdir(parents=True)
    assert made_in(tmp_path) == {".ray", ".cache/huggingface", ".config/mlflow"}
