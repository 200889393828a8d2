"""A whole TOFU-style evaluation of the tiny Llama: Letheon against its peer; a table, and one JSON line last.

    python benchmarks/evaluation.py [--tofu FOLDER] [--peer CHECKOUT] [--device cuda] [--rows 100] [--models FOLDER]

Forget, retain, real authors' and world facts' sets: probability, ROUGE-L, truth ratio, extraction strength, exact
memorisation, four membership attacks. As many rows are forgotten as are retained, as in TOFU's forget10. Three models,
because the time depends on what they answer: one knows all rows, one never saw the forget rows, one is destroyed.
`plain` is the peer's way, written from its description; with a checkout of open-unlearning its own code runs too.
Letheon runs once unmeasured; then all take turns. Values are compared too.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers
from evaluation_ways.peer import Peer  # type: ignore[import-not-found]  # next to this script
from evaluation_ways.plain import NEW_TOKENS, Plain  # type: ignore[import-not-found]
from evaluation_ways.subjects import STATES, TEMPLATE, Subjects, subjects  # type: ignore[import-not-found]

from trainables.config import BenchmarkConfig, EvaluationConfig
from trainables.data.benchmarks.registry import Split, load_benchmark
from trainables.data.tokenization import encode_row
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.metrics.record import Evaluation
from trainables.model.cpu.patch import unpatch
from trainables.runtime.ranks import Group

Metrics = Mapping[str, float]
Way = Callable[[Any], Metrics]


@dataclass(frozen=True)
class Measured:
    """One implementation on one model: seconds of each repeat (wall and processor), and the metrics."""

    wall: list[float]
    cpu: list[float]
    metrics: Metrics


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    config = BenchmarkConfig(
        name="tofu" if options.tofu else "fictional",
        path=options.tofu,
        people=options.people,
        evaluation_rows=options.rows,
    )
    split = load_benchmark(config).split(options.fraction)
    forget = split.evaluation["forget"]
    fewer = replace(forget, rows=forget.rows[-options.rows :])
    split = replace(split, evaluation={**split.evaluation, "forget": fewer})
    folder = Path(options.models or tempfile.mkdtemp(prefix="letheon-subjects-"))
    made: Subjects = subjects(config, options.fraction, folder)
    if options.make:
        return
    ways = _ways(options, split, made)
    found = {}
    for state in options.states:
        model = made.models[state].to(options.device)
        measured = _take_turns(ways, model, options.repeats)
        found[state] = measured
        _print(state, measured)
    print(json.dumps(_line(options, split, made, found)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tofu", help="folder of TOFU's files; default: the embedded benchmark's rows")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--fraction", type=float, default=0.2)
    parser.add_argument("--rows", type=int, default=40, help="at most this many rows per set")
    parser.add_argument("--peer", type=Path, help="checkout of open-unlearning")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch-tokens", type=int, default=EvaluationConfig().batch_tokens)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--states", nargs="+", choices=STATES, default=list(STATES))
    parser.add_argument("--models", help="folder for the models; created if missing")
    parser.add_argument("--make", action="store_true", help="make the models (no GPU needed), and do nothing else")
    return parser.parse_args()


def _ways(options: argparse.Namespace, split: Split, made: Subjects) -> dict[str, Way]:
    settings = EvaluationConfig(max_new_tokens=NEW_TOKENS, batch_tokens=options.batch_tokens)
    group = Group(device=options.device)

    def ours(model: Any) -> Metrics:
        found: Evaluation = evaluate(model, made.tokenizer, TEMPLATE, split, settings, group)
        return found.metrics

    ways: dict[str, Way] = {"letheon": ours}
    plain = Plain(made.models[STATES[0]], made.tokenizer, TEMPLATE, options.device)
    ways["plain"] = lambda model: replace(plain, model=model).evaluate(split.evaluation)
    if options.peer:
        peer = Peer(options.peer, split.evaluation)
        ways["open-unlearning"] = lambda model: peer.evaluate(model, made.tokenizer)
    return ways


def _take_turns(ways: Mapping[str, Way], model: Any, repeats: int) -> dict[str, Measured]:
    """Ways one after the other, the whole round `repeats` times; one round of the fast way first, unmeasured."""
    ways["letheon"](model)
    others = copy.deepcopy(model)
    unpatch(others)  # layers as the library has them
    found = {name: Measured([], [], {}) for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            metrics = way(model if name == "letheon" else others)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            so_far = found[name]
            found[name] = Measured(
                [*so_far.wall, time.perf_counter() - wall], [*so_far.cpu, time.process_time() - cpu], metrics
            )
    return found


def _print(state: str, measured: Mapping[str, Measured]) -> None:
    ours = measured["letheon"]
    print(f"\n{state:<18}{'wall s':>9}{'times':>8}{'CPU s':>9}{'times':>8}   largest difference of a metric")
    for name, way in measured.items():
        wall, cpu = statistics.median(way.wall), statistics.median(way.cpu)
        ratios = wall / statistics.median(ours.wall), cpu / statistics.median(ours.cpu)
        worst, key = _worst(ours.metrics, way.metrics)
        difference = (
            "" if name == "letheon" else f"   {worst:.1e} ({key}, of {len(_common(ours.metrics, way.metrics))})"
        )
        print(f"  {name:<16}{wall:>9.2f}{ratios[0]:>8.1f}{cpu:>9.2f}{ratios[1]:>8.1f}{difference}", flush=True)


def _common(ours: Metrics, theirs: Metrics) -> list[str]:
    return [key for key in theirs if key in ours]


def _worst(ours: Metrics, theirs: Metrics) -> tuple[float, str]:
    return max((abs(ours[key] - theirs[key]), key) for key in _common(ours, theirs))


def _line(
    options: argparse.Namespace, split: Split, made: Subjects, found: Mapping[str, Mapping[str, Measured]]
) -> dict[str, Any]:
    model = made.models[STATES[0]]
    prompts, answers = _tokens(split, made)
    useful = 2 * sum(parameter.numel() for parameter in model.parameters()) * (prompts + answers)
    rate = _flops_per_second(model.config.hidden_size, model.config.intermediate_size, options.device)
    cuda = options.device.startswith("cuda")
    return {
        "benchmark": "evaluation",
        "date": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name() if cuda else f"{platform.machine()}, {options.threads} threads",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "load": None if cuda else round(os.getloadavg()[0], 1),
        "data": "tofu" if options.tofu else "fictional",
        "rows": {name: len(rows.rows) for name, rows in split.evaluation.items()},
        "tokens": {"prompts": prompts, "answers": answers},
        "floor_seconds": round(useful / rate, 3),
        "gflops_per_second": round(rate / 1e9, 1),
        "states": {
            state: {
                name: {
                    "wall_seconds": [round(value, 3) for value in way.wall],
                    "cpu_seconds": [round(value, 3) for value in way.cpu],
                    "worst_difference": _worst(measured["letheon"].metrics, way.metrics)[0],
                }
                for name, way in measured.items()
            }
            for state, measured in found.items()
        },
    }


def _tokens(split: Split, made: Subjects) -> tuple[int, int]:
    """Tokens that teacher forcing has to read: prompts once, and every different answer."""
    prompts, answers = set(), set()
    for rows in split.evaluation.values():
        for row in rows.rows:
            for text in {row.answer, row.paraphrased_answer or row.answer, *row.perturbed_answers}:
                encoded = encode_row(TEMPLATE, made.tokenizer, replace(row, answer=text))
                prompts.add(encoded.input_ids[: encoded.answer_start - 1])
                answers.add(encoded.input_ids[encoded.answer_start - 1 :])
    return sum(map(len, prompts)), sum(len(ids) - 1 for ids in answers)


def _flops_per_second(width: int, inner: int, device: str, tokens: int = 4096, repeats: int = 20) -> float:
    """What a matrix product of the model's shape reaches on this machine, the best of some tries."""
    left, right = torch.randn(tokens, width, device=device), torch.randn(width, inner, device=device)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(left, right)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * tokens * width * inner / best


if __name__ == "__main__":
    main()
