"""Secrets in text: what is removed, what is kept, and that a sweep file with one is refused without showing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from letheon.common.errors import SpecErrors
from letheon.common.redaction import redact
from letheon.spec.load import load_spec
from tests.letheon.small_sweep import SPACE

TOKEN = "hf_" + "aB3" * 12


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://user:p@ss@host:5432/db", "postgresql://***@host:5432/db"),
        ("see http://token@host and https://host/a@b", "see http://***@host and https://host/a@b"),
        ("https://host/x?a=1&api_key=abc&b=2", "https://host/x?a=1&api_key=***&b=2"),
        ("trial t003@2 mailed a@b.c", "trial t003@2 mailed a@b.c"),
        (f"401 for {TOKEN}, again", "401 for ***, again"),
        ("ghp_" + "x1" * 18, "***"),
        ("key AKIAABCDEFGHIJKLMNOP", "key ***"),
        ("authorization: Bearer 0123456789abcdef", "authorization: Bearer ***"),
        ("hf_hub_download of HuggingFaceTB/SmolLM2-135M", "hf_hub_download of HuggingFaceTB/SmolLM2-135M"),
        ("Basic research on the bearer of news", "Basic research on the bearer of news"),
        ("0" * 64, "0" * 64),  # a digest
    ],
)
def test_redaction(text: str, clean: str) -> None:
    assert redact(text) == clean
    assert redact(clean) == clean


@pytest.mark.timeout(60)  # a fifth of a second; a pattern that backtracks would take hours
@pytest.mark.parametrize("piece", ["x", "a.", "://", "?x", "a://", "&token", "hf_", "Bearer ", "AKIA", "ghp_a"])
def test_redaction_takes_no_longer_for_long_lines(piece: str) -> None:
    redact(piece * 100_000)


SECRETS = ["https://someone:hunter2@host/model", TOKEN, "s3://bucket/x?token=hunter2"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_sweep_file_with_a_secret_is_refused_without_showing_it(secret: str, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE.replace("base: tiny", f"base: {secret!r}"))
    for file, overrides in ((space, []), ("quickstart", [f"model.base={secret}"])):
        with pytest.raises(SpecErrors) as caught:
            load_spec(file, overrides)
        text = str(caught.value)
        assert "holds a password or a token; leave it out" in text
        assert "hunter2" not in text and TOKEN not in text
