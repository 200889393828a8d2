"""`letheon compare-logs`: prints two evaluation logs side by side. `trainables.evaluation.logs` reads and compares."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from letheon.cli.tables import plain_table, six_digits
from letheon.common.counting import several
from letheon.common.errors import LetheonError, NotFound
from trainables.evaluation.verdict import FORGOTTEN

_KNOWN, _MARGIN = 0.5, 0.2
"""ROUGE or probability that no model reaches without having seen the rows, and a difference that is not chance."""


def compare(retain: Path, unlearned: Path) -> dict[str, Any]:
    """The comparison in the shape that `--json` prints.

    Raises NotFound (no such file), LetheonError (not a log, or the two logs have different rows).
    """
    for path in (retain, unlearned):
        if not path.exists():
            raise NotFound(f"{path}: no such file; give an evaluation log of open-unlearning or TOFU")
    from trainables.evaluation.logs.compare import compare_logs
    from trainables.evaluation.logs.log import LogError
    from trainables.evaluation.logs.read import read_log

    try:
        return compare_logs(read_log(retain), read_log(unlearned))
    except LogError as error:
        raise LetheonError(str(error)) from None


def report_parts(report: Mapping[str, Any]) -> Iterator[Table | str]:
    """The report for people: both models' metrics, the comparison, what is missing, notes, and a conclusion."""
    yield from _headings(report)
    yield ""
    yield _metrics_table(report)
    yield ""
    yield from _comparison(report)
    yield from _absent(report)
    notes = [f"{side}: {note}" for side in ("retain", "unlearned") for note in report[side]["notes"]]
    for note in (*notes, *report["notes"], *_remarks(report)):
        yield f"note        {note}"
    yield ""
    yield _conclusion(report["comparison"])


def _conclusion(found: Mapping[str, Any]) -> str:
    """One sentence. The test alone does not prove forgetting, because a broken model may pass it."""
    name = next((name for name in ("forget_quality", "loss_quality") if name in found), None)
    if name is None or math.isnan(found[name]):
        return "The logs cannot be compared by forget quality: see the lines marked absent."
    p = f"{name.replace('_', ' ')} p = {found[name]:.2g}"
    if found[name] > FORGOTTEN:
        return (
            f"The test finds no difference between the unlearned and the retain model ({p} > {FORGOTTEN:g}): by this "
            "test it has forgotten; check its utility and its answers."
        )
    return f"The unlearned model differs from the retain model ({p}, needs > {FORGOTTEN:g}): not forgotten."


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    sides = report["retain"], report["unlearned"]
    if any(side["differs"] or set(side["stored"]) - set(side["metrics"]) for side in sides):
        yield "`stored` values are from the file itself; all others are computed here from its rows"
    for name in ("forget_rouge", "forget_probability"):
        retain, unlearned = (float(side["metrics"].get(name, math.nan)) for side in sides)
        if retain > _KNOWN and retain > unlearned + _MARGIN:
            yield (
                f"the retain model knows the forget rows better than the unlearned one ({name.replace('_', ' ')} "
                f"{retain:.2g} against {unlearned:.2g}): are the two files swapped? The retain model's comes first"
            )
            return


def _headings(report: Mapping[str, Any]) -> Iterator[str]:
    for side in ("retain", "unlearned"):
        rows = ", ".join(f"{name} {count}" for name, count in report[side]["rows"].items()) or "none"
        yield f"{side:11} {report[side]['file']} ({report[side]['format']}; rows: {rows})"


def _metrics_table(report: Mapping[str, Any]) -> Table:
    """One row per metric. A stored aggregate is shown only if it differs or nothing could be computed."""
    table = plain_table("metric", "retain", "unlearned", right=True)
    sides = [report["retain"], report["unlearned"]]
    names = list(dict.fromkeys(name for side in sides for part in ("metrics", "stored") for name in side[part]))
    for name in sorted(names, key=lambda name: (name != "model_utility", "_Q_A_" in name)):
        table.add_row(name, *(_cell(side, name) for side in sides))
    return table


def _cell(side: Mapping[str, Any], name: str) -> str:
    stored = side["stored"].get(name)
    if name not in side["metrics"]:
        return "-" if stored is None else f"stored {six_digits(stored)}"
    differs = f" (stored {six_digits(stored)})" if name in side["differs"] else ""
    return six_digits(side["metrics"][name]) + differs


def _comparison(report: Mapping[str, Any]) -> Iterator[str]:
    found, stored = report["comparison"], report["stored"]
    labels = {
        "forget_quality": "forget quality",
        "ks_distance": "KS distance",
        "loss_quality": "loss quality",
        "privleak": "PrivLeak",
        "mia_reference": "reference attack",
        "privacy_score": "privacy",
        "unlearning_score": "all three",
    }
    for name, label in labels.items():
        if name not in found:
            continue
        extra = []
        log10 = found.get(f"log10_{name}")
        if log10 is not None:
            extra += [f"log10 {six_digits(log10)}", f"{several(found.get('rows', 0), 'row')}"]
        if name in stored and not math.isclose(stored[name], found[name], rel_tol=1e-6):
            extra.append(f"stored {six_digits(stored[name])}")
        unit = "%" if name == "privleak" else ""
        yield f"{label:16} {six_digits(found[name])}{unit}" + (f"  ({', '.join(extra)})" if extra else "")


def _absent(report: Mapping[str, Any]) -> Iterator[str]:
    """One line per reason, because one reason often affects many metrics."""
    for where, absent in (("retain", report["retain"]["absent"]), ("unlearned", report["unlearned"]["absent"])):
        reasons: dict[str, list[str]] = {}
        for name, reason in absent.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            yield f"absent      {where}: {', '.join(names)}: {reason}"
    for name, reason in report["absent"].items():
        yield f"absent      {name}: {reason}"
