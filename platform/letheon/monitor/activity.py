"""What runs now, in words and as bars: worker groups, the driver's own work, what a preparation has made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.text import Text

from letheon.analysis.time_left import duration
from letheon.journal.activity import Activity, Work
from letheon.monitor.terminal import Column, cut_text, grid

STALE_SECONDS = 30.0
"""Workers report every few seconds. One that has been silent for longer is shown as silent."""
MOST_IN_LINE = 4
BAR_WIDTH = 24


def work_in_words(work: Work) -> str:
    """`t003 epoch 2, 25 s: training, step 3 of 40, loss 2.1, 812 tokens/s, about 3 min left`."""
    facts = [work.stage]
    if work.step is not None and work.of:
        facts.append(f"step {work.step} of {work.of}")
    facts += [f"{name} {value}" for name, value in (("loss", _loss(work)),) if value]
    facts += [f"{value} tokens/s" for value in (_speed(work),) if value]
    if work.seconds_left is not None:
        facts.append(f"about {duration(work.seconds_left)} left")
    if work.silent > STALE_SECONDS:
        facts.append(f"no news for {duration(work.silent)}")
    return f"{_name(work)}, {duration(work.seconds)}: {', '.join(facts)}"


def activity_lines(activity: Activity) -> Iterator[str]:
    """What a preparation has made, what the driver does, and a line per worker group."""
    if activity.artifacts:
        yield artifacts_in_words(activity)
    if activity.driver is not None:
        yield f"{activity.driver}, {duration(activity.driver_seconds)}"
    yield from map(work_in_words, activity.work)


def activity_in_a_line(activity: Activity) -> str | None:
    """What runs now in one line, for a log; None if nothing does."""
    if activity.driver is not None:
        return f"{activity.driver}, {duration(activity.driver_seconds)}"
    if not activity.work:
        return None
    more = len(activity.work) - MOST_IN_LINE
    shown = "; ".join(map(work_in_words, activity.work[:MOST_IN_LINE]))
    return f"{shown}; and {more} more" if more > 0 else shown


def artifacts_in_words(activity: Activity) -> str:
    """`ready: base model; running: target model; waiting: retain model 0.1, baseline 0.1`."""
    states: dict[str, list[str]] = {"ready": [], "running": [], "waiting": []}
    for name, ready in activity.artifacts:
        states[activity.state_of(name, ready)].append(name)
    return "; ".join(f"{state}: {', '.join(names)}" for state, names in states.items() if names)


def activity_picture(activity: Activity, width: int, lines: int | None = None) -> RenderableType:
    """The same with a bar per worker group, at most `lines` lines."""
    texts = [artifacts_in_words(activity)] if activity.artifacts else []
    if activity.driver is not None:
        texts.append(f"{activity.driver}, {duration(activity.driver_seconds)}")
    work = activity.work if lines is None else activity.work[: max(0, lines - len(texts) - 1)]
    parts: list[RenderableType] = [cut_text(text) for text in texts]
    if work:
        parts.append(_table(work, width))
    return Group(*parts)


def picture_lines(activity: Activity) -> int:
    """The lines that all of `activity_picture` needs."""
    texts = bool(activity.artifacts) + (activity.driver is not None)
    return texts + (1 + len(activity.work) if activity.work else 0)


def _table(work: Sequence[Work], width: int) -> RenderableType:
    bars: list[RenderableType] = [
        Text("") if one.share is None else ProgressBar(total=1, completed=one.share, width=BAR_WIDTH) for one in work
    ]
    late = [f"silent {duration(one.silent)}" if one.silent > STALE_SECONDS else "" for one in work]
    steps = ["" if one.step is None or not one.of else f"{one.step} of {one.of}" for one in work]
    columns = [
        Column("now", [Text(_name(one), "cyan") for one in work]),
        Column("stage", [one.stage for one in work]),
        Column(" " * BAR_WIDTH, bars, rank=1),
        Column("step", steps, True),
        Column("loss", [_loss(one) for one in work], True, 2),
        Column("tokens/s", [_speed(one) for one in work], True, 3),
        Column("left", ["" if one.seconds_left is None else duration(one.seconds_left) for one in work], True),
        Column("for", [duration(one.seconds) for one in work], True, 4),
        *([Column("", [Text(text, "yellow") for text in late])] if any(late) else []),
    ]
    return grid(columns, width)


def _name(work: Work) -> str:
    return work.job if work.epoch is None else f"{work.job} epoch {work.epoch}"


def _loss(work: Work) -> str:
    return "" if work.loss is None else f"{work.loss:.3g}"


def _speed(work: Work) -> str:
    return "" if work.tokens_per_second is None else f"{work.tokens_per_second:,.0f}"
