"""Options that the verbs share: refusals in one sentence, and the root from the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from letheon.cli import app
from tests.letheon.cli.command import run


@pytest.mark.parametrize("address", ["s3://bucket/x", "gs://bucket", "s3://key:hunter2@bucket/x", "file:///srv"])
@pytest.mark.parametrize("verb", ["plan", "sweep", "prepare", "submit"])
def test_a_root_that_is_an_address_is_refused_in_one_sentence(verb: str, address: str) -> None:
    result = run(verb, "quickstart", "--root", address)
    assert result.exit_code == 2 and result.stdout == "" and "hunter2" not in result.stderr
    assert "must be a folder" in result.stderr and "MLFLOW_DEFAULT_ARTIFACT_ROOT" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("capacity", "done", "--utility", "95"), "--utility 95: must be a share, 0 to 1; write 0.95 for 95%"),
        (("pull", "done", "--to", "x", "--min-utility", "90"), "--min-utility 90: must be a share, 0 to 1; write 0.9"),
        (("front", "done", "--fraction", "10"), "--fraction 10: must be a share, 0 to 1; write 0.1 for 10%"),
        (("front", "done", "--fraction", "-1"), "--fraction -1: must be a share, 0 to 1; write 0.95 for 95%"),
    ],
)
def test_a_percentage_is_not_a_share(arguments: tuple[str, ...], said: str, root: Path) -> None:
    result = run(*arguments, "--root", str(root))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(said) and len(result.stderr.splitlines()) == 1


def test_the_root_comes_from_the_environment_too(root: Path) -> None:
    result = CliRunner().invoke(app, ["status", "done", "--json"], env={"LETHEON_ROOT": str(root)})
    assert json.loads(result.stdout)["state"] == "finished"
