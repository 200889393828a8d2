"""`letheon compare-logs`: two evaluation logs side by side as tables. Reading and numbers are elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from letheon.cli.tables import plain_table
from letheon.common.counting import several
from letheon.common.errors import LetheonError, NotFound
from trainables.evaluation.verdict import FORGOTTEN

_KNOWN, _MUCH = 0.5, 0.2
"""Of ROUGE and probability: what no model reaches that never saw the rows, and a difference that is no accident."""


def compare(retain: Path, unlearned: Path) -> dict[str, Any]:
    """The report of both, in the shape that `--json` prints.

    Raises NotFound (no such file), LetheonError (it is no log, or the two are not of the same rows).
    """
    for path in (retain, unlearned):
        if not path.exists():
            raise NotFound(f"{path}: there is no such file; give an evaluation log of open-unlearning or TOFU")
    from trainables.evaluation.logs.compare import compare_logs
    from trainables.evaluation.logs.log import LogError
    from trainables.evaluation.logs.read import read_log

    try:
        return compare_logs(read_log(retain), read_log(unlearned))
    except LogError as error:
        raise LetheonError(str(error)) from None


def check_out(file: Path) -> None:
    """An evaluation takes long, so that it can be written is found out before. Raises LetheonError."""
    if file.is_dir() or not file.parent.is_dir():
        what = "is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise LetheonError(f"--out {file}: {what}; name a file in a folder that exists")


def report_parts(report: Mapping[str, Any]) -> Iterator[Table | str]:
    """What a person reads: both models' metrics, what they say together, what is missing and what to know."""
    yield from _heads(report)
    yield ""
    yield _metrics_table(report)
    yield ""
    yield from _comparison(report)
    yield from _absent(report)
    notes = [f"{side}: {note}" for side in ("retain", "unlearned") for note in report[side]["notes"]]
    for note in (*notes, *report["notes"], *_remarks(report)):
        yield f"note        {note}"
    yield ""
    yield _sentence(report["comparison"])


def _sentence(found: Mapping[str, Any]) -> str:
    """What the numbers come to. A test alone proves no forgetting: a broken model may pass it."""
    name = next((name for name in ("forget_quality", "loss_quality") if name in found), None)
    if name is None or math.isnan(found[name]):
        return "The two cannot be compared by forget quality: see what is absent."
    p = f"{name.replace('_', ' ')} p = {found[name]:.2g}"
    if found[name] > FORGOTTEN:
        return (
            f"The unlearned model cannot be told from the retain model ({p} > {FORGOTTEN:g}): by this test it has "
            "forgotten; look at its utility, and at what it answers."
        )
    return f"The unlearned model can be told from the retain model ({p}, needs > {FORGOTTEN:g}): not forgotten."


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    sides = report["retain"], report["unlearned"]
    if any(side["differs"] or set(side["stored"]) - set(side["metrics"]) for side in sides):
        yield "`stored` is what the file itself gives; all else is computed here from the values of its rows"
    for name in ("forget_rouge", "forget_probability"):
        retain, unlearned = (float(side["metrics"].get(name, math.nan)) for side in sides)
        if retain > _KNOWN and retain > unlearned + _MUCH:
            yield (
                f"the retain model knows the forget rows better than the unlearned one ({name.replace('_', ' ')} "
                f"{retain:.2g} against {unlearned:.2g}): are the two files swapped? The retain model's comes first"
            )
            return


def _heads(report: Mapping[str, Any]) -> Iterator[str]:
    for side in ("retain", "unlearned"):
        rows = ", ".join(f"{name} {count}" for name, count in report[side]["rows"].items()) or "none"
        yield f"{side:11} {report[side]['file']} ({report[side]['format']}; rows: {rows})"


def _metrics_table(report: Mapping[str, Any]) -> Table:
    """A stored aggregate is shown if it says otherwise, or if it is all there is."""
    table = plain_table("metric", "retain", "unlearned", right=True)
    sides = [report["retain"], report["unlearned"]]
    names = list(dict.fromkeys(name for side in sides for part in ("metrics", "stored") for name in side[part]))
    for name in sorted(names, key=lambda name: (name != "model_utility", "_Q_A_" in name)):
        table.add_row(name, *(_cell(side, name) for side in sides))
    return table


def _cell(side: Mapping[str, Any], name: str) -> str:
    stored = side["stored"].get(name)
    if name not in side["metrics"]:
        return "-" if stored is None else f"stored {_figure(stored)}"
    differs = f" (stored {_figure(stored)})" if name in side["differs"] else ""
    return _figure(side["metrics"][name]) + differs


def _figure(value: float) -> str:
    return "nan" if math.isnan(value) else f"{value:.6g}"


def _comparison(report: Mapping[str, Any]) -> Iterator[str]:
    found, stored = report["comparison"], report["stored"]
    labels = {
        "forget_quality": "forget quality",
        "ks_distance": "KS distance",
        "loss_quality": "loss quality",
        "privleak": "PrivLeak",
        "mia_reference": "reference attack",
    }
    for name, label in labels.items():
        if name not in found:
            continue
        extra = []
        log10 = found.get(f"log10_{name}")
        if log10 is not None:
            extra += [f"log10 {_figure(log10)}", f"{several(found.get('rows', 0), 'row')}"]
        if name in stored and not math.isclose(stored[name], found[name], rel_tol=1e-6):
            extra.append(f"stored {_figure(stored[name])}")
        unit = "%" if name == "privleak" else ""
        yield f"{label:16} {_figure(found[name])}{unit}" + (f"  ({', '.join(extra)})" if extra else "")


def _absent(report: Mapping[str, Any]) -> Iterator[str]:
    """One line a reason, since one reason takes many metrics away."""
    for where, absent in (("retain", report["retain"]["absent"]), ("unlearned", report["unlearned"]["absent"])):
        reasons: dict[str, list[str]] = {}
        for name, reason in absent.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            yield f"absent      {where}: {', '.join(names)}: {reason}"
    for name, reason in report["absent"].items():
        yield f"absent      {name}: {reason}"
