"""Reads a log from a path: finds the file, detects its format, and rejects anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.evaluation.logs import open_unlearning, tofu, values
from trainables.evaluation.logs.log import Log, LogError

MAX_BYTES = 1 << 30
"""A log of a thousand rows has about two megabytes."""

_IN_FOLDER = ("TOFU_EVAL.json", "MUSE_EVAL.json", "eval_log_aggregated.json", "TOFU_SUMMARY.json", "MUSE_SUMMARY.json")
_PARTS = (
    "eval_log.json",
    "eval_log_forget.json",
    "eval_real_author_wo_options.json",
    "eval_real_world_wo_options.json",
)


def read_log(path: Path) -> Log:
    """A log in either format; in a folder, the file with the usual name. Raises LogError."""
    if path.is_dir():
        return _read_folder(path)
    return parse_log(_load(path), str(path))


def parse_log(content: object, file: str) -> Log:
    """The log in a JSON document. `file`: its name for errors. Raises LogError."""
    if not isinstance(content, Mapping):
        raise LogError(f"{file}: is not a JSON object; give an evaluation log of open-unlearning or TOFU")
    found = _parse(content, file)
    if found is None:  # some files wrap it once more, by model or by benchmark
        inner = [_parse(part, file) for part in content.values() if isinstance(part, Mapping)]
        logs = [log for log in inner if log is not None]
        if len(logs) != 1:
            raise LogError(_unknown(content, file))
        found = logs[0]
    return found


def _parse(content: Mapping[str, Any], file: str) -> Log | None:
    if open_unlearning.is_open_unlearning(content):
        return open_unlearning.read_open_unlearning(content, file)
    return tofu.read_legacy(content, file) if tofu.is_legacy(content) else None


def _unknown(content: Mapping[str, Any], file: str) -> str:
    return (
        f"{file}: has {values.first_few(content)} and no metric of an evaluation log; give open-unlearning's "
        "TOFU_EVAL.json or TOFU's eval_log_aggregated.json"
    )


def _read_folder(folder: Path) -> Log:
    for name in _IN_FOLDER:
        if (folder / name).is_file():
            return parse_log(_load(folder / name), str(folder / name))
    parts = {name: _load(folder / name) for name in _PARTS if (folder / name).is_file()}
    if not parts:
        raise LogError(f"{folder}: is a folder without {_IN_FOLDER[0]} or {_IN_FOLDER[2]}; name the file")
    return parse_log(parts, str(folder))


def _load(path: Path) -> object:
    if not path.is_file():
        raise LogError(f"{path}: is not a file; give an evaluation log of open-unlearning or TOFU")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LogError(f"{path}: has {path.stat().st_size >> 20} MiB, a log has a few; give an evaluation log")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise LogError(f"{path}: is not JSON ({error.msg}, line {error.lineno}); take the whole file") from None
    except RecursionError:
        raise LogError(f"{path}: is nested too deeply for an evaluation log; take the file as it was written") from None
    except UnicodeDecodeError:
        raise LogError(f"{path}: is not UTF-8 text; give the evaluation log itself, unpacked") from None
    except ValueError as error:
        raise LogError(f"{path}: cannot be read ({error}); take the file as it was written") from None
    except OSError as error:
        raise LogError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
