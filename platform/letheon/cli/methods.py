"""`letheon methods`: the declarations of the unlearning methods as a table, in words, and as JSON.

`letheon new method`: the file of a method of one's own.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from letheon.cli.tables import plain_table, without_cuts
from letheon.common.errors import LetheonError, NotFound, did_you_mean
from letheon.common.files import write_atomically
from trainables.config import PluginConfig
from trainables.methods import METHODS, Method
from trainables.methods.pages import facts, title
from trainables.plugins.load import installed, installed_names, known_methods, load
from trainables.plugins.sources import PluginError

_TERMS = {
    "none": "-",
    "nll": "cross-entropy",
    "kl": "KL to target",
    "hidden": "hidden states",
    "preference": "preference",
}
_WEIGHT = "retain_weight"


def _name(method: Method) -> str:
    """`Negative preference optimization`: the title without explanation and source."""
    return re.split(r"[:(]| with | on ", title(method))[0].strip().rstrip(".")


def _year(method: Method) -> str:
    """The year of the method's first source, `-` without one."""
    found = re.search(r"\b(19|20)\d\d\b", method.source)
    return found.group() if found else "-"


def _chosen(name: str | None) -> Mapping[str, Method]:
    """The method of that name, those of a plug-in's file, or all built-in ones if None.

    Raises NotFound, which suggests the closest name, and LetheonError for a plug-in that cannot be used.
    """
    if name is None:
        return METHODS
    if name in METHODS:
        return {name: METHODS[name]}
    plugin = PluginConfig(file=str(Path(name).absolute())) if name.endswith(".py") else installed(name)
    if plugin is None:
        raise NotFound(f"method {name!r}: unknown method; {did_you_mean(name, [*METHODS, *installed_names()])}")
    try:
        found = known_methods([load(plugin, check=True)])
    except PluginError as error:
        raise LetheonError(str(error)) from error
    return {each: method for each, method in found.items() if each not in METHODS and name.endswith((".py", each))}


def methods_json(name: str | None) -> dict[str, Any]:
    """Name -> `title`, `needs` in words, and `hyperparameters` with range, scale and default."""
    return {
        each: {
            "title": title(method),
            "needs": facts(method),
            "hyperparameters": {key: asdict(declared) for key, declared in method.hyperparameters.items()},
        }
        for each, method in _chosen(name).items()
    }


def method_parts(name: str | None) -> Iterator[Table | str]:
    """One row per method; given a name, everything about that method."""
    chosen = _chosen(name)
    if name is None:
        table = plain_table("method", "what it is", "year", "retain term", "hyper-parameters")
        for each, method in chosen.items():
            own = ", ".join(name for name in method.hyperparameters if name != _WEIGHT) or "-"
            table.add_row(each, _name(method), _year(method), _TERMS[method.retain], own)
        table.columns[1].no_wrap = True
        yield without_cuts(table, "what it is")
        yield ""
        if others := installed_names():
            yield f"Installed packages add {', '.join(others)}."
        yield f"Most methods with a retain term have a {_WEIGHT} too. `letheon methods NAME` shows one in detail."
        return
    for each, method in chosen.items():
        yield from _details(each, method)


def _details(name: str, method: Method) -> Iterator[Table | str]:
    yield f"{name}: {title(method)}"
    yield ""
    yield from (f"{label}: {text}" for label, text in facts(method).items())
    if method.hyperparameters:
        yield ""
        table = plain_table("hyper-parameter", "default", "worth searching", "scale")
        for key, declared in method.hyperparameters.items():
            scale = "log" if declared.log else "linear"
            worth = ", ".join(f"{choice:g}" for choice in declared.choices)
            table.add_row(key, f"{declared.default:g}", worth or f"{declared.low:g} to {declared.high:g}", scale)
        yield table


_TEMPLATE = '''"""What {name} is, in a line: the equation and the paper.

    L = -(2/beta) E_forget[ log sigmoid( -beta log( p_theta(y|x) / p_ref(y|x) ) ) ]      (NPO, to begin with)
"""

from torch import Tensor

from letheon.methods import BETA, RETAIN_WEIGHT, Forget, Method, Values, log_ratio, log_sigmoid


def loss(forget: Forget, values: Values) -> Tensor:
    """(rows,) loss of each forget row, nats."""
    beta = values["beta"]
    return -(2 / beta) * log_sigmoid(-beta * log_ratio(forget.model, forget.reference))


{constant} = Method(
    name="{name}",
    forget_loss=loss,
    reduction="rows",  # what the sum over the batch is divided by: rows, or tokens
    source="Authors year, arXiv number, equation",
    reference="log_probs",  # what the loss reads of the target model: none, log_probs or logits
    retain="nll",  # none, nll or kl
    hyperparameters={{"beta": BETA, "retain_weight": RETAIN_WEIGHT}},
)
'''
_TEST = """from {name} import {constant}

from letheon.testing import MethodContract


class Test{words}(MethodContract):
    method = {constant}
"""


def new_method(name: str, folder: Path) -> tuple[Path, Path]:
    """Write `name.py` and `test_name.py` into the folder; returns their paths.

    Raises LetheonError for a name that a method cannot have, and if one of the files exists.
    """
    if not re.fullmatch("[a-z][a-z0-9_]{0,63}", name) or keyword.iskeyword(name):
        raise LetheonError(f"{name}: a method's name is a-z, 0-9 and _, the first a letter; write for example my_npo")
    if name in METHODS:
        raise LetheonError(f"{name}: is built in; choose another name")
    words = "".join(part.capitalize() for part in name.split("_"))
    texts = {folder / f"{name}.py": _TEMPLATE, folder / f"test_{name}.py": _TEST}
    if existing := [str(file) for file in texts if file.exists()]:
        raise LetheonError(f"{', '.join(existing)}: exists already; choose another name or folder")
    for file, text in texts.items():
        write_atomically(file, text.format(name=name, constant=name.upper(), words=words).encode())
    method, test = texts
    return method, test
