"""The benchmarks by name: the data that is memorised, forgotten and evaluated. Each is imported only when used."""

from __future__ import annotations

from importlib import import_module

from trainables.config import BenchmarkConfig
from trainables.data.objectives import default_objectives
from trainables.data.options import option_problems
from trainables.data.rows import Benchmark, EvalSet, Row, Split

__all__ = [
    "Benchmark",
    "EvalSet",
    "Row",
    "Split",
    "config_problems",
    "default_objectives",
    "fraction_problem",
    "load_benchmark",
]


def load_benchmark(config: BenchmarkConfig) -> Benchmark:
    """The benchmark that `config` names. Raises ValueError (value, rule, fix) if its data is missing or invalid."""
    for problem in config_problems(config):
        raise ValueError(problem)
    if config.name not in _MAKERS:
        raise ValueError(f"name={config.name!r}: it has inputs and labels, not rows of text; use {', '.join(_MAKERS)}")
    module, maker = _MAKERS[config.name]
    benchmark: Benchmark = getattr(import_module(module), maker)(config)
    return benchmark


def config_problems(config: BenchmarkConfig) -> list[str]:
    """All problems of `config` itself, one sentence each (value, rule, fix). Reads no data."""
    problems = list(option_problems(config))
    if problems:
        return problems
    problem = None
    if config.name == "tofu":
        from trainables.data.benchmarks import tofu

        problem = tofu.config_problem(config)
    elif config.name == "fictional":
        from trainables.data.fictional import generator

        problem = generator.config_problem(config)
    return [] if problem is None else [problem]


def fraction_problem(config: BenchmarkConfig, fraction: float) -> str | None:
    """`load_benchmark(config).check_fraction(fraction)`, as far as it can be known without reading data."""
    if config.name == "tofu":
        from trainables.data.benchmarks import tofu

        people = config.people or tofu.OFFICIAL_PEOPLE
        return tofu.tofu_fraction_problem(fraction, people, official=config.people is None)
    if config.name == "fictional":
        from trainables.data import splitting
        from trainables.data.fictional import generator

        return splitting.fraction_problem(fraction, generator.people_of(config))
    from trainables.data import forget_retain

    return forget_retain.share_problem(fraction)


_MAKERS = {
    "fictional": ("trainables.data.fictional.generator", "make_benchmark"),
    "tofu": ("trainables.data.benchmarks.tofu", "make_benchmark"),
    "lume": ("trainables.data.benchmarks.lume", "make_benchmark"),
    "muse": ("trainables.data.benchmarks.muse", "make_benchmark"),
    "qa": ("trainables.data.benchmarks.user_files", "make_qa"),
    "text": ("trainables.data.benchmarks.user_files", "make_text"),
}
"""Module and function that make each benchmark."""
