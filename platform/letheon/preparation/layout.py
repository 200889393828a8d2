"""What a sweep needs before its first trial: models and baseline evaluations, named by content and made once.

A name is a digest of everything that could change the result, so a second sweep finds what the first one made, and a
changed recipe finds nothing. How it is made is in `trainables.jobs.prepare`, who makes it in `preparers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.preparation.artifacts import EVALUATION_VERSION, Artifact, Prepared, content_key
from trainables.jobs.specs import BaseJob, BaselineJob, FinetuneJob

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec

"""Raise it when the same recipe would give another model than before."""
"""Raise it when the same evaluation would say more, or something else, of the same models."""

MADE_BASES = ("tiny", "smollm2")


def layout(spec: SweepSpec, root: Path) -> Prepared:
    """Names and paths of everything the sweep needs. Reads the benchmark, makes nothing."""
    from letheon.preparation import synthetic
    from trainables.data.benchmarks.registry import load_benchmark
    from trainables.synthetic.name import SYNTHETIC

    if spec.benchmark.name == SYNTHETIC:
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
    """Makes artifacts with names that hold everything they depend on."""

    spec: SweepSpec
    models: Path
    reference_cache: Path
    data: str
    base: str
    base_key: str
    template: str

    def model(self, fraction: float | None, given: str | None) -> Artifact:
        """The target model (fraction None) or a retain model; `given` is the user's own."""
        kind = "target" if fraction is None else "retain"
        if given is not None:
            return Artifact(kind, fraction, _source_key(given, None), Path(given).resolve(), None)
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
        return Artifact(kind, fraction, key, folder, job)

    def baseline(self, target: Artifact, retain: Artifact, fraction: float) -> Artifact:
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
        return Artifact("baseline", fraction, key, file, job)


def from_scratch(spec: SweepSpec) -> bool:
    """Whether the base knows nothing before fine-tuning: then general facts are part of what it is trained on."""
    return spec.model.base == "tiny" and spec.model.target is None


def _base(spec: SweepSpec, models: Path, data: str) -> tuple[Artifact | None, str]:
    """The base that must be made here (None for a hub id or a folder), and what fine-tuning starts from."""
    name = spec.model.base
    if name not in MADE_BASES:
        return None, str(Path(name).resolve()) if Path(name).is_dir() else name
    seed = spec.model.recipe.seed
    key = content_key("base", name, *([data, seed] if name == "tiny" else []))
    folder = models / f"base-{name}-{key}"
    job = BaseJob.model_validate({"base": name, "benchmark": spec.benchmark, "seed": seed, "folder": str(folder)})
    return Artifact("base", None, key, folder, job), str(folder)


def _source_key(source: str, revision: str | None) -> str:
    """A folder is known by its content, a hub model by its name and revision."""
    from trainables.storage.manifest import list_files

    folder = Path(source)
    return content_key("source", list_files(folder) if folder.is_dir() else source, revision)


def missing(spec: SweepSpec, root: Path) -> list[dict[str, Any]]:
    """What `prepare` would make: `[{"kind", "fraction", "key"}]`, in order."""
    return [{"kind": it.kind, "fraction": it.fraction, "key": it.key} for it in layout(spec, root).missing]
