"""Reads whole text files that users wrote, in UTF-8, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path

LARGEST_BYTES = 1 << 30
"""A larger file (1 GiB) is taken for a wrong path."""


def read_text(path: Path, given: str) -> str:
    r"""The text of a file, without a byte order mark and with lines ended by \n. `given` is the option and its value.

    Raises ValueError (value, rule, fix) if it is not a file, unreadable, too large or not UTF-8.
    """
    try:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not found" if not path.exists() else "not a regular file"
            raise ValueError(f"{given}: {what}; must be a file; correct the path")
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise ValueError(f"{given}: {size} bytes; must be at most {LARGEST_BYTES}; leave out what is not needed")
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{given}: {error.strerror}; must be readable; correct the path or its permissions") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{given}, line {line}: not UTF-8 at byte {error.start}; must be UTF-8; save the file in that encoding"
        ) from error
    return text.replace("\r\n", "\n")
