"""The NPO paper's whole synthetic experiment: methods, drift by beta, the four claims; one JSON line last.

    python benchmarks/npo_synthetic.py [--figures docs/images] [--seeds 1000 2000 …]

Five seeds, both values of alpha, the paper's rates and betas: a minute and a half on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path as FilePath
from typing import Any

import torch
from figures.synthetic import write_figures  # type: ignore[import-not-found]  # next to this script
from synthetic_paths import (  # type: ignore[import-not-found]  # next to this script
    PAPER_SEEDS,
    Path,
    World,
    collapse,
    deviation,
    growth,
    price,
    price_at_best,
    walk,
)
from torch import Tensor

from trainables.synthetic.data import draw
from trainables.synthetic.model import Measured
from trainables.synthetic.train import pretrain

STEPS, LONG = 2_000, 10_000
SWEEP_RATE = 5e-4
BETAS = (0.01, 0.1, 0.2, 0.5, 1.0)
DRIFT_STEPS = (1000, 2000, 5000, 9900)


@dataclass(frozen=True)
class Setting:
    """A method with the paper's learning rate and beta for one alpha."""

    method: str
    rate: float
    beta: float | None = None


SETTINGS: Mapping[float, Sequence[Setting]] = {
    1.0: (
        *(Setting(method, 5e-4) for method in ("ga", "ga_kl", "ga_rt", "idk_rt")),
        *(Setting(method, 5e-3, 0.1) for method in ("dpo", "dpo_kl", "dpo_rt")),
        *(Setting(method, 5e-3, 1.0) for method in ("npo", "npo_kl", "npo_rt")),
    ),
    0.0: (
        *(Setting(method, 1e-4) for method in ("ga", "ga_kl", "ga_rt", "idk_rt")),
        *(Setting(method, 5e-2, 5.0) for method in ("dpo", "dpo_kl")),
        Setting("dpo_rt", 2e-2, 5.0),
        *(Setting(method, 5e-2, 10.0) for method in ("npo", "npo_kl", "npo_rt")),
    ),
}


@dataclass(frozen=True)
class Walk:
    """What one process does: a method from the target models, whose weights (and the retain models') are given."""

    alpha: float
    seeds: tuple[int, ...]
    target: Tensor
    retain: Tensor
    setting: Setting
    steps: int

    def run(self) -> Path:
        torch.set_num_threads(1)
        world = World(draw(self.alpha, self.seeds), self.target, self.retain)
        return walk(world, self.setting.method, self.setting.rate, self.setting.beta, self.steps)


def trained(task: tuple[float, int, bool]) -> Tensor:
    """(1, 128) the target (True) or retain model of one alpha and seed."""
    torch.set_num_threads(1)
    alpha, seed, is_target = task
    problems = draw(alpha, [seed])
    return pretrain(problems.retain.joined(problems.forget) if is_target else problems.retain)


@dataclass(frozen=True)
class Found:
    """Paths by alpha and setting, and those of the sweep over beta."""

    paths: Mapping[float, Mapping[Setting, Path]]
    drift: Mapping[Setting, Path]


def explore(seeds: tuple[int, ...]) -> Found:
    """Everything, over all cores."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        tasks = [(alpha, seed, is_target) for alpha in SETTINGS for seed in seeds for is_target in (True, False)]
        models = dict(zip(tasks, pool.map(trained, tasks), strict=True))

        def world(alpha: float, setting: Setting, steps: int) -> Walk:
            target, retain = (torch.cat([models[alpha, seed, kind] for seed in seeds]) for kind in (True, False))
            return Walk(alpha, seeds, target, retain, setting, steps)

        swept = [Setting("ga", SWEEP_RATE), *(Setting("npo", SWEEP_RATE, beta) for beta in BETAS)]
        walks = [world(1.0, setting, LONG) for setting in swept]  # the longest first
        walks += [world(alpha, setting, STEPS) for alpha, settings in SETTINGS.items() for setting in settings]
        paths = list(pool.map(Walk.run, walks))
    by_alpha: dict[float, dict[Setting, Path]] = {alpha: {} for alpha in SETTINGS}
    for one, path in list(zip(walks, paths, strict=True))[len(swept) :]:
        by_alpha[one.alpha][one.setting] = path
    return Found(by_alpha, dict(zip(swept, paths, strict=False)))


def claims(found: Found) -> dict[str, float]:
    """The measured side of each of the paper's claims."""
    ascent = found.drift[Setting("ga", SWEEP_RATE)]
    npo = {setting.beta: path for setting, path in found.drift.items() if setting.method == "npo"}
    rt = {setting.method: path for setting, path in found.paths[1.0].items() if setting.method.endswith("_rt")}
    return {
        "ga_collapse": collapse(ascent.until(STEPS)),
        "npo_rt_price": price(rt["npo_rt"], rt["ga_rt"]),
        "npo_rt_price_at_best": price_at_best(rt["npo_rt"], rt["ga_rt"]),
        "ga_growth": growth(ascent),
        **{
            f"npo_growth_{beta:g}": growth(path)
            for beta, path in npo.items()
            if beta is not None and beta >= min(BETAS)
        },
        "npo_0.01_deviation": deviation(npo[0.01].until(STEPS), ascent.until(STEPS)),
    }


def row(path: Path) -> dict[str, Any]:
    """Means over seeds: the point with the lowest mean forget_kl, its spread, and the end."""
    means = {name: value.mean(1) for name, value in vars(path.measured).items()}
    best = int(means["forget_kl"].argmin())
    return {
        "best_step": int(path.steps[best]),
        "best_forget_kl": float(means["forget_kl"][best]),
        "best_forget_kl_std": float(path.measured.forget_kl[best].std()),
        "retain_kl_there": float(means["retain_kl"][best]),
        "retain_kl_there_std": float(path.measured.retain_kl[best].std()),
        "end_forget_kl": float(means["forget_kl"][-1]),
        "end_retain_kl": float(means["retain_kl"][-1]),
        "end_drift": float(means["weight_drift"][-1]),
        "end_utility_ratio": float(means["utility_ratio"][-1]),
    }


def drift(path: Path) -> list[float]:
    """Mean drift at the steps of the table."""
    means = path.measured.weight_drift.mean(1)
    return [float(means[path.steps == step]) for step in DRIFT_STEPS]


def _start(measured: Measured) -> str:
    return f"forget KL {float(measured.forget_kl[0].mean()):.4f}, retain KL {float(measured.retain_kl[0].mean()):.4f}"


def show(found: Found) -> None:
    """Tables for people, in Markdown."""
    for alpha, paths in found.paths.items():
        print(f"\nalpha {alpha:g}, before: {_start(next(iter(paths.values())).measured)}\n")
        print("| method | lr, beta | lowest forget KL (step) | retain KL there | end: forget KL / retain KL | drift |")
        print("|---|---|---|---|---|---|")
        for setting, path in paths.items():
            one, knob = row(path), "" if setting.beta is None else f", {setting.beta:g}"
            print(
                f"| {setting.method} | {setting.rate:g}{knob} "
                f"| {one['best_forget_kl']:.4f} ± {one['best_forget_kl_std']:.4f} ({one['best_step']}) "
                f"| {one['retain_kl_there']:.4f} ± {one['retain_kl_there_std']:.4f} "
                f"| {one['end_forget_kl']:.4f} / {one['end_retain_kl']:.4f} | {one['end_drift']:.2f} |"
            )
    print(f"\n| weight drift, alpha 1, lr 5e-4 | {' | '.join(f'step {step}' for step in DRIFT_STEPS)} |")
    print(f"|---|{'---|' * len(DRIFT_STEPS)}")
    for setting, path in found.drift.items():
        print(f"| {_name(setting)} | {' | '.join(f'{value:.2f}' for value in drift(path))} |")
    print()
    for name, value in claims(found).items():
        print(f"{name:24} {value:.4f}")


def _name(setting: Setting) -> str:
    return setting.method if setting.beta is None else f"{setting.method}, beta {setting.beta:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", type=FilePath, help="folder to write npo_synthetic*.png into")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(PAPER_SEEDS))
    options = parser.parse_args()
    started = time.monotonic()
    found = explore(tuple(options.seeds))
    show(found)
    if options.figures is not None:
        named = {
            alpha: {setting.method: path for setting, path in paths.items()} for alpha, paths in found.paths.items()
        }
        write_figures(options.figures, named, {_name(setting): path for setting, path in found.drift.items()})
    result = {
        "benchmark": "npo_synthetic",
        "seeds": options.seeds,
        "seconds": round(time.monotonic() - started, 1),
        "claims": claims(found),
        "methods": {f"{alpha:g}": {s.method: row(p) for s, p in paths.items()} for alpha, paths in found.paths.items()},
        "drift": {_name(setting): drift(path) for setting, path in found.drift.items()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
