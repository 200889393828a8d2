"""Reads tables of the Hugging Face hub as numbered rows. Depends on no benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from trainables.data.jsonl import Record

Numbered = Iterable[tuple[int, object]]
"""Rows with their numbers, from 1."""


def read_hub(repository: str, configuration: str | None, split: str, revision: str | None) -> tuple[str, Numbered]:
    """(source, rows) of one split. Raises ValueError (value, rule, fix) if it cannot be loaded."""
    from datasets import load_dataset

    from trainables.runtime.hub_access import hub_or_cache

    source = "/".join(part for part in (repository, configuration) if part) + f"[{split}]"
    try:
        with hub_or_cache():
            data = load_dataset(repository, configuration, split=split, revision=revision)
    except Exception as error:  # the hub client raises errors of many libraries, all with the same fix
        raise ValueError(
            f"benchmark.path=null: {source} at revision {revision or 'main'} did not load "
            f"({type(error).__name__}: {error}); the Hugging Face hub must be reachable or its cache filled; "
            "set benchmark.path to a folder of the files"
        ) from error
    return source, enumerate(data, start=1)


def hub_records(repository: str, configuration: str | None, split: str, revision: str | None) -> Iterator[Record]:
    """The rows of one split as records. Raises like `read_hub`."""
    source, rows = read_hub(repository, configuration, split, revision)
    for number, fields in rows:
        if isinstance(fields, Mapping):
            yield Record(f"{source}:{number}", fields)


def has_configuration(repository: str, configuration: str, revision: str | None) -> bool:
    """Whether the hub, or the cache when offline, has this configuration. Load a required table first."""
    from datasets import load_dataset_builder

    from trainables.runtime.hub_access import hub_or_cache

    try:
        with hub_or_cache():
            load_dataset_builder(repository, configuration, revision=revision)
    except Exception:  # as in `read_hub`; loading the required tables has already reported an unreachable hub
        return False
    return True
