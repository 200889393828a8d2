"""The answer of `why_not` as sentences, one per line. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from letheon.analysis.explain import how_it_ended
from letheon.analysis.why_not import FLOOR, Answer, Judgement, Violation
from letheon.journal.journal import Row
from letheon.pareto.front import name_of
from letheon.pareto.labels import COMPANIONS, label, short_config, short_label
from letheon.pareto.objectives import Axis, is_audit
from trainables.evaluation.metrics.catalog import number

DIGITS = 3
MOST_DIGITS = 17  # any two doubles differ in them
_SURE = Context(prec=12)  # more digits of 10 ** log10(p) are rounding errors
_SMALLEST = -300.0  # log10 of a p-value that is still a number


def in_words(answer: Answer) -> list[str]:
    """The trial's best checkpoint, then its other epochs, then why there are no more; or one checkpoint alone."""
    sentences = _Sentences(answer)
    lines = list(sentences.trial() if answer.epoch is None else sentences.checkpoint(answer.epoch))
    if answer.awaits_audit and answer.reported:
        lines.append("no checkpoint is audited yet: this is the front that the search found")
    return lines


class _Sentences:
    """Mentions each configuration only once."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self._name = answer, answer.trial["trial"]
        self._named = {self._name}
        self._front = f"the front of forget fraction {answer.trial['stratum']}"

    def trial(self) -> Iterator[str]:
        best, there, end = self.answer.best, self.answer.on_front, self.answer.end
        if best is None:
            yield self._without_report()
            return
        if there:
            yield f"{self._name} is on {self._front} with {_epochs(there)}"
        else:
            yield f"{self._name} is not on {self._front}; its best checkpoint is {best.name}:"
            yield self.judged(best)
        for one in self.answer.judged:
            if one.verdict != "on_front" and one is not best:
                yield self.judged(one)
        if end is None:
            yield f"{self._name} has not ended: its next epochs are still to come"
        elif end["outcome"] != "completed":
            yield f"{self._name} {how_it_ended(end)} ({end['reason']}): later epochs were never trained"

    def checkpoint(self, epoch: int) -> Iterator[str]:
        if self.answer.judged:
            yield self.judged(self.answer.judged[0])
        elif epoch == 0:
            yield f"{self._name}@0 is the untouched target model, which is on no front"
        else:
            yield self._unreported(epoch)

    def judged(self, one: Judgement) -> str:
        lead = ""
        if self._never_audited(one):
            lead = "was not on the front that the search found, and only that was audited: it "
        return f"{one.name} {lead}{self._verdict(one)}"

    def _verdict(self, one: Judgement) -> str:
        axes, metrics = one.stage.goals.axes, one.row["metrics"]
        match one.verdict:
            case "on_front":
                values = (f"{_label(axis)} {_short(_shown(axis.metric, metrics))}" for axis in axes)
                return f"is on {self._front}: {', '.join(values)}"
            case "dominated":
                more = f" and {len(one.rivals) - 1} more" if one.rivals[1:] else ""
                against = ", ".join(_against(axis, metrics, one.rivals[0]["metrics"]) for axis in axes)
                return f"is dominated by {self._who(one.rivals[0])}{more}: {against}{self._needed(one)}"
            case "duplicate":
                same = f"has the objectives of {self._who(one.rivals[0])}"
                return f"{same}; of equal checkpoints the front shows the earliest"
            case "infeasible":
                missed = " and ".join(self._missed(each, metrics) for each in one.violations)
                alone = "by its objectives alone it would be on the front"
                if one.rivals:
                    all_of = "both" if len(axes) == 2 else "all"  # noqa: PLR2004
                    alone = f"besides, {self._who(one.rivals[0])} is at least as good in {all_of} objectives"
                return f"is infeasible: {missed}; {alone}"
            case "not_audited":
                lacking = " and ".join(one.without_number)
                return f"was on the front that the search found, but is not audited: it has no {lacking} yet"
            case "not_probed" | "no_numbers":
                missing = " and ".join(_no_number(name, metrics) for name in one.without_number)
                why = ", since the probe ran at rungs only" if one.verdict == "not_probed" else ""
                return f"has no place on a front: {missing}{why}"

    def _needed(self, one: Judgement) -> str:
        """The changes that would suffice, the smaller first; those past the end of a range only if all are."""
        axes = {axis.metric: axis for axis in one.stage.goals.axes}
        within = [change for change in one.needed if not _past_the_end(axes[change.metric], change.value)]
        texts = [_enough(axes[each.metric], each.value, one.row["metrics"]) for each in within or one.needed]
        front = "that front" if self._never_audited(one) else "the front"
        return f"; it would be on {front} with {' or '.join(texts)}" if texts else ""

    def _never_audited(self, one: Judgement) -> bool:
        """Whether the search left it out, and so the deciding audit."""
        return one.stage.name == "search" and self.answer.final.name == "audit"

    def _who(self, row: Row) -> str:
        """`t003@6 (npo_rt, lr 0.000936, beta 0.0406)`, the configuration at its first mention."""
        if row["trial"] in self._named:
            return name_of(row)
        self._named.add(row["trial"])
        return f"{name_of(row)} ({short_config(self.answer.trials[row['trial']]['config'])})"

    def _missed(self, violation: Violation, metrics: Mapping[str, Any]) -> str:
        """States the utility itself if possible, though the rule is about its share of the target model's."""
        utility, floor = number(metrics, "model_utility"), self.answer.utility_floor
        if violation.metric == FLOOR and math.isfinite(violation.by) and floor > utility:
            missed = _off_by("utility", utility, floor, "below the floor")
            return f"{missed} ({violation.limit:g} of the target model's)"
        name, low = _name(violation.metric), violation.side == "min"
        if not math.isfinite(violation.by):
            what = "missing" if metrics.get(violation.metric) is None else str(violation.value)
            return f"{name} is {what}, and must be {'at least' if low else 'at most'} {_short(violation.limit)}"
        return _off_by(name, violation.value, violation.limit, f"{'below' if low else 'above'} the limit")

    def _without_report(self) -> str:
        end = self.answer.end
        if end is None:
            return f"{self._name} has not reported yet: it is in its first epoch or waiting to run"
        return f"{self._name} {how_it_ended(end)}: {end['reason']}"

    def _unreported(self, epoch: int) -> str:
        end, reported = self.answer.end, self.answer.reported
        if reported and epoch < reported[-1]:
            return f"{self._name}@{epoch} was never reported; {self._name} reported {_epochs(reported)}"
        if end is not None:
            return f"{self._name}@{epoch} was never trained: {self._name} {how_it_ended(end)} ({end['reason']})"
        if not reported:
            return self._without_report()
        return f"{self._name}@{epoch} is not reported yet: {self._name} is past epoch {reported[-1]} and has not ended"


def _epochs(epochs: tuple[int, ...]) -> str:
    *first, last = map(str, epochs)
    return f"epochs {', '.join(first)} and {last}" if first else f"epoch {last}"


def _past_the_end(axis: Axis, value: float) -> bool:
    return axis.sign * value >= axis.sign * axis.best


def _enough(axis: Axis, value: float, metrics: Mapping[str, Any]) -> str:
    """`utility above 0.924`, rounded to the safe side."""
    side, way = ("above", ROUND_CEILING) if axis.better == "max" else ("below", ROUND_FLOOR)
    own, limit = _shown(axis.metric, metrics), _unlogged(axis.metric, value)
    exact = _SURE.create_decimal(repr(limit)) if _is_log(axis.metric) else Decimal(repr(limit))
    enough = Context(prec=_digits(own, limit), rounding=way).create_decimal(exact)
    end = f" (its range ends at {_short(_unlogged(axis.metric, axis.best))})" if _past_the_end(axis, value) else ""
    return f"{_name(axis.metric)} {side} {float(enough):.{MOST_DIGITS - 2}g}{end}"


def _against(axis: Axis, own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    mine, its = _shown(axis.metric, own), _shown(axis.metric, other)
    if mine == its:
        return f"{_label(axis)} {_short(mine)} in both"
    digits = _digits(mine, its)
    return f"{_label(axis)} {mine:.{digits}g} against {its:.{digits}g}"


def _off_by(name: str, value: float, limit: float, where: str) -> str:
    digits = _digits(value, limit)
    return f"{name} {value:.{digits}g} is {_short(abs(value - limit))} {where} of {limit:.{digits}g}"


def _no_number(metric: str, metrics: Mapping[str, Any]) -> str:
    value = metrics.get(metric)
    return f"{metric} is missing" if value is None else f"{metric} is {value}, not a finite number"


def _digits(a: float, b: float) -> int:
    """The number of significant digits that distinguishes two numbers."""
    return next((n for n in range(DIGITS, MOST_DIGITS) if a == b or f"{a:.{n}g}" != f"{b:.{n}g}"), MOST_DIGITS)


def _short(value: float) -> str:
    return f"{value:.{DIGITS}g}"


# -- p-values are stored as logarithms and shown as p-values


def _is_log(metric: str) -> bool:
    return metric.startswith("log10_") and metric in COMPANIONS


def _unlogged(metric: str, value: float) -> float:
    return 10.0**value if _is_log(metric) and _SMALLEST < value <= 0 else value


def _shown(metric: str, metrics: Mapping[str, Any]) -> float:
    return _unlogged(metric, number(metrics, metric))


def _name(metric: str) -> str:
    if _is_log(metric):
        return label(COMPANIONS[metric][0])
    if metric == FLOOR:
        return "share of the target model's utility"
    return label(metric) if is_audit(metric) else short_label(metric)


def _label(axis: Axis) -> str:
    """Before a value: `utility`, but `forget quality p =`."""
    return f"{_name(axis.metric)} =" if _is_log(axis.metric) else _name(axis.metric)
