"""Writes docs/metrics.md: `python -m trainables.evaluation.metrics.catalog_page > docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trainables.evaluation.metrics.catalog import CATALOG, FAMILIES, RECORDED, MetricInfo

_HEAD = """# Metrics

<!-- Written by `python -m trainables.evaluation.metrics.catalog_page`; edit its catalog.py instead. -->

The metrics of an evaluation, by name. A sweep's `objectives` and `constraints` may use any metric
of the first two tables; fronts and hypervolumes scale it to its *range*, worst end first. A metric
that the benchmark's data cannot support is absent: truth ratios need wrong answers, membership
inference needs a holdout set. With `scheduler.evaluate: decision`, epochs that cannot be on the
front lack the metrics that no decision reads. A model without a distribution (NaN weights) has NaN.

Definitions follow the published code of TOFU and open-unlearning (arXiv 2401.06121, 2506.12618).
Where our default differs on purpose, `evaluation.compat: open_unlearning` reproduces
open-unlearning's numbers:

| | our default | open-unlearning |
|---|---|---|
| prompt | visible as a whole | hides tokens equal to padding (Llama 3, SmolLM2) |
| scored tokens | the answer and the token that ends it | all that the chat format adds, and end of \
sequence (Qwen 2.5, Gemma, Phi 3.5) |
| start of the answer | its first token | after as many tokens as the prompt has on its own: after \
a final space (Phi 1.5), the answer's first token belongs to the prompt |
| generation stops | at the end tokens of the model (`generation_config.eos_token_id`) and template \
| at the model's only |
| no token extracted | extraction strength 0 | 1 / tokens |
| compared texts | unchanged | without spaces before punctuation, as decoded by transformers 4 |
| last token of raw text | counted | left out, like an end token |
| ratios of probabilities | divided as logarithms | 1e-10 added to denominators, which shows for \
destroyed models |

Why ours: users give a model its whole prompt and stop at the end of a turn; a token that was not
extracted should not count as extracted; and 1e-10 decides the truth ratio of a model whose answers
have become that unlikely. For a Llama 3 the probability differs by 1 %, ROUGE of single rows by up
to .65, and most generated texts differ; for a Qwen 2.5 that learned one end token, a probability of
.49 becomes .23.

Repetition and gibberish are computed from the text alone. open-unlearning uses a downloaded
classifier, whose `forget_Q_A_gibberish` is the probability of *clean* text: larger is better there.
"""


def page() -> str:
    """The page as Markdown."""
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
