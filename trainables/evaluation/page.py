"""docs/metrics.md, written from the catalog: `python -m trainables.evaluation.page > docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trainables.evaluation.catalog import CATALOG, FAMILIES, RECORDED, MetricInfo

_HEAD = """# Metrics

<!-- Written by `python -m trainables.evaluation.page`; edit trainables/evaluation/catalog.py instead. -->

What an evaluation reports, by name. A sweep's `objectives` and `constraints` may be any metric of the first two tables;
*range* is what fronts and hypervolumes scale it to, worst end first. A metric that a benchmark's data cannot support is
absent: no wrong answers, no truth ratios; no holdout set, no membership inference. With `scheduler.evaluate: decision`
so is, at epochs that cannot be on the front, what no decision reads. A model that gives no distribution any more (NaN
weights) has NaN.

Definitions are those of TOFU's and open-unlearning's published code (arXiv 2401.06121, 2506.12618), so numbers compare.
They differ on purpose in four places. An answer none of which is extracted has extraction strength 0, not 1 / n. Rows
of raw text have no end of sequence, so none of their tokens is left out. The wrong answers' and paraphrase's
probabilities are divided as logarithms, without the 1e-10 that open-unlearning adds to keep from dividing by zero.
Repetition and gibberish are computed from the text alone; open-unlearning asks a downloaded classifier, whose
`forget_Q_A_gibberish` is the probability of *clean* text, so larger is better there.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield from _table("## Metrics with a fixed name", CATALOG)
    yield from _table("## Metrics named after a set, a task or an attack", FAMILIES)
    yield from ("## Recorded only", "", "| metric | meaning |", "|---|---|")
    yield from (f"| `{name}` | {_cell(text)} |" for name, text in RECORDED.items())


def _table(title: str, metrics: Mapping[str, MetricInfo]) -> Iterator[str]:
    yield from (title, "", "| metric | better | range | meaning |", "|---|---|---|---|")
    for name, info in metrics.items():
        yield f"| `{name}` | {info.better} | {_range(info)} | {_cell(info.text)} |"
    yield ""


def _range(info: MetricInfo) -> str:
    return "floor * target … target" if info.ratio_to_target else f"{info.worst:g} … {info.best:g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
