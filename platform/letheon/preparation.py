"""What a sweep needs before its first trial: models and baseline evaluations, named by content and made once.

A name is a digest of everything that could change the result, so a second sweep finds what the first one made, and a
changed recipe finds nothing. How it is made is in `trainables.prepare`, who makes it in `preparers`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.finished import MARKER
from trainables.jobs import BaseJob, BaselineJob, FinetuneJob

if TYPE_CHECKING:
    from letheon.spec import SweepSpec
    from trainables.config import Frozen, TrialConfig

CODE_VERSION = 1
"""Raise it when the same recipe would give another model than before."""
EVALUATION_VERSION = 3
"""Raise it when the same evaluation would say more, or something else, of the same models."""

MADE_BASES = ("tiny", "smollm2")


@dataclass(frozen=True)
class Artefact:
    """Something that must exist. `job` is None for what the user brought."""

    kind: str
    fraction: float | None
    key: str
    path: Path
    job: Frozen | None

    @property
    def exists(self) -> bool:
        return self.path.exists() if self.path.suffix == ".json" else (self.path / MARKER).exists()


@dataclass(frozen=True)
class Prepared:
    """Where everything lies; `data` is the benchmark's digest. Made by `layout`; complete when `missing` is empty."""

    data: str
    base: Artefact | None
    target: Artefact
    retain: Mapping[float, Artefact]
    baseline: Mapping[float, Artefact]
    template: str
    reference_cache: Path

    @property
    def missing(self) -> list[Artefact]:
        """In an order in which they can be made. Longest first: the target model has most rows."""
        models = (*((self.base,) if self.base else ()), self.target, *self.retain.values())
        return [artefact for artefact in (*models, *self.baseline.values()) if artefact.job and not artefact.exists]

    def needs(self, artefact: Artefact) -> tuple[Artefact, ...]:
        """What it is made of, which must be there first."""
        if artefact.kind == "baseline" and artefact.fraction is not None:
            return self.target, self.retain[artefact.fraction]
        return (self.base,) if self.base and artefact.kind != "base" else ()


def content_key(*facts: Any) -> str:
    """A name of 16 hex digits for everything that could change a result."""
    text = json.dumps([CODE_VERSION, *facts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def layout(spec: SweepSpec, root: Path) -> Prepared:
    """Names and paths of everything the sweep needs. Reads the benchmark, makes nothing."""
    from letheon import synthetic
    from trainables.data import load_benchmark

    if spec.benchmark.name == synthetic.NAME:
        return synthetic.layout(spec, root)
    models = root.resolve() / "models"
    data = load_benchmark(spec.benchmark).digest
    base, source = _base(spec, models, data)
    template = spec.model.template or ("plain" if spec.model.base == "tiny" else "auto")
    base_key = base.key if base else _source_key(source, spec.model.revision)
    cache = root.resolve() / "cache" / "reference"
    named = _Named(spec, models, cache, data, source, base_key, template)
    given = spec.model.retain or {}
    target = named.model(None, spec.model.target)
    retain = {fraction: named.model(fraction, given.get(fraction)) for fraction in spec.fractions}
    baseline = {fraction: named.baseline(target, retain[fraction], fraction) for fraction in spec.fractions}
    return Prepared(data, base, target, retain, baseline, template, cache)


@dataclass(frozen=True)
class _Named:
    """Makes artefacts with names that hold everything they depend on."""

    spec: SweepSpec
    models: Path
    reference_cache: Path
    data: str
    base: str
    base_key: str
    template: str

    def model(self, fraction: float | None, given: str | None) -> Artefact:
        """The target model (fraction None) or a retain model; `given` is the user's own."""
        kind = "target" if fraction is None else "retain"
        if given is not None:
            return Artefact(kind, fraction, _source_key(given, None), Path(given).resolve(), None)
        spec, workers = self.spec, self.spec.trial.workers_config
        recipe = spec.model.recipe
        facts = (self.base_key, self.data, recipe.model_dump(mode="json"), self.template, workers.precision)
        compat = spec.trial.compat
        key = content_key(kind, fraction, *facts, *(["open_unlearning"] if compat == "open_unlearning" else []))
        folder = self.models / f"{kind}{'' if fraction is None else f'-{fraction:g}'}-{key}"
        job = FinetuneJob(
            base=self.base,
            revision=None if spec.model.base in MADE_BASES else spec.model.revision,
            benchmark=spec.benchmark,
            fraction=fraction,
            with_general=from_scratch(spec),
            recipe=recipe,
            template=self.template,
            compat=compat,
            workers=workers,
            folder=str(folder),
        )
        return Artefact(kind, fraction, key, folder, job)

    def baseline(self, target: Artefact, retain: Artefact, fraction: float) -> Artefact:
        """The evaluations of both models on the fraction's sets."""
        spec, workers = self.spec, self.spec.trial.workers_config
        settings = (spec.evaluation.model_dump(mode="json"), spec.benchmark.model_dump(mode="json"))
        facts = (target.key, retain.key, self.data, fraction, self.template, *settings, workers.precision)
        key = content_key("baseline", EVALUATION_VERSION, *facts)
        file = self.models / f"baseline-{fraction:g}-{key}.json"
        job = BaselineJob(
            target=str(target.path),
            target_digest=target.key,
            retain=str(retain.path),
            benchmark=spec.benchmark,
            fraction=fraction,
            template=self.template,
            compat=spec.trial.compat,
            evaluation=spec.evaluation,
            workers=workers,
            reference_cache=str(self.reference_cache),
            file=str(file),
        )
        return Artefact("baseline", fraction, key, file, job)


def from_scratch(spec: SweepSpec) -> bool:
    """Whether the base knows nothing before fine-tuning: then general facts are part of what it is trained on."""
    return spec.model.base == "tiny" and spec.model.target is None


def _base(spec: SweepSpec, models: Path, data: str) -> tuple[Artefact | None, str]:
    """The base that must be made here (None for a hub id or a folder), and what fine-tuning starts from."""
    name = spec.model.base
    if name not in MADE_BASES:
        return None, str(Path(name).resolve()) if Path(name).is_dir() else name
    seed = spec.model.recipe.seed
    key = content_key("base", name, *([data, seed] if name == "tiny" else []))
    folder = models / f"base-{name}-{key}"
    job = BaseJob.model_validate({"base": name, "benchmark": spec.benchmark, "seed": seed, "folder": str(folder)})
    return Artefact("base", None, key, folder, job), str(folder)


def _source_key(source: str, revision: str | None) -> str:
    """A folder is known by its content, a hub model by its name and revision."""
    from trainables.manifest import list_files

    folder = Path(source)
    return content_key("source", list_files(folder) if folder.is_dir() else source, revision)


def missing(spec: SweepSpec, root: Path) -> list[dict[str, Any]]:
    """What `prepare` would make: `[{"kind", "fraction", "key"}]`, in order."""
    return [{"kind": it.kind, "fraction": it.fraction, "key": it.key} for it in layout(spec, root).missing]


def trial_config(spec: SweepSpec, prepared: Prepared, name: str, hyperparameters: Any, folder: Path) -> TrialConfig:
    """The complete configuration of one trial."""
    from letheon.deciding import decision_of
    from trainables.config import TrialConfig

    return TrialConfig(
        trial=name,
        hyperparameters=hyperparameters,
        max_epochs=spec.scheduler.max_epochs,
        benchmark=spec.benchmark,
        with_general=from_scratch(spec),
        workers=spec.trial.workers_config,
        evaluation=spec.evaluation,
        target=str(prepared.target.path),
        target_digest=prepared.target.key,
        template=prepared.template,
        reference_cache=str(prepared.reference_cache),
        baseline=str(prepared.baseline[hyperparameters.forget_fraction].path),
        compat=spec.trial.compat,
        lora=spec.trial.lora,
        refusals=spec.trial.refusals,
        folder=str(folder),
        verdict=spec.verdict,
        decision=decision_of(spec),
    )
