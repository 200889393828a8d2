"""Writes docs/metrics.md: `python -m trainables.evaluation.metrics.catalog_page > docs/metrics.md`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from trainables.evaluation.metrics.catalog import CATALOG, FAMILIES, RECORDED, MetricInfo

_HEAD = """# Metrics

<!-- Written by `python -m trainables.evaluation.metrics.catalog_page`; edit its catalog.py instead. -->

The metrics that an evaluation reports, by name. A sweep's `objectives` and `constraints` may be any
metric of the first two lists. In brackets: the better end, and the range that fronts and
hypervolumes scale it to, worst end first.

A metric that a benchmark's data cannot support is absent: without wrong answers there are no truth
ratios, without a holdout set no membership inference. With `scheduler.evaluate: decision`, epochs
that cannot be on the front lack the metrics that no decision reads. A model that no longer gives a
distribution (NaN weights) has NaN.

## Definitions

They are those of TOFU's and open-unlearning's published code (arXiv 2401.06121, 2506.12618), except
for the following deliberate differences. `evaluation.compat: open_unlearning` follows
open-unlearning in each and reproduces its numbers.

- **What a model sees**: the whole prompt. open-unlearning hides tokens that equal the padding,
  which matters for models that pad with the end of a turn (Llama 3, SmolLM2).
- **What it is scored on**: the answer and the token that ends it. open-unlearning adds everything
  that the chat format has after an answer, and end of sequence (Qwen 2.5, Gemma, Phi 3.5).
- **Where the answer begins**: at its first token. open-unlearning skips as many tokens as the
  prompt has by itself, so a prompt that ends in a space (Phi 1.5) keeps the answer's first token.
- **Where generation stops**: at the model's end tokens (`generation_config.eos_token_id`) and the
  template's. open-unlearning stops only at the model's.
- **An answer none of which is extracted**: extraction strength 0. open-unlearning gives 1 / tokens.
- **Texts that are compared**: as they are. open-unlearning removes spaces before punctuation, as
  transformers 4 did.
- **The last token of raw text**: counted. open-unlearning leaves it out, as if it were an end
  token.
- **Ratios of probabilities**: divided as logarithms. open-unlearning adds 1e-10 to denominators,
  which matters for destroyed models.

Why: a model is used with its whole prompt, and nothing is written after the end of a turn. A token
that was not extracted should not count as extracted. And 1e-10 decides the truth ratio of a model
whose answers have become that unlikely. For a Llama 3 the probability differs by 1%, ROUGE of
single rows by up to .65, and most generated texts differ; for a Qwen 2.5 that learned one end
token, a probability of .49 becomes .23.

Repetition and gibberish are computed from the text alone. open-unlearning asks a downloaded
classifier, whose `forget_Q_A_gibberish` is the probability of *clean* text, so larger is better
there.

**Membership inference** (`mia_…`) is the AUC of separating what is forgotten from what no model was
trained on. 1 means still known; the retain model's value is ideal; below it the model is
over-forgotten.

**Aggregates** (`memorisation_score`, `privacy_score`, `utility_score`, `unlearning_score`) are the
harmonic means by which open-unlearning ranks methods. 1 is ideal, and one part that is 0 makes the
whole 0. They need paraphrased and wrong answers, unseen rows and a retain model. Checked against
the published table of 152 models (`gnueaj/unlearning-depth-score`): memorisation, privacy and
utility come out equal to 1e-9 from the parts that it lists. A sweep is better off with
`memorisation_score` and `model_utility` as two objectives than with `unlearning_score` as one: a
front shows what was lost for what.
"""


def page() -> str:
    """The whole page (Markdown)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield from _list("## Metrics with a fixed name", CATALOG)
    yield from _list("## Metrics named after a set, a task or an attack", FAMILIES)
    yield from ("## Recorded only", "")
    for names, text in RECORDED.items():
        yield _item(", ".join(f"`{name}`" for name in names.split(", ")), text)


def _list(title: str, metrics: Mapping[str, MetricInfo]) -> Iterator[str]:
    yield from (title, "")
    yield from (_item(f"`{name}` ({info.better}, {_range(info)})", info.text) for name, info in metrics.items())
    yield ""


def _item(label: str, text: str) -> str:
    """A list item in lines of at most 100 columns."""
    line = f"- {label}: {text}"
    return textwrap.fill(line, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _range(info: MetricInfo) -> str:
    return "floor * target … target" if info.ratio_to_target else f"{info.worst:g} … {info.best:g}"


if __name__ == "__main__":
    print(page(), end="")
