"""A valid sweep file for tests to change, and the errors of an invalid one."""

from __future__ import annotations

from pathlib import Path

import pytest

from letheon.common.errors import SpecErrors
from letheon.spec.load import load_spec

GOOD = """\
name: study
benchmark: {name: fictional, people: 20}
search:
  method: {choice: [ga, npo_rt]}
  forget_fraction: {choice: [0.1, 0.25]}
  learning_rate: {loguniform: [1.0e-5, 1.0e-3]}
  beta: {uniform: [0.05, 0.5]}
scheduler: {name: asha, max_epochs: 4}
budget: {trials: 8}
"""


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "space.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def errors_of(file: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(SpecErrors) as caught:
        load_spec(file, overrides)
    return caught.value.problems
