"""The driver's credentials are unset while Ray Tune starts its first actor, and set again at once."""

from __future__ import annotations

import os

import pytest

from letheon.tune.credentials import HiddenCredentials

SECRET = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "a secret"}


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> HiddenCredentials:
    for name, value in SECRET.items():
        monkeypatch.setenv(name, value)
    return HiddenCredentials()


def visible() -> dict[str, str]:
    return {name: os.environ[name] for name in SECRET if name in os.environ}


def test_they_are_hidden_in_every_step_until_one_has_a_trial(hidden: HiddenCredentials) -> None:
    for trials in ([], ["the first"]):
        hidden.on_step_begin(0, trials)
        assert visible() == {}
        hidden.on_step_end(0, trials)
        assert visible() == SECRET
    hidden.on_step_begin(1, ["the first"])
    assert visible() == SECRET


def test_they_are_restored_after_a_step_that_raised(hidden: HiddenCredentials) -> None:
    hidden.on_step_begin(0, [])
    hidden.restore()
    assert visible() == SECRET
