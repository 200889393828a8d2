"""Rules of a sweep file that ask the benchmark: its options, the fractions it can be split at. Reads its data."""

from __future__ import annotations

from collections.abc import Iterator

from letheon.spec import Choice, SweepSpec, values_of
from letheon.yaml_source import KeyPath, Problem


def benchmark_problems(spec: SweepSpec, broken: set[KeyPath]) -> Iterator[Problem]:
    """`broken`: settings that were refused before; a broken benchmark is not asked."""
    if any(path[:1] == ("benchmark",) for path in broken):
        return
    unread = [option for option in ("path", "revision") if getattr(spec.benchmark, option) is not None]
    if spec.benchmark.name == "fictional" and unread:
        for option in unread:
            rule = "the benchmark `fictional` is generated and reads nothing"
            yield Problem(("benchmark", option), rule, "remove it, or set benchmark.name: tofu")
        return
    yield from _fraction_problems(spec)


def _fraction_problems(spec: SweepSpec) -> Iterator[Problem]:
    """Every searched fraction is tried, so that a sweep does not fail at its last stratum."""
    from trainables.data import load_benchmark

    domain = spec.search.get("forget_fraction")
    fractions = () if domain is None else values_of(domain)
    numbers = {i: float(f) for i, f in enumerate(fractions) if isinstance(f, (int, float)) and 0 < f < 1}
    if not numbers:
        return
    try:
        benchmark = load_benchmark(spec.benchmark)
        refusals = {i: benchmark.check_fraction(fraction) for i, fraction in numbers.items()}
    except (OSError, ValueError) as error:
        reason, _, fix = str(error).partition("; ")
        yield Problem(
            ("benchmark",), f"cannot be read ({error})", "correct benchmark.path, or leave it null for the hub"
        )
        return
    for index, refusal in refusals.items():
        if refusal is not None:
            path: KeyPath = ("search", "forget_fraction")
            path = (*path, "choice", index) if isinstance(domain, Choice) else path
            rule, _, fix = refusal.partition("; ")
            yield Problem(path, rule, fix or "choose another fraction")
