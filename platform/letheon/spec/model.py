"""The schema of a sweep file. Rules that span several fields are in `validate`. Imports no torch and no Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from letheon.pareto.objectives import in_order
from letheon.schedulers.config import SchedulerConfig
from letheon.spec.budget import BudgetSpec
from letheon.spec.source import KeyPath
from trainables.audit.config import AuditConfig
from trainables.config import (
    TINY_RECIPE,
    BenchmarkConfig,
    Compat,
    EvaluationConfig,
    Frozen,
    LoraConfig,
    MemoryRecipe,
    PluginConfig,
    TinySize,
    TrainingRecipe,
    VerdictConfig,
    WorkersConfig,
)
from trainables.data.benchmarks.registry import default_objectives
from trainables.methods import Method
from trainables.plugins.load import is_loaded, known_methods

Scalar: TypeAlias = bool | int | float | str


class Choice(Frozen):
    """One value of a list."""

    choice: tuple[Scalar, ...] = Field(min_length=1)


class Uniform(Frozen):
    """Between two numbers, both included."""

    uniform: tuple[float, float]

    @property
    def bounds(self) -> tuple[float, float]:
        return self.uniform


class LogUniform(Frozen):
    """Between two positive numbers, both included; uniform in the logarithm."""

    loguniform: tuple[float, float]

    @property
    def bounds(self) -> tuple[float, float]:
        return self.loguniform


DOMAIN_KINDS = ("choice", "uniform", "loguniform")


def _domain_kind(value: object) -> str | None:
    for kind in DOMAIN_KINDS:
        if hasattr(value, kind) or (isinstance(value, dict) and list(value) == [kind]):
            return kind
    return None if value is None or isinstance(value, (dict, list, tuple)) else "fixed"


Domain: TypeAlias = Annotated[
    Annotated[Scalar, Tag("fixed")]
    | Annotated[Choice, Tag("choice")]
    | Annotated[Uniform, Tag("uniform")]
    | Annotated[LogUniform, Tag("loguniform")],
    Discriminator(_domain_kind),
]

NAMED_BASES = ("tiny", "smollm2")
"""Bases that Letheon builds: neither a folder nor a model of the hub."""

LEARNING_SEARCHERS = ("surrogate", "optuna")
"""Searchers whose proposals depend on results of earlier trials."""


class ModelSpec(Frozen):
    """The model to unlearn from. Fields that `recipe` leaves out come from the recipe of the base."""

    base: str = Field(default="tiny", min_length=1, description="hub id, local folder, `tiny` or `smollm2`")
    revision: str | None = Field(default=None, description="revision of the hub model")
    target: str | None = Field(
        default=None, description="a finished target model, a hub id or local folder; null: fine-tune `base`"
    )
    retain: dict[Annotated[float, Field(gt=0, le=1)], str] | None = Field(
        default=None,
        description="finished retain models, hub ids or local folders, by forget fraction; others are fine-tuned",
    )
    retain_log: dict[Annotated[float, Field(gt=0, le=1)], str] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="published evaluation logs of retain models (TOFU_EVAL.json) by forget fraction, in their place",
    )
    size: TinySize = Field(
        default=TinySize(), exclude_if=lambda value: value == TinySize(), description="of the base `tiny`"
    )
    template: str | None = Field(default=None, description="prompt template; null: chosen by the tokenizer")
    recipe: TrainingRecipe = TrainingRecipe()

    @model_validator(mode="after")
    def _recipe_of_base(self) -> ModelSpec:
        if self.base == "tiny":
            given = {name: getattr(self.recipe, name) for name in self.recipe.model_fields_set}
            object.__setattr__(self, "recipe", TINY_RECIPE.model_copy(update=given))
        return self


class Constraint(Frozen):
    """The range that a metric of a checkpoint must lie in, both ends included."""

    max: float | None = None
    min: float | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> Constraint:
        if self.max is None and self.min is None:
            raise ValueError("has neither max nor min; write {max: 0.4}")
        if self.max is not None and self.min is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g}: must be <= max {self.max:g}; swap the two")
        return self


def _switch_or_config(value: object) -> str:
    return "config" if isinstance(value, (dict, AuditConfig)) else "switch"


Audit: TypeAlias = Annotated[
    Annotated[bool, Tag("switch")] | Annotated[AuditConfig, Tag("config")], Discriminator(_switch_or_config)
]


class SearcherSpec(Frozen):
    """How configurations are chosen."""

    name: Literal["surrogate", "optuna", "quasi_random", "random", "grid"] = "surrogate"
    seed: int = Field(default=0, ge=0)
    startup_trials: int = Field(
        default=2, ge=1, description="surrogate, optuna: configurations per fraction before the model is used"
    )
    warm_start: tuple[str, ...] = Field(
        default=(), description="surrogate, optuna: earlier sweeps of the same experiment to learn from"
    )


class TrialSpec(WorkersConfig):
    """The workers of every trial, and hyper-parameters that are not searched."""

    gpus_per_worker: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(  # type: ignore[assignment]
        default=0.0, description="a share of one GPU, or whole GPUs; auto: the smallest share that holds a trial"
    )
    memory: MemoryRecipe | Literal["auto"] = Field(  # type: ignore[assignment]
        default="auto",
        exclude_if=lambda value: value == "auto",
        description="what bf16 training keeps per parameter: exact (16 bytes), moments8 (10), remainder (8), "
        "stochastic (6), recompute (6, and layers run again in the backward pass); auto: the most exact that fits",
    )
    batch_size: int = Field(default=32, ge=1, description="forget rows per optimizer step, over all workers")
    warmup_epochs: float = Field(default=1.0, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    compat: Compat = Field(default="none", description="none: our loss reductions; else those of a published code base")
    lora: LoraConfig | None = Field(default=None, description="low-rank adapters; null: full fine-tuning")
    refusals: str | None = Field(default=None, description="file of refusals, one per line; null: the built-in ones")

    @property
    def gpus(self) -> float:
        """`gpus_per_worker` as a number. Raises ValueError while it is `auto`, before `sizing` has computed it."""
        if isinstance(self.gpus_per_worker, str):
            raise ValueError(
                f"trial.gpus_per_worker {self.gpus_per_worker}: is not computed yet; call sizing.resolve_auto"
            )
        return self.gpus_per_worker

    @property
    def workers_config(self) -> WorkersConfig:
        """The fields of `TrialConfig.workers`. Raises ValueError as `gpus` does.

        `memory` is exact while it is `auto`: so it was in sweeps that began before there were other recipes.
        """
        fields = {name: getattr(self, name) for name in WorkersConfig.model_fields}
        memory = "exact" if self.memory == "auto" else self.memory
        return WorkersConfig(**{**fields, "gpus_per_worker": self.gpus, "memory": memory})


def _plugin(value: object) -> object:
    """`my_npo.py` or `package.module` as the mapping that it stands for."""
    if not isinstance(value, str):
        return value
    return {"file": value} if value.endswith(".py") or "/" in value else {"module": value}


class SweepSpec(Frozen):
    """A whole sweep file. Use `load_spec` to build one: it also checks the rules that span several fields."""

    name: str
    plugins: tuple[Annotated[PluginConfig, BeforeValidator(_plugin)], ...] = Field(
        default=(),
        exclude_if=lambda value: not value,
        description="code of your own: Python files, from this file's folder, or modules of installed packages",
    )
    benchmark: BenchmarkConfig = BenchmarkConfig()
    model: ModelSpec = ModelSpec()
    search: dict[str, Domain]
    objectives: dict[str, Literal["max", "min"]] = Field(
        default={},
        description="two metrics, of forgetting and of utility, and perhaps a third; empty: the benchmark's own",
    )
    constraints: dict[str, Constraint] = Field(default={}, description="limits that a front checkpoint must respect")
    scheduler: SchedulerConfig = SchedulerConfig(max_epochs=10)
    searcher: SearcherSpec = SearcherSpec()
    budget: BudgetSpec = BudgetSpec()
    trial: TrialSpec = TrialSpec()
    evaluation: EvaluationConfig = EvaluationConfig()
    verdict: VerdictConfig = Field(
        default=VerdictConfig(), description="thresholds by which a checkpoint is forgotten, over-forgotten or damaged"
    )
    audit: Audit = Field(default=False, description="attack every front checkpoint at the end; true: with the defaults")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)

    @model_validator(mode="after")
    def _objectives_of_benchmark(self) -> SweepSpec:
        """Fill in the default objectives; the utility, which has a floor, is always the second, a probe the last."""
        given = self.objectives or default_objectives(self.benchmark.name)
        object.__setattr__(self, "objectives", {name: given[name] for name in in_order(given)})
        return self

    @property
    def audit_config(self) -> AuditConfig:
        """Settings of an audit, whether or not the sweep itself ends with one."""
        return self.audit if isinstance(self.audit, AuditConfig) else AuditConfig()

    @property
    def methods(self) -> Mapping[str, Method]:
        """The built-in methods, and those of its plug-ins if they were imported; nothing is imported here."""
        return known_methods(self.plugins)

    @property
    def unknown_methods(self) -> list[str]:
        """The searched methods that this process does not know: those of plug-ins that it has not imported."""
        chosen = values_of(self.search["method"]) if "method" in self.search else ()
        return [str(name) for name in chosen if name not in self.methods]

    @property
    def is_imported(self) -> bool:
        """Whether this process has imported all of its plug-ins. Who only looks at a sweep imports none."""
        return all(map(is_loaded, self.plugins))

    @property
    def fractions(self) -> tuple[float, ...]:
        """The searched forget fractions, ascending: the strata of the sweep."""
        return tuple(sorted(float(value) for value in values_of(self.search["forget_fraction"])))


def values_of(domain: Scalar | Choice | Uniform | LogUniform) -> tuple[Scalar, ...]:
    """The listed values of a domain: all of a choice, a fixed value itself, none for a range."""
    if isinstance(domain, Choice):
        return domain.choice
    return () if isinstance(domain, (Uniform, LogUniform)) else (domain,)


def values_with_paths(spec: SweepSpec, name: str) -> list[tuple[KeyPath, Scalar]]:
    """The listed values of a hyper-parameter, each with its path in the file."""
    domain = spec.search.get(name)
    path: KeyPath = ("search", name, "choice") if isinstance(domain, Choice) else ("search", name)
    values = () if domain is None else values_of(domain)
    return [((*path, i) if isinstance(domain, Choice) else path, value) for i, value in enumerate(values)]


def folder_or_hub_id(model: str) -> str:
    """The absolute path of a model's folder; a hub id as it is."""
    return str(local_path(model)) if os.path.isdir(local_path(model)) else model


def local_path(path: str) -> Path:
    """The absolute path for one that the user wrote: relative to the working folder, `~` allowed.

    Test it with `os.path.isdir` or `isfile`: pathlib raises if a name is too long.
    """
    return Path(os.path.expanduser(path)).absolute()  # pathlib's expanduser raises for an unknown user
