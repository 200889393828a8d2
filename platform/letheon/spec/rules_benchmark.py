"""Rules of a sweep file that depend on the benchmark: its options, its files, the fractions it can be split at.

Only `require_data` reads rows; the other rules need neither data nor a network.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from typing import Any

from letheon.common.errors import SpecErrors
from letheon.spec.model import SweepSpec, local_path, values_with_paths
from letheon.spec.source import KeyPath, Problem, one_line
from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import config_problems, fraction_problem
from trainables.methods import METHODS
from trainables.synthetic.name import SYNTHETIC
from trainables.synthetic.rules import method_problem

_FILES = ("forget", "retain", "utility", "holdout")
_TRAINING = ("batch_size", "warmup_epochs", "weight_decay")
_ROWS = ("goldfish_forget", "goldfish_retain")
_LANGUAGE_MODELS = ("micro_batch_size", "precision", "deepspeed", "compat", "lora", "refusals")
"""Settings of the trial section that have no effect on the synthetic experiment, as those of `_TRAINING`."""


def benchmark_problems(spec: SweepSpec, broken: set[KeyPath]) -> Iterator[Problem]:
    """`broken`: settings that were refused before; if the benchmark is among them, it is not checked again."""
    if any(path[:1] == ("benchmark",) for path in broken):
        return
    refused = config_problems(spec.benchmark)
    found = [_problem(refusal, ("benchmark",), BenchmarkConfig.model_fields) for refusal in refused]
    yield from found or list(_missing_files(spec.benchmark)) or _fraction_problems(spec)


def require_data(spec: SweepSpec) -> None:
    """Read the benchmark before anything is started. Raises SpecErrors with everything that is wrong with its data."""
    from trainables.data.benchmarks.registry import load_benchmark

    if spec.benchmark.name == SYNTHETIC:  # drawn, not read
        return
    try:
        benchmark = load_benchmark(spec.benchmark)
    except (OSError, ValueError) as error:
        problems = getattr(error, "problems", (str(error),))
        raise SpecErrors([one_line(problem) for problem in problems]) from error
    refusals = (benchmark.check_fraction(fraction) for fraction in spec.fractions)
    if problems := [one_line(refusal) for refusal in refusals if refusal is not None]:
        raise SpecErrors(problems)


def _missing_files(benchmark: BenchmarkConfig) -> Iterator[Problem]:
    if benchmark.path is not None and not os.path.isdir(local_path(benchmark.path)):
        yield Problem(("benchmark", "path"), "is not a folder", "give the folder of the files, or null for the hub")
    for option in _FILES:
        path = getattr(benchmark, option)
        if path is not None and not os.path.isfile(local_path(path)):
            yield Problem(("benchmark", option), "is not a file", "give the path of a file of JSON lines")


def _fraction_problems(spec: SweepSpec) -> Iterator[Problem]:
    """Check every searched fraction, so that a sweep does not fail at its last stratum."""
    for path, value in values_with_paths(spec, "forget_fraction"):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
            continue  # already refused as a value
        refusal = fraction_problem(spec.benchmark, float(value))
        if refusal is not None:
            yield _problem(refusal, path)


def _problem(refusal: str, path: KeyPath, fields: Container[str] = ()) -> Problem:
    """Parse `option=value: rule; fix`. If the option is one of `fields`, it is added to the path."""
    value, _, rest = refusal.partition(": ")
    option = value.partition("=")[0]
    rule, _, fix = rest.partition("; ")
    return Problem((*path, option) if option in fields else path, rule, fix)


def synthetic_problems(spec: SweepSpec) -> Iterator[Problem]:
    """Settings that the synthetic experiment cannot honour or would ignore; none for other benchmarks."""
    if spec.benchmark.name != SYNTHETIC:
        return
    yield from _methods(spec)
    if spec.trial.workers != 1:
        yield Problem(("trial", "workers"), "must be 1 for the synthetic experiment, which is not split", "write 1")
    if spec.trial.gpus_per_worker:
        yield Problem(("trial", "gpus_per_worker"), "must be 0: the synthetic experiment runs on the CPU", "write 0")
    for path in _ignored(spec):
        rule = "does not apply to the synthetic experiment: full-batch gradient descent on random features"
        yield Problem(path, rule, "remove it")


def _methods(spec: SweepSpec) -> Iterator[Problem]:
    for path, name in values_with_paths(spec, "method"):
        refusal = method_problem(str(name)) if name in METHODS else None  # unknown ones are refused elsewhere
        if name in spec.methods and name not in METHODS:
            refusal = "is of a plug-in, and the synthetic experiment has only built-in methods; choose one of those"
        if refusal is not None:
            yield Problem(path, *refusal.split("; ", 1))


def _ignored(spec: SweepSpec) -> Iterator[KeyPath]:
    """Settings without effect that differ from their defaults (a file that was written back has all defaults in it)."""

    def changed(section: Any, names: tuple[str, ...]) -> list[str]:
        fields = type(section).model_fields
        return [name for name in names if getattr(section, name) != fields[name].get_default(call_default_factory=True)]

    yield from (("trial", name) for name in changed(spec.trial, (*_TRAINING, *_LANGUAGE_MODELS)))
    yield from (("search", name) for name in (*_TRAINING, *_ROWS) if name in spec.search)
    yield from ((name,) for name in changed(spec, ("model", "evaluation", "audit")))
