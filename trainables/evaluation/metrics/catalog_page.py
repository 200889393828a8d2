"""Writes docs/metrics.md: `python -m trainables.evaluation.metrics.catalog_page > docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trainables.evaluation.metrics.catalog import CATALOG, FAMILIES, RECORDED, MetricInfo

_HEAD = """# Metrics

<!-- Written by `python -m trainables.evaluation.metrics.catalog_page`; edit its catalog.py instead. -->

What an evaluation reports, by name. A sweep's `objectives` and `constraints` may be any metric of the first two tables;
*range* is what fronts and hypervolumes scale it to, worst end first. A metric that a benchmark's data cannot support is
absent: no wrong answers, no truth ratios; no holdout set, no membership inference. With `scheduler.evaluate: decision`
so is, at epochs that cannot be on the front, what no decision reads. A model that gives no distribution any more (NaN
weights) has NaN.

Definitions are those of TOFU's and open-unlearning's published code (arXiv 2401.06121, 2506.12618). Where our default
differs on purpose, `evaluation.compat: open_unlearning` does as open-unlearning does, and its numbers come out:

- **What a model sees**: the whole prompt; there, tokens that equal the padding are hidden. It shows for models that pad
  with the end of a turn (Llama 3, SmolLM2).
- **What it is scored on**: the answer and the token that ends it; there, all that the chat format has behind an answer,
  and end of sequence (Qwen 2.5, Gemma, Phi 3.5).
- **Where the answer begins**: with its first token; there, with as many tokens as the prompt has by itself, so that a
  prompt that ends in a space (Phi 1.5) keeps the answer's first token.
- **Where writing stops**: at the model's end tokens (`generation_config.eos_token_id`) and the template's; there, only
  at the model's.
- **An answer none of which is extracted**: extraction strength 0; there, 1 / tokens.
- **Texts that are compared**: as they are; there, without spaces before punctuation, as transformers 4 decoded.
- **The last token of raw text**: counted; there, left out, as an end would be.
- **Ratios of probabilities**: divided as logarithms; there, 1e-10 is added to denominators, which shows for destroyed
  models.

Why ours: a model is used with its whole prompt, and nothing is written behind the end of a turn; a token that was
not extracted should not count as extracted; and 1e-10 decides the truth ratio of a model whose answers have become that
unlikely. For a Llama 3 the probability differs by 1 %, ROUGE of single rows by up to .65, and most generated texts
differ; for a Qwen 2.5 that learned one end token, a probability of .49 becomes .23.

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
