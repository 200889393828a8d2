"""How much memory a trial will take, and the smallest part of a GPU that holds it: `trial.gpus_per_worker: auto`.

Arithmetic on the model's configuration and the sweep file; whoever calls it says how large the GPUs are. Nothing is
trained or measured. Loads no torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.cluster.capacity import DoesNotFit, machine
from letheon.cluster.gpus import card_bytes, cluster_card_bytes
from letheon.common.errors import LetheonError, SpecErrors
from letheon.spec.model import SweepSpec, local_path, values_of
from trainables.model.gpu_share import CUDA_CONTEXT, GIB, MemorySettings, estimate_memory
from trainables.model.memory import USEFUL_TOKENS, DecoderShape, MemoryEstimate
from trainables.model.presets import PRESETS

if TYPE_CHECKING:
    from trainables.config import WorkersConfig

AUTO = "auto"
SHARES = (1 / 8, 1 / 4, 1 / 3, 1 / 2, 1.0)
TOKEN_CHARACTERS = 3
"""Of English text in vocabularies of usual size: about four; fewer means more tokens, to be on the safe side."""
TEMPLATE_TOKENS = 32


class UnknownModel(LetheonError):
    """The model's size cannot be told from its configuration."""

    exit_code = 3


@dataclass(frozen=True)
class Sizing:
    """`need`: of one worker, the hungriest of what it will do. `share`: None where no part of a GPU holds it."""

    need: MemoryEstimate
    card: int | None
    share: float | None
    workers: int
    trains_all: bool

    @property
    def predicted(self) -> int:
        """Bytes of the device that one worker will take."""
        return self.need.total + (CUDA_CONTEXT if self.card else 0)

    @property
    def why(self) -> str:
        """One line for the plan."""
        if self.card is None:
            return "no GPU"
        if self.share is None:
            return f"more than a GPU of {self.card / GIB:.1f} GiB"
        return f"{_part(self.share)} of a GPU of {self.card / GIB:.1f} GiB holds it"

    @property
    def gpus(self) -> float:
        """The smallest share that holds it; 0 where there is no GPU. Raises DoesNotFit."""
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
        return f"{more}, or precision: bf16" + (", or bring a finished target model and train lora" * self.trains_all)

    def to_json(self) -> dict[str, Any]:
        """For the plan: bytes of one worker."""
        parts = {**self.need.states, "activations": self.need.activations, "evaluation": self.need.evaluation}
        share = None if self.share is None else round(self.share, 4)
        return {
            "predicted_bytes": self.predicted,
            "parts": {name: size for name, size in parts.items() if size},
            "card_bytes": self.card,
            "share": share,
            "why": self.why,
        }


def _part(share: float) -> str:
    return "all" if share == 1 else f"1/{1 / share:.0f}"


def resolve_auto_gpus(spec: SweepSpec, address: str | None, say: Callable[[str], None]) -> SweepSpec:
    """The sweep file with a number for `auto`; as it is without. Asks the machines that have the GPUs.

    Raises DoesNotFit, UnknownModel, UnknownGpu, SpecErrors.
    """
    if spec.trial.gpus_per_worker != AUTO:
        return spec
    card = local_card() if address is None else cluster_card_bytes(address)
    sizing = size(spec, shape_of(spec), card)
    say(f"trial.gpus_per_worker auto: {sizing.gpus:g}, for {sizing.predicted / GIB:.1f} GiB a worker: {sizing.why}")
    return with_gpus(spec, sizing.gpus)


def local_card() -> int | None:
    """Memory of the smallest GPU here, None where there is none. Raises UnknownGpu."""
    return card_bytes() if machine()["GPU"] else None


def with_gpus(spec: SweepSpec, gpus: float) -> SweepSpec:
    """Raises SpecErrors where the budget counts hours of GPUs that there are not."""
    if not gpus and spec.budget.gpu_hours is not None:
        raise SpecErrors(["budget.gpu_hours: is never used up: there is no GPU for trials; give wall_hours"])
    return spec.model_copy(update={"trial": spec.trial.model_copy(update={"gpus_per_worker": gpus})})


def size(spec: SweepSpec, shape: DecoderShape, card: int | None) -> Sizing:
    """What a worker takes, and of a GPU of `card` bytes. Workers of one trial never share a GPU."""
    need = max(_needs(spec, shape), key=lambda need: need.total)
    workers = spec.trial.workers
    shares = SHARES if workers == 1 else (1.0,)
    holding = (share for share in shares if card and need.fits(int(share * card) - CUDA_CONTEXT))
    trains_all = spec.trial.lora is None or _makes_models(spec)
    return Sizing(need, card, next(holding, None), workers, trains_all)


def _needs(spec: SweepSpec, shape: DecoderShape) -> Iterator[MemoryEstimate]:
    """Of a trial, and of the fine-tuning before it, which always trains whole models."""
    from trainables.methods import METHODS

    names = values_of(spec.search["method"])
    methods = tuple(METHODS[str(name)] for name in names)
    workers, tokens = _workers(spec), min(USEFUL_TOKENS, _step_tokens(spec))
    yield estimate_memory(shape, MemorySettings(workers, spec.evaluation, methods, spec.trial.lora), tokens)
    if _makes_models(spec):
        yield estimate_memory(shape, MemorySettings(workers, spec.evaluation, ()), tokens)


def _workers(spec: SweepSpec) -> WorkersConfig:
    return with_gpus(spec.model_copy(update={"budget": type(spec.budget)()}), 0.0).trial.workers_config


def _makes_models(spec: SweepSpec) -> bool:
    return spec.model.target is None or not set(spec.fractions) <= set(spec.model.retain or {})


def _step_tokens(spec: SweepSpec) -> int:
    """Of a step's forget and retain rows, guessed from the length of the texts."""
    from trainables.data.benchmarks.registry import load_benchmark

    rows = load_benchmark(spec.benchmark).full
    characters = sum(len(row.question) + len(row.answer) for row in rows) / max(1, len(rows))
    searched = spec.search.get("batch_size")
    sizes = [spec.trial.batch_size] if searched is None else _numbers(searched)
    return int(2 * max(sizes) * (characters / TOKEN_CHARACTERS + TEMPLATE_TOKENS))


def _numbers(domain: Any) -> list[int]:
    listed = values_of(domain)
    ends = getattr(domain, "uniform", None) or getattr(domain, "loguniform", None)
    return [int(value) for value in listed or ends or ()]


def shape_of(spec: SweepSpec) -> DecoderShape:
    """Of the model that is trained, from its configuration, for which the hub is asked. Raises UnknownModel."""
    model = spec.model
    source = model.target or model.base
    try:
        if source in PRESETS:
            return DecoderShape.of_file(PRESETS[source])
        folder = local_path(source)
        read: Callable[[], str] = (folder / "config.json").read_text if folder.is_dir() else _hub(spec).read_text
        return DecoderShape.of_file(json.loads(read()))
    except (OSError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]  # what follows is advice that does not fit here
        raise UnknownModel(
            f"{_asked_for(spec)} {source}: its config.json did not load ({why.rstrip('.')}); {_bring(spec)}"
        ) from error


def _asked_for(spec: SweepSpec) -> str:
    asks = "trial.gpus_per_worker auto: the size must follow from the model, " * (spec.trial.gpus_per_worker == AUTO)
    return f"{asks}model.{'base' if spec.model.target is None else 'target'}"


def _bring(spec: SweepSpec) -> str:
    fix = "correct the name, or give the folder of a model"
    return f"write a number, or {fix}" if spec.trial.gpus_per_worker == AUTO else f"the sweep will need it: {fix}"


def _hub(spec: SweepSpec) -> Path:
    """The configuration of a model of the hub. Raises OSError if it cannot be had."""
    from transformers.utils.hub import cached_file

    from trainables.runtime.hub_access import hub_or_cache

    name, revision = spec.model.base, spec.model.revision
    with hub_or_cache():
        return Path(str(cached_file(name, "config.json", revision=revision)))
