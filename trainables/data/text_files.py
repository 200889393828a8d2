"""Reading files of text that a user wrote: whole, in UTF-8, with an error that says what to do. Knows no format."""

from __future__ import annotations

from pathlib import Path

LARGEST_BYTES = 1 << 30
"""A gigabyte of text is more than a model is made to forget; beyond it the path is a mistake."""


def read_text(path: Path, given: str) -> str:
    r"""The text of a file: without a byte order mark, lines ended by \n. `given` is the option and its value.

    Raises ValueError (value, rule, fix) if it is no file, cannot be read, is too large or not UTF-8.
    """
    try:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not found" if not path.exists() else "no regular file"
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
