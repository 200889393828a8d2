"""A full disk is recognised behind other errors, and other errors are not mistaken for it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from letheon.common.disk import DiskFull, explain_full_disk, free_bytes, is_full, raise_if_disk_full
from letheon.common.errors import LetheonError

NO_ROOM = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def wrapped(error: Exception) -> Exception:
    """As Ray Tune passes errors on: another one, raised while handling the first."""
    try:
        try:
            raise error
        except (OSError, DiskFull):
            raise RuntimeError("a text")  # noqa: B904  # what Ray does
    except RuntimeError as other:
        return other


def test_a_full_disk_is_found_in_the_chain_of_causes() -> None:
    assert is_full(NO_ROOM) and is_full(wrapped(NO_ROOM)) and is_full(OSError(errno.EDQUOT, "quota"))
    assert not is_full(wrapped(OSError(errno.ENOENT, "missing")))


@pytest.mark.parametrize("error", [NO_ROOM, wrapped(NO_ROOM), wrapped(DiskFull("No space left on device"))])
def test_the_error_names_the_disk_and_the_fix(error: Exception, tmp_path: Path) -> None:
    folder = tmp_path / "sweeps" / "small"
    with pytest.raises(DiskFull) as caught, explain_full_disk(folder, "small", tmp_path):
        raise error
    assert str(caught.value).startswith(f"the disk of {folder} is full (")
    assert str(caught.value).endswith(f"make room and continue: letheon resume small --root {tmp_path}")


@pytest.mark.parametrize("error", [ValueError("x"), LetheonError("x"), wrapped(OSError(errno.EACCES, "x"))])
def test_other_errors_are_raised_unchanged(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught, explain_full_disk(tmp_path, "small", tmp_path):
        raise error
    assert caught.value is error


def test_a_trial_is_at_fault_if_there_is_room_for_an_epoch(tmp_path: Path) -> None:
    epoch = tmp_path / "trials" / "t000" / "epoch-001"
    epoch.mkdir(parents=True)
    with (epoch / "weights").open("wb") as file:
        file.truncate(free_bytes(tmp_path) // 2)
    raise_if_disk_full(tmp_path, str(NO_ROOM))
    with (epoch / "weights").open("wb") as file:
        file.truncate(2 * free_bytes(tmp_path))
    raise_if_disk_full(tmp_path, "another reason")
    with pytest.raises(DiskFull, match="No space left"):
        raise_if_disk_full(tmp_path, f"RuntimeError: {NO_ROOM}")
