"""Reads TOFU's older evaluation files: `eval_log_aggregated.json`, `{file: {measurement: rows}}`, and its four parts.

After `evaluate_util.py` of TOFU (rows by index) and of the NPO code (rows as lists). Losses are per token unless the
name says otherwise; `truth_ratio` is wrong over right. The files have only the first 300 rows of each set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from trainables.evaluation.logs import values
from trainables.evaluation.logs.log import LEGACY, Column, Log, LogError, SetRows

CAP = 300

_FACTS = ("real_authors", "world_facts")
_SUMS = {
    "avg_gt_loss": ("gt_loss", "num_token_gt"),
    "avg_paraphrased_loss": ("paraphrased_loss", "num_token_paraphrased"),
    "average_perturb_loss": ("perturb_loss", "num_token_perturb"),
}
"""A mean per token, and the sum and count that it can be computed from."""

_NUMBERS = {
    "loss": ("avg_gt_loss", values.loss),
    "paraphrase_loss": ("avg_paraphrased_loss", values.loss),
    "perturbed_losses": ("average_perturb_loss", values.losses),
    "rouge_l_recall": ("rougeL_recall", values.share),
    "rouge_1_recall": ("rouge1_recall", values.share),
    "truth_ratio": ("truth_ratio", values.loss),
    "tokens": ("num_token_gt", values.loss),
}
MEASUREMENTS = {name for name, _ in _NUMBERS.values()} | {name for pair in _SUMS.values() for name in pair}


def set_of_file(name: str) -> str | None:
    """`forget` for `eval_log_forget.json`; None for a file that is not one of the four."""
    plain = PurePath(name).name.lower()
    if "forget" in plain:
        return "forget"
    if "real_author" in plain:
        return "real_authors"
    if "real_world" in plain or "world_fact" in plain:
        return "world_facts"
    return "retain" if plain.startswith("eval_log") or "retain" in plain else None


def is_part(content: object) -> bool:
    """Whether `content` is the evaluation of one set."""
    return isinstance(content, Mapping) and bool(MEASUREMENTS & set(content))


def is_legacy(content: Mapping[str, Any]) -> bool:
    """Whether `content` is an `eval_log_aggregated.json` or one of its parts."""
    return is_part(content) or any(is_part(part) for part in content.values())


def read_legacy(content: Mapping[str, Any], file: str) -> Log:
    """The log in a JSON document. Raises LogError for values of the wrong kind and for unknown parts."""
    notes = []
    if is_part(content):
        named = set_of_file(file)
        notes += [] if named else [f"{file} does not name its set: assumed to be the forget set"]
        content = {f"eval_log{'_forget' if named is None else ''}.json" if named in (None, "retain") else file: content}
    sets: dict[str, SetRows] = {}
    for key, part in content.items():
        name = set_of_file(str(key))
        if name is None or name in sets or not is_part(part):
            notes.append(f"{values.first_few([key])!r} is not a set of this format and is left out")
            continue
        of_set = SetRows(role="forget" if name == "forget" else "utility", multiple_choice=name in _FACTS)
        of_set.columns = _columns(part, f"{file}: {key}")
        for column in ("loss", "paraphrase_loss", "perturbed_losses", "rouge_l_recall"):
            found = len(of_set.columns.get(column, {}))
            notes += values.missing(f"{name} set", _NUMBERS[column][0], of_set.rows - found if found else 0)
        sets[name] = of_set
        if of_set.rows == CAP:
            notes.append(f"the {name} set has {CAP} rows, the most that this format holds")
    if not sets:
        raise LogError(f"{file}: {values.first_few(content)} is not a set of TOFU's; keep the original file names")
    return Log(file=file, format=LEGACY, sets=sets, notes=tuple(notes))


def _columns(part: Mapping[str, Any], where: str) -> dict[str, Column]:
    columns = {}
    for column, (name, read) in _NUMBERS.items():
        if part.get(name) is not None:
            found = values.column(values.rows_of(part[name], f"{where}, {name}"), read, f"{where}, {name}")
        else:
            found = _mean_of_sum(part, name, where)
        if found:
            columns[column] = found
    return columns | _texts(part.get("generated_text"), where)


def _mean_of_sum(part: Mapping[str, Any], name: str, where: str) -> Column:
    """(sum over tokens) / (tokens), for one answer or several."""
    names = _SUMS.get(name)
    if names is None or any(part.get(each) is None for each in names):
        return {}
    sums, counts = (
        values.column(values.rows_of(part[each], f"{where}, {each}"), values.losses, f"{where}, {each}")
        for each in names
    )
    found: Column = {}
    for index in sums.keys() & counts.keys():
        means = _quotients(sums[index], counts[index], f"{where}, {names[0]}, row {index}")
        found[index] = means if name == "average_perturb_loss" else means[0]
    return values.in_order(found)


def _quotients(sums: Any, counts: Any, where: str) -> tuple[float, ...]:
    if len(sums) != len(counts):
        raise LogError(f"{where}: {len(sums)} losses for {len(counts)} token counts; take the file as it was written")
    return tuple(total / tokens if tokens else math.nan for total, tokens in zip(sums, counts, strict=True))


def _texts(content: object, where: str) -> dict[str, Column]:
    """Rows of [question, generated, answer]."""
    if content is None:
        return {}
    rows = values.rows_of(content, f"{where}, generated_text")
    whole = {index: row for index, row in rows.items() if isinstance(row, list) and len(row) == 3}  # noqa: PLR2004
    columns: dict[str, Column] = {"question": {}, "generated": {}, "answer": {}}
    for index, row in whole.items():
        for name, text in zip(columns, row, strict=True):
            if isinstance(text, str):
                columns[name][index] = text
    return {name: column for name, column in columns.items() if column}
