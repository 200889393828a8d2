"""Letheon: how much can a language model be made to forget before it breaks?

    import letheon

    run = letheon.Sweep.from_file("quickstart").start()
    run.wait()
    run.front(0.2)

The names below load on first use, so `import letheon` costs nothing and loads no torch, Ray, MLflow or pandas.
`__init__.pyi` tells type checkers and editors what they are; docs/python.md is the guide.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_PLACES = {
    "Evaluation": "letheon.api.evaluate:Evaluation",
    "LetheonError": "letheon.common.errors:LetheonError",
    "Run": "letheon.api.run:Run",
    "SpecErrors": "letheon.common.errors:SpecErrors",
    "Sweep": "letheon.api.sweep:Sweep",
    "Trial": "letheon.api.trial:Trial",
    "evaluate": "letheon.api.functions:evaluate",
    "open": "letheon.api.functions:open",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
