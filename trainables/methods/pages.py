"""Writes docs/methods, one page per method, from the code: `python -m trainables.methods.pages [FOLDER]`.

A page has the method's declarations (`METHODS`), the docstring of its file, and the descriptions of a trial's fields.
Loads no torch.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType

import trainables.methods
from trainables.methods import METHODS, Hyperparameter, Method
from trainables.methods.base import Published
from trainables.methods.retain_terms import RETAIN_TERMS

INDEX = "README.md"
_SPACE = "\x00"
"""Placeholder for a space at which no line may break."""

_READS = {
    "none": "nothing",
    "log_probs": "log-probabilities of the forget answers, computed once and stored as a table",
    "logits": "logits of the forget rows: a second model in memory",
}
_ANSWERS = {
    "none": "none",
    "refusal": 'refusals ("I don\'t know.")',
    "generated": "alternatives that the target model generates once",
}
_TERMS = {
    "none": "none",
    "nll": "cross-entropy of the retain answers (RT)",
    "kl": "KL to the target model on the retain answers: a second model in memory",
    "hidden": "distance of hidden states to those of the target model: a second model in memory",
    "preference": "the retain answer is preferred to a refusal (AP)",
}
_DIVISORS = {
    "rows": "the forget rows",
    "tokens": "the answer tokens of the forget rows",
    "tokens_but_first": "the answer tokens of the forget rows, except the first of each answer",
    "alternative_tokens": "the tokens of the other answers",
}
_COMMON = {
    "beta": "the loss's inverse temperature, see the equation",
    "retain_weight": "factor of the retain term",
}


def facts(method: Method) -> dict[str, str]:
    """A method's declarations in words: label -> text."""
    found = {
        "Mean over": f"{_DIVISORS[method.reduction]} of the whole optimizer batch",
        "Reads of the target model": _READS[method.reference],
        "Other answers": _ANSWERS[method.alternative],
        "Retain term": _TERMS[method.retain],
    }
    special = "; ".join(_special(method))
    if special:
        found["Special"] = special
    if method.needs_whole_gradients:
        found["ZeRO"] = "stages 0 to 2: every worker must hold whole weights and gradients"
    found["Source"] = method.source
    return found


def _special(method: Method) -> Iterator[str]:
    if method.statistic is not None:
        yield "a statistic of the whole optimizer batch is computed before the step"
    if method.needs_logits:
        yield "needs the logits of the forget answers"
    if method.needs_hidden:
        yield "needs the hidden states of one layer"
    if method.combine is not None:
        yield "forget and retain gradients are combined by their norms and inner product"
    if method.worst_nearby:
        yield "the forget gradient is taken at the worst weights nearby: a second forward and backward pass"
    if method.multiplier is not None:
        yield "the retain weight changes after every step"
    if method.line is not None:
        yield "trains once; its epochs are points on a straight line through the target model's weights"


def compat_notes(method: Method) -> list[str]:
    """What `compat` changes for this method, one sentence per change."""
    notes = [
        "Means are taken over each micro-batch of each worker and then averaged, so they depend on both.",
        "Norms and biases have no weight decay.",
    ]
    term = RETAIN_TERMS.get(method.retain)
    for what, ways in (("forget loss", method.published), ("retain term", {} if term is None else term.published)):
        notes += [f"`{code}`: the {what} is {_way(way)}." for code, way in ways.items()]
    if method.statistic is not None:
        notes.append("The statistic is computed per micro-batch.")
    if method.multiplier is not None:
        notes.append("The retain weight changes after every micro-batch, on each worker separately.")
    if method.needs_reference_table:
        notes.append("`open_unlearning`: the target model's log-probabilities have the same tokens hidden.")
    if method.reduction == "alternative_tokens" and method.retain == "nll":
        notes.append("`npo`: one mean over refusals and retain answers together.")
    return notes


def _way(way: Published) -> str:
    if way.everywhere:
        return "a mean over prompt and padding too"
    parts = ["read at the answer's tokens, one position later"] if way.later else []
    parts += ["the mean of the rows' sums times the mean of 1 / tokens"] if way.reduction == "rows_by_length" else []
    return ", and ".join(parts)


def declared_in(method: Method) -> ModuleType:
    """The module that declares the method, or a plug-in's loss. Raises LookupError if none does."""
    for info in pkgutil.iter_modules(trainables.methods.__path__):
        module = importlib.import_module(f"trainables.methods.{info.name}")
        if any(value is method for value in vars(module).values()):
            return module
    if not method.forget_loss.__module__.startswith("trainables."):
        return sys.modules[method.forget_loss.__module__]
    raise LookupError(f"method {method.name} must be declared in a file of trainables/methods; no file has it")


def title(method: Method) -> str:
    """The first line of the file's docstring."""
    return next(iter(_docstring(method)), method.name)


def _docstring(method: Method) -> list[str]:
    lines = (declared_in(method).__doc__ or "").strip().splitlines()
    return [line if line.startswith("    ") else _literal(line) for line in lines]


def _wrapped(lines: Iterable[str]) -> Iterator[str]:
    """Prose wrapped at 100 columns; code blocks and code in backticks stay whole."""
    for prose, group in groupby(lines, key=lambda line: bool(line.strip()) and not line.startswith("    ")):
        if not prose:
            yield from group
            continue
        text = re.sub("`[^`]*`", lambda code: code[0].replace(" ", _SPACE), " ".join(group))
        wrapped = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
        yield from (line.replace(_SPACE, " ") for line in wrapped)


def _literal(line: str) -> str:
    """Escapes what Markdown would take for tags or emphasis, except in backticks."""
    parts = line.split("`")
    return "`".join(part if i % 2 else re.sub(r"([<*])", r"\\\1", part) for i, part in enumerate(parts))


def card(method: Method) -> str:
    """The page of one method (Markdown)."""
    first, *rest = _docstring(method)
    lines = [f"# {method.name}", "", *_wrapped([first, *rest]), "", "## What it needs", ""]
    lines += [f"- {label}: {text}" for label, text in facts(method).items()]
    lines += ["", "## Hyper-parameters", "", *_hyperparameters(method)]
    lines += ["", "## `trial.compat`", "", *(f"- {note}" for note in compat_notes(method)), ""]
    return "\n".join(lines)


def _hyperparameters(method: Method) -> list[str]:
    if not method.hyperparameters:
        return ["No hyper-parameters of its own, only those of every trial (learning rate, batch size and so on)."]
    rows = [
        f"| `{name}` | {each.default:g} | {_range(each)} | {each.about or _COMMON.get(name, '')} |"
        for name, each in method.hyperparameters.items()
    ]
    return ["| name | default | range worth searching | meaning |", "|---|---|---|---|", *rows]


def _range(each: Hyperparameter) -> str:
    if each.choices:
        return ", ".join(f"{choice:g}" for choice in each.choices)
    return f"{each.low:g} to {each.high:g}{', log' if each.log else ''}"


def index() -> str:
    """The table of all methods (Markdown)."""
    lines = ["# Methods", "", "Generated from the code by `python -m trainables.methods.pages`.", ""]
    lines += ["[Which paper is covered by what](coverage.md) lists the literature, title by title.", ""]
    lines += ["| method | what it does | retain term | hyper-parameters |", "|---|---|---|---|"]
    for name, method in METHODS.items():
        own = ", ".join(f"`{each}`" for each in method.hyperparameters)
        lines.append(f"| [{name}]({name}.md) | {title(method).rstrip('.')} | {method.retain} | {own} |")
    return "\n".join([*lines, ""])


def pages() -> dict[str, str]:
    """File name -> text of every page."""
    return {INDEX: index(), **{f"{name}.md": card(method) for name, method in METHODS.items()}}


def main(folder: Path) -> None:
    """Write every page into `folder`, replacing existing ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/methods"))
