"""The benchmarks: what is memorised, forgotten and evaluated. Each is imported only when it is asked for."""

from __future__ import annotations

from trainables.config import BenchmarkConfig
from trainables.data.objectives import default_objectives
from trainables.data.rows import Benchmark, EvalSet, Row, Split

__all__ = [
    "Benchmark",
    "EvalSet",
    "Row",
    "Split",
    "config_problem",
    "default_objectives",
    "fraction_problem",
    "load_benchmark",
]


def load_benchmark(config: BenchmarkConfig) -> Benchmark:
    """The benchmark that `config` names. ValueError (value, rule, fix) if its data are missing or do not fit."""
    if problem := config_problem(config):
        raise ValueError(problem)
    if config.name == "tofu":
        from trainables.data import tofu

        return tofu.make_benchmark(config)
    from trainables.data import fictional

    return fictional.make_benchmark(config)


def config_problem(config: BenchmarkConfig) -> str | None:
    """What is wrong with `config` itself (value, rule, fix), or None; reads no data."""
    if config.name == "tofu":
        from trainables.data import tofu

        return tofu.config_problem(config)
    from trainables.data import fictional

    return fictional.config_problem(config)


def fraction_problem(config: BenchmarkConfig, fraction: float) -> str | None:
    """`load_benchmark(config).check_fraction(fraction)` without reading data (TOFU's files are taken as unchanged)."""
    if config.name == "tofu":
        from trainables.data import tofu

        people = config.people or tofu.OFFICIAL_PEOPLE
        return tofu.tofu_fraction_problem(fraction, people, official=config.people is None)
    from trainables.data import fictional, splitting

    return splitting.fraction_problem(fraction, fictional.people_of(config))
