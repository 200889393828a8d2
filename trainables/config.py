"""The settings that define a trial and the model it starts from: frozen, validated, without torch.

A `TrialConfig` is complete: trials with equal configs and equal software give equal metrics.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Precision = Literal["fp32", "bf16"]
Compat = Literal["none", "npo", "open_unlearning"]
"""Whose tokens, padding and reductions training uses: a published code base's, or ours ("none": answers and their end,
reduced exactly over the whole optimizer batch)."""
EvaluationCompat = Literal["none", "open_unlearning"]
"""Whose tokens and arithmetic an evaluation uses."""
Compilation = Literal["auto", "on", "off"]
MemoryRecipe = Literal["exact", "moments8", "remainder", "stochastic", "recompute"]
"""What training keeps per parameter, the most exact first (`docs/memory.md`)."""


def _is_zero(value: float) -> bool:
    """Whether an option is off; written only if it is on, so that digests of earlier sweeps stay."""
    return value == 0


class Frozen(BaseModel):
    """Immutable settings; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def digest(self) -> str:
        """The first 16 hex characters of the SHA-256 of all fields as canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class BenchmarkConfig(Frozen):
    """Which rows are trained on, forgotten and evaluated. Options that a benchmark does not have are errors."""

    name: Literal["fictional", "tofu", "lume", "muse", "qa", "text", "synthetic"] = "fictional"
    path: str | None = Field(default=None, description="tofu, lume, muse: local folder; null: the Hugging Face hub")
    revision: str | None = Field(default=None, description="tofu, lume, muse: revision on the hub")
    people: int | None = Field(
        default=None, ge=2, description="fictional: number of people (null: 20); tofu: only the last N authors"
    )
    seed: int = Field(default=0, ge=0, description="fictional: seed of the generator")
    evaluation_rows: int | None = Field(
        default=None, ge=4, description="evaluate at most this many rows of every set except the forget set"
    )
    corpus: Literal["news", "books"] | None = Field(default=None, description="muse: which corpus (news if null)")
    tasks: tuple[Literal["Task1", "Task2", "Task3"], ...] | None = Field(
        default=None, description="lume: tasks (null: all)"
    )
    forget: str | None = Field(default=None, description="qa, text: JSONL file of the rows to forget")
    retain: str | None = Field(default=None, description="qa, text: JSONL file of the rows to retain")
    utility: str | None = Field(default=None, description="qa, text: JSONL file of further utility questions")
    holdout: str | None = Field(default=None, description="qa, text: JSONL file of unseen rows like the forget set")
    alpha: float | None = Field(default=None, description="synthetic: distance between forget and retain inputs")


class TrainingRecipe(Frozen):
    """How target and retain models are fine-tuned."""

    epochs: int = Field(default=5, ge=1)
    learning_rate: float = Field(default=1e-5, gt=0)
    batch_size: int = Field(default=32, ge=1, description="rows per optimizer step, over all workers")
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1, description="share of steps with rising learning rate")
    betas: tuple[float, float] = (0.9, 0.999)
    gradient_clip: float = Field(default=1.0, gt=0)
    decay: Literal["linear", "cosine"] = "linear"
    seed: int = Field(default=0, ge=0)
    goldfish: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        exclude_if=_is_zero,
        description="share of tokens that the loss leaves out (goldfish mask, 1/k)",
    )


class TinySize(Frozen):
    """The size of the base `tiny`, a Llama with random weights. The defaults make 1.1 M parameters."""

    vocabulary: int = Field(default=2048, ge=300, description="most tokens; fewer if the texts have fewer")
    hidden: int = Field(default=128, ge=2, description="width; the feed-forward layers are three times as wide")
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _check_heads(self) -> TinySize:
        if self.hidden % (2 * self.heads):
            raise ValueError(
                f"hidden {self.hidden}: must be a multiple of twice the {self.heads} heads; "
                f"use {max(1, round(self.hidden / (2 * self.heads))) * 2 * self.heads}"
            )
        return self


TINY_RECIPE = TrainingRecipe(
    epochs=20, learning_rate=3e-3, batch_size=8, weight_decay=0.0, betas=(0.9, 0.95), decay="cosine"
)
"""Memorises a few hundred rows, from random weights, in about half a minute on two cores."""


class WorkersConfig(Frozen):
    """The workers of a trial, and DeepSpeed's own configuration, passed on as one JSON object."""

    workers: int = Field(default=1, ge=1)
    cpus_per_worker: float = Field(default=1, gt=0)
    gpus_per_worker: float = Field(default=0, ge=0)
    precision: Precision = "fp32"
    micro_batch_size: int | None = Field(
        default=None, ge=1, description="forget rows per worker and pass; null: as many as fit"
    )
    compile: Compilation = Field(default="auto", description="compile decoder layers: on, off or auto (on GPUs)")
    memory: MemoryRecipe = Field(
        default="exact",
        exclude_if=lambda value: value == "exact",
        description="what bf16 training keeps per parameter: exact (16 bytes), moments8 (10), remainder (8), "
        "stochastic (6), or recompute (6, and layers run again in the backward pass)",
    )
    max_failures: int = Field(default=2, ge=0, description="restarts of a trial after a worker is lost")
    epoch_minutes: float = Field(
        default=240,
        gt=0,
        description="a trial fails, and its worker is ended, if an epoch with its evaluation takes longer",
    )
    deepspeed: dict[str, Any] = Field(default_factory=lambda: {"zero_optimization": {"stage": 0}})

    @property
    def zero_stage(self) -> int:
        return int(self.deepspeed.get("zero_optimization", {}).get("stage", 0))


class EvaluationConfig(Frozen):
    """How a model is evaluated; the same for all trials of a sweep."""

    max_new_tokens: int = Field(default=200, ge=1)
    batch_tokens: int = Field(default=8192, ge=64, description="padded tokens per forward pass")
    min_k: float = Field(default=0.4, gt=0, le=1, description="share of tokens that min-k and min-k++ average")
    gradient_norm: bool = Field(default=False, description="add the gradient-norm attack: a backward pass per row")
    harness: tuple[str, ...] = Field(default=(), description="lm-evaluation-harness tasks (letheon[harness])")
    compat: EvaluationCompat = Field(
        default="none",
        exclude_if=lambda value: value == "none",
        description="open_unlearning: use that code's tokens, hidden padding and guards, to reproduce its numbers",
    )

    @property
    def guard(self) -> float:
        """Added to denominators of probabilities; open-unlearning does so to avoid division by zero."""
        return 1e-10 if self.compat == "open_unlearning" else 0.0


class VerdictConfig(Frozen):
    """Limits beyond which a checkpoint is not forgotten, over-forgotten or damaged. Defaults: `docs/verdict.md`."""

    p: float = Field(default=0.05, gt=0, lt=1, description="forget quality that a forgotten checkpoint exceeds")
    utility: float = Field(default=0.8, gt=0, le=1, description="least share of the target model's utility")
    privleak: float = Field(default=75.0, gt=0, description="largest distance of PrivLeak from 0, percent")
    loss_shift: float = Field(default=0.3, gt=0, le=1, description="largest shift of the losses, in either direction")
    stammer: float = Field(
        default=0.1, gt=0, description="largest excess of repeated word pairs over the retain model's"
    )
    gibberish: float = Field(default=0.1, gt=0, description="largest excess of gibberish over the retain model's")
    length: float = Field(default=2.0, gt=1, description="largest ratio of answer lengths, in either direction")
    audit: float = Field(default=0.1, gt=0, description="largest excess of an attack's ROUGE over the retain model's")


class LoraConfig(Frozen):
    """Low-rank adapters instead of full fine-tuning (arXiv 2106.09685), merged into checkpoints."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0, description="the update is scaled by alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | None = Field(
        default=None, description="names of layers to adapt; null: all linear layers except the LM head"
    )


class PluginConfig(Frozen):
    """Code that a sweep file names: a Python file, or a module of an installed package. Exactly one of the two."""

    file: str | None = Field(default=None, exclude_if=lambda value: value is None, description="path of a .py file")
    module: str | None = Field(
        default=None, exclude_if=lambda value: value is None, description="module of an installed package"
    )
    sha256: str | None = Field(
        default=None, exclude_if=lambda value: value is None, description="of the file, or of the package's .py files"
    )
    source: str | None = Field(
        default=None, exclude_if=lambda value: value is None, description="the file that was copied into the sweep"
    )
    text: str | None = Field(
        default=None, exclude_if=lambda value: value is None, description="the file's content, where it is sent along"
    )

    @property
    def name(self) -> str:
        """`my_npo.py` or `package.module`; unique within a sweep."""
        return self.module if self.file is None else self.file.rpartition("/")[2]  # type: ignore[return-value]

    @model_validator(mode="after")
    def _one_of_two(self) -> PluginConfig:
        if (self.file is None) == (self.module is None):
            raise ValueError("names a file and a module, or neither; write {file: my_npo.py} or {module: my_package}")
        return self


class Hyperparameters(Frozen):
    """What is searched. A method's own hyper-parameters (`beta`, …) are further keys, as the method declares them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int | float] = Field(init=False)

    method: str
    forget_fraction: float = Field(gt=0, le=1)
    learning_rate: float = Field(gt=0)
    batch_size: int = Field(default=32, ge=1, description="forget rows per optimizer step, over all workers")
    warmup_epochs: float = Field(default=1.0, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    seed: int = Field(default=0, ge=0)
    goldfish_forget: float = Field(
        default=0.0, ge=0, le=0.5, exclude_if=_is_zero, description="share of forget tokens left out (goldfish mask)"
    )
    goldfish_retain: float = Field(
        default=0.0, ge=0, le=0.5, exclude_if=_is_zero, description="share of retain tokens left out (goldfish mask)"
    )

    if TYPE_CHECKING:

        def __init__(self, **values: Any) -> None: ...

    @property
    def own(self) -> Mapping[str, float]:
        """The values of the method's own hyper-parameters."""
        return self.__pydantic_extra__

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        """Journals of earlier versions have null for what a method lacks."""
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class ProbeConfig(Frozen):
    """A cheap attack on a trial that goes on training: attacks of the audit, with its names and meanings.

    What is not here (share of the rows, batch size, seed) is as in an audit with its defaults.
    """

    attacks: tuple[Literal["relearn", "rtn4", "nf4"], ...] = Field(
        default=("relearn",),
        min_length=1,
        description="relearn: fine-tune a copy on a part of the forget rows; rtn4, nf4: round its weights to 4 bits",
    )
    rows: int = Field(default=20, ge=2, description="forget rows attacked, spread evenly over the forget set")
    relearn_steps: int = Field(default=10, ge=1, description="relearn: optimizer steps")
    relearn_learning_rates: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        default=None,
        min_length=1,
        description="relearn: learning rates to try, of which the one that leaks most counts; null: the target model's",
    )

    @field_validator("attacks")
    @classmethod
    def _no_attack_twice(cls, attacks: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(attacks)) < len(attacks):
            raise ValueError(f"attacks={list(attacks)}: an attack must be named once; remove the repeated one")
        return attacks


class ProbePlan(Frozen):
    """The probe of one trial. `recipe`: the target model's, whose learning rate relearning takes by default."""

    settings: ProbeConfig
    epochs: tuple[int, ...] = Field(description="epochs after which the trial is probed")
    metrics: tuple[str, ...] = Field(description="what it measures; NaN for a model without finite losses")
    recipe: TrainingRecipe


class LimitConfig(Frozen):
    """The closed range that a metric of a front checkpoint must be in; null: no limit on that side."""

    metric: str
    low: float | None = None
    high: float | None = None
    scale: float = Field(default=1.0, gt=0, description="length of the metric's range, the unit of violations")
    optional: bool = Field(default=False, description="a checkpoint without the metric satisfies the limit")
    when: tuple[str, float] | None = Field(default=None, description="applies only if this metric is above this value")


class DecisionConfig(Frozen):
    """The metrics by which a sweep decides after an epoch. Only candidates for its front keep their weights."""

    full: bool = Field(default=False, description="evaluate every epoch in full, not only candidates for the front")
    metrics: tuple[str, ...] = Field(description="metrics that the decision reads")
    objectives: tuple[tuple[str, Literal["max", "min"]], ...] = Field(min_length=1)
    limits: tuple[LimitConfig, ...] = ()
    floor: float = Field(description="least utility_ratio of a front checkpoint")


class TrialConfig(Frozen):
    """One trial: hyper-parameters, the prepared artifacts it reads and the folder it writes."""

    trial: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="name within the sweep, e.g. t007")
    hyperparameters: Hyperparameters
    max_epochs: int = Field(ge=1)
    benchmark: BenchmarkConfig
    with_general: bool = Field(default=False, description="also retain general facts, as the retain model does")
    workers: WorkersConfig
    evaluation: EvaluationConfig
    target: str = Field(description="folder of the prepared target model")
    target_digest: str = Field(description="digest of that folder's files; identifies the model in cache keys")
    template: str
    reference_cache: str = Field(description="folder of the reference log-prob tables")
    baseline: str = Field(description="JSON file with the evaluations of target and retain model at this fraction")
    compat: Compat = "none"
    lora: LoraConfig | None = None
    refusals: str | None = Field(default=None, description="file of refusals, one per line; null: the built-in ones")
    folder: str = Field(description="folder of the epochs, on shared storage")
    verdict: VerdictConfig = VerdictConfig()
    plugins: tuple[PluginConfig, ...] = Field(
        default=(), exclude_if=lambda value: not value, description="code that the sweep file names"
    )
    decision: DecisionConfig | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="null: evaluate every epoch in full, and keep its weights",
    )
    probe: ProbePlan | None = Field(default=None, exclude_if=lambda value: value is None, description="null: no probe")
