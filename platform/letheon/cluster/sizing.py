"""Predicts a trial's memory, for `trial.memory: auto` and `trial.gpus_per_worker: auto`.

The memory recipe is the most exact one that fits, and the part of a GPU the smallest that holds it.

Arithmetic on the model's configuration, the sweep file and the size of the GPUs; nothing is trained or measured. Loads
no torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from letheon.cluster.capacity import DoesNotFit, machine
from letheon.cluster.gpus import UnknownGpu, card_bytes, cluster_card_bytes
from letheon.common.errors import LetheonError, SpecErrors
from letheon.spec.model import SweepSpec, local_path, values_of
from trainables.config import MemoryRecipe
from trainables.model.gpu_share import CUDA_CONTEXT, GIB, MemorySettings, estimate_memory
from trainables.model.memory import ENOUGH_TOKENS, RECIPES, USEFUL_TOKENS, DecoderShape, MemoryEstimate
from trainables.model.presets import PRESETS, tiny_config

AUTO = "auto"
SHARES = (1 / 8, 1 / 4, 1 / 3, 1 / 2, 1.0)
TOKEN_CHARACTERS = 3
"""Characters per token. English text has about four in common vocabularies; three overestimates tokens, to be safe."""
TEMPLATE_TOKENS = 32


class UnknownModel(LetheonError):
    """The model's size cannot be computed from its configuration."""

    exit_code = 3


class RecipeNeed(NamedTuple):
    """Bytes of a worker under a memory recipe, with a step in one pass. `fits`: with passes of ENOUGH_TOKENS at least;
    `whole`: in one pass. Both are None without GPUs."""

    predicted: int
    fits: bool | None
    whole: bool | None


@dataclass(frozen=True)
class Sizing:
    """Memory of one worker. `need`: for the largest of its jobs. `card`: bytes of a GPU, None without GPUs. `share`:
    part of a GPU, None if a whole one is too small. `recipe`: the one in the sweep file, or the one that `auto` takes.
    `recipes`: all that the sweep file allows.
    """

    need: MemoryEstimate
    card: int | None
    share: float | None
    workers: int
    trains_all: bool
    recipe: MemoryRecipe
    recipes: Mapping[MemoryRecipe, RecipeNeed]

    @property
    def predicted(self) -> int:
        """Bytes that one worker will take on its device."""
        return self.need.total + (CUDA_CONTEXT if self.card else 0)

    @property
    def why(self) -> str:
        """The reason for the share, as one line of the plan."""
        if self.card is None:
            return "no GPU"
        if self.share is None:
            return f"more than a GPU of {self.card / GIB:.1f} GiB"
        return f"{_part(self.share)} of a GPU of {self.card / GIB:.1f} GiB holds it"

    @property
    def gpus(self) -> float:
        """The smallest share that holds a worker; 0 without GPUs. Raises DoesNotFit."""
        if self.card is None:
            return 0.0
        if self.share is None:
            raise DoesNotFit(
                f"trial.gpus_per_worker auto: a worker would take {self.predicted / GIB:.1f} GiB and must fit on one "
                f"GPU of {self.card / GIB:.1f} GiB; {self._fix}"
            )
        return round(self.share, 4)

    @property
    def _fix(self) -> str:
        more = f"set trial.workers to more than {self.workers}, with deepspeed: {{zero_optimization: {{stage: 3}}}}"
        less = "" if len(self.recipes) == 1 else ", or memory: auto"
        return f"{more}, or precision: bf16{less}" + (
            ", or bring a finished target model and train lora" * self.trains_all
        )

    def to_json(self) -> dict[str, Any]:
        """As in the plan; bytes of one worker."""
        passing = {name: getattr(self.need, name) for name in ("activations", "evaluation", "update")}
        parts = {**self.need.states, **passing}
        share = None if self.share is None else round(self.share, 4)
        return {
            "predicted_bytes": self.predicted,
            "parts": {name: size for name, size in parts.items() if size},
            "card_bytes": self.card,
            "share": share,
            "why": self.why,
            "recipe": self.recipe,
            "recipes": [
                {
                    "name": name,
                    "bytes_per_parameter": RECIPES[name].parameter_bytes,
                    "predicted_bytes": need.predicted,
                    "fits": need.fits,
                    "in_one_pass": need.whole,
                }
                for name, need in self.recipes.items()
            ],
        }


def _part(share: float) -> str:
    return "all" if share == 1 else f"1/{1 / share:.0f}"


def resolve_auto(spec: SweepSpec, address: str | None, say: Callable[[str], None]) -> SweepSpec:
    """The sweep file with what `auto` stands for, for the GPUs of this machine or of the cluster at `address`.

    Raises DoesNotFit, UnknownModel, UnknownGpu, SpecErrors; only if `gpus_per_worker` is `auto`.
    """
    trial = spec.trial
    share = trial.gpus_per_worker
    if share != AUTO and (trial.memory != AUTO or not share or len(allowed_recipes(spec)) == 1):
        return with_recipe(spec, "exact") if trial.memory == AUTO else spec
    try:
        sizing = size(spec, shape_of(spec), local_card() if address is None else cluster_card_bytes(address))
    except (UnknownModel, UnknownGpu) as error:
        if share == AUTO:
            raise
        say(f"trial.memory auto: exact, because the need for memory is unknown: {error}")
        return with_recipe(spec, "exact")
    if share == AUTO:
        need = f"{sizing.predicted / GIB:.1f} GiB per worker"
        say(f"trial.gpus_per_worker auto: {sizing.gpus:g}, for {need}: {sizing.why}")
        spec = with_gpus(spec, sizing.gpus)
    if trial.memory == AUTO and sizing.recipe != "exact":
        say(f"trial.memory auto: {sizing.recipe}, the most exact recipe that fits (`letheon plan` compares them)")
    return with_recipe(spec, sizing.recipe)


def allowed_recipes(spec: SweepSpec) -> tuple[MemoryRecipe, ...]:
    """The memory recipes that the precision and DeepSpeed's configuration allow, the most exact first."""
    half = spec.trial.precision == "bf16" and spec.trial.zero_stage == 0
    return tuple(RECIPES) if half else ("exact",)


def with_recipe(spec: SweepSpec, recipe: MemoryRecipe) -> SweepSpec:
    """The sweep file with this memory recipe."""
    return spec.model_copy(update={"trial": spec.trial.model_copy(update={"memory": recipe})})


def local_card() -> int | None:
    """Memory of this machine's smallest GPU in bytes, None without GPUs. Raises UnknownGpu."""
    return card_bytes() if machine()["GPU"] else None


def with_gpus(spec: SweepSpec, gpus: float) -> SweepSpec:
    """The sweep file with this number of GPUs per worker. Raises SpecErrors for a GPU budget without GPUs."""
    if not gpus and spec.budget.gpu_hours is not None:
        raise SpecErrors(["budget.gpu_hours: is never used up: there is no GPU for trials; give wall_hours"])
    return spec.model_copy(update={"trial": spec.trial.model_copy(update={"gpus_per_worker": gpus})})


def size(spec: SweepSpec, shape: DecoderShape, card: int | None) -> Sizing:
    """Memory of a worker and its share of a GPU of `card` bytes. Workers of one trial never share a GPU.

    A recipe fits if ENOUGH_TOKENS per pass do; of a part of a GPU, it gets one that fits USEFUL_TOKENS, or all of it.
    """
    workers, given, step = spec.trial.workers, spec.trial.gpus_per_worker, _step_tokens(spec)
    most = 1.0 if given == AUTO or not given else min(1.0, float(given))

    def need(recipe: MemoryRecipe, tokens: int) -> MemoryEstimate:
        estimates = _estimates(with_recipe(spec, recipe), shape, card is not None, min(tokens, step))
        return max(estimates, key=lambda each: each.total)

    def fits(recipe: MemoryRecipe, share: float, tokens: int) -> bool | None:
        return None if card is None else need(recipe, tokens).fits(int(share * card) - CUDA_CONTEXT)

    context = CUDA_CONTEXT if card else 0
    recipes = {
        name: RecipeNeed(
            need(name, USEFUL_TOKENS).total + context,
            fits(name, most, ENOUGH_TOKENS),
            fits(name, most, USEFUL_TOKENS),
        )
        for name in allowed_recipes(spec)
    }
    chosen = _most_exact(recipes) if spec.trial.memory == "auto" else spec.trial.memory
    shares = [share for share in SHARES if workers == 1 or share == 1]
    share = next((share for share in shares if fits(chosen, share, USEFUL_TOKENS)), None)
    if share is None and fits(chosen, 1.0, ENOUGH_TOKENS):
        share = 1.0
    trains_all = spec.trial.lora is None or _prepares_models(spec)
    return Sizing(need(chosen, USEFUL_TOKENS), card, share, workers, trains_all, chosen, recipes)


def _most_exact(recipes: Mapping[MemoryRecipe, RecipeNeed]) -> MemoryRecipe:
    """The first recipe that fits; without GPUs the first, and the last if none fits."""
    *_, last = recipes
    return next((name for name, need in recipes.items() if need.fits is not False), last)


def _estimates(spec: SweepSpec, shape: DecoderShape, on_gpu: bool, tokens: int) -> Iterator[MemoryEstimate]:
    """For a trial and for the fine-tuning before it, which always trains whole models."""
    methods = tuple(spec.methods[str(name)] for name in values_of(spec.search["method"]))
    workers = spec.trial.model_copy(update={"gpus_per_worker": 0.0}).workers_config
    probed = spec.scheduler.probe is not None
    settings = MemorySettings(workers, spec.evaluation, methods, spec.trial.lora, on_gpu, probed)
    yield estimate_memory(shape, settings, tokens)
    if _prepares_models(spec):
        yield estimate_memory(shape, MemorySettings(workers, spec.evaluation, (), None, on_gpu), tokens)


def _prepares_models(spec: SweepSpec) -> bool:
    return spec.model.target is None or not set(spec.fractions) <= {
        *(spec.model.retain or {}),
        *(spec.model.retain_log or {}),
    }


def _step_tokens(spec: SweepSpec) -> int:
    """Tokens of a step's forget and retain rows, estimated from the length of the texts."""
    from trainables.data.benchmarks.registry import load_benchmark

    rows = load_benchmark(spec.benchmark).full
    characters = sum(len(row.question) + len(row.answer) for row in rows) / max(1, len(rows))
    searched = spec.search.get("batch_size")
    sizes = [spec.trial.batch_size] if searched is None else _numbers(searched)
    return int(2 * max(sizes) * (characters / TOKEN_CHARACTERS + TEMPLATE_TOKENS))


def _numbers(domain: Any) -> list[int]:
    """The values of a domain, or the ends of its range."""
    ends = getattr(domain, "uniform", None) or getattr(domain, "loguniform", None)
    return [int(value) for value in values_of(domain) or ends or ()]


def shape_of(spec: SweepSpec, config: Mapping[str, Any] | None = None) -> DecoderShape:
    """Sizes of the model that is trained. `config`: its `model_config`, if it is at hand. Raises UnknownModel."""
    try:
        return DecoderShape.of_file(model_config(spec) if config is None else config)
    except ValueError as error:
        raise _unknown_model(spec, f"its memory is unknown ({error})", "nothing checks that a worker fits") from error


def model_config(spec: SweepSpec) -> Mapping[str, Any]:
    """The config.json of the model that is trained, from disk or from the hub. Raises UnknownModel."""
    source = spec.model.target or spec.model.base
    if source in PRESETS:
        return tiny_config(spec.model.size) if source == "tiny" else PRESETS[source]
    try:
        folder = local_path(source)
        file = folder / "config.json" if folder.is_dir() else _hub_config(spec)
        found: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        why = str(error).strip().partition("\n")[0].rstrip(".")  # further lines give advice that does not apply here
        fix = "correct the name, or give a model folder"
        raise _unknown_model(spec, f"its config.json did not load ({why})", f"the sweep will need it: {fix}") from error
    return found


def _unknown_model(spec: SweepSpec, problem: str, otherwise: str) -> UnknownModel:
    """`otherwise`: what follows if the number of GPUs does not depend on it."""
    model = f"model.{'base' if spec.model.target is None else 'target'} {spec.model.target or spec.model.base}"
    if spec.trial.gpus_per_worker != AUTO:
        return UnknownModel(f"{model}: {problem}; {otherwise}")
    rule = "trial.gpus_per_worker auto: the size must follow from the model"
    return UnknownModel(f"{rule}, {model}: {problem}; write a number, or give another model folder")


def _hub_config(spec: SweepSpec) -> Path:
    """The config.json of a model on the hub. Raises OSError if it cannot be downloaded."""
    from transformers.utils.hub import cached_file

    from trainables.runtime.hub_access import hub_or_cache

    model = spec.model
    name, revision = (model.target, None) if model.target else (model.base, model.revision)
    with hub_or_cache():
        return Path(str(cached_file(name, "config.json", revision=revision)))
