"""Lists the models and baseline evaluations that a sweep needs, named by content so that each is built once.

A name is a digest of everything that could change the result: a second sweep finds what the first one built, and a
changed recipe finds nothing. The jobs run in `trainables.jobs.prepare`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from letheon.preparation.artifacts import EVALUATION_VERSION, LOG, Artifact, Prepared, content_key, folder_of
from letheon.preparation.retain_logs import log_artifact
from letheon.spec.model import NAMED_BASES, SweepSpec
from trainables.config import TinySize
from trainables.jobs.specs import BaseJob, BaselineJob, FinetuneJob


def layout(spec: SweepSpec, root: Path) -> Prepared:
    """The names, paths and jobs of all artifacts. Reads the benchmark, builds nothing."""
    from letheon.preparation import synthetic
    from trainables.data.benchmarks.registry import load_benchmark
    from trainables.synthetic.name import SYNTHETIC

    if spec.benchmark.name == SYNTHETIC:
        return synthetic.layout(spec, root)
    models = root.resolve() / "models"
    data = load_benchmark(spec.benchmark).digest
    base, source = _base(spec, models, data)
    template = spec.model.template or ("plain" if from_scratch(spec) else "auto")
    base_key = base.key if base else _source_key(source, spec.model.revision)
    cache = root.resolve() / "cache" / "reference"
    namer = _Namer(spec, models, cache, data, source, base_key, template)
    given, logs = spec.model.retain or {}, spec.model.retain_log or {}
    target = namer.model(None, spec.model.target)
    retain = {
        fraction: log_artifact(spec, fraction) if fraction in logs else namer.model(fraction, given.get(fraction))
        for fraction in spec.fractions
    }
    if all(model.job is None for model in (target, *retain.values())):
        base = None  # nothing is fine-tuned
    baseline = {fraction: namer.baseline(target, retain[fraction], fraction) for fraction in spec.fractions}
    return Prepared(data, base, target, retain, baseline, template, cache)


@dataclass(frozen=True)
class _Namer:
    """Describes artifacts with a name that depends on everything that they depend on."""

    spec: SweepSpec
    models: Path
    reference_cache: Path
    data: str
    base: str
    base_key: str
    template: str

    def model(self, fraction: float | None, given: str | None) -> Artifact:
        """The target model (fraction None) or a retain model; `given` is the path of the user's own."""
        kind = "target" if fraction is None else "retain"
        if given is not None:
            path = Path(given)
            return Artifact(kind, fraction, _source_key(given, None), path.resolve() if path.is_dir() else path, None)
        spec, workers = self.spec, self.spec.trial.workers_config
        recipe = spec.model.recipe
        facts = (self.base_key, self.data, recipe.model_dump(mode="json"), self.template, workers.precision)
        compat = spec.trial.compat
        unusual = ["open_unlearning"] if compat == "open_unlearning" else []
        unusual += [workers.memory] if workers.memory != "exact" else []
        key = content_key(kind, fraction, *facts, *unusual)
        folder = folder_of(self.models, kind, fraction, key)
        job = FinetuneJob(
            base=self.base,
            revision=None if spec.model.base in NAMED_BASES else spec.model.revision,
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
        """The evaluations of both models on the fraction's data sets."""
        spec, workers = self.spec, self.spec.trial.workers_config
        settings = (spec.evaluation.model_dump(mode="json"), spec.benchmark.model_dump(mode="json"))
        facts = (target.key, retain.key, self.data, fraction, self.template, *settings, workers.precision)
        key = content_key("baseline", EVALUATION_VERSION, *facts)
        file = self.models / f"baseline-{fraction:g}-{key}.json"
        job = BaselineJob(
            target=str(target.path),
            target_digest=target.key,
            retain=str(retain.path),
            retain_is_log=retain.kind == LOG,
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
    """Whether fine-tuning starts from random weights; then the training data include general facts."""
    return spec.model.base == "tiny" and spec.model.target is None


def _base(spec: SweepSpec, models: Path, data: str) -> tuple[Artifact | None, str]:
    """The base to build (None for a hub id or a folder), and the model that fine-tuning starts from."""
    name = spec.model.base
    if name not in NAMED_BASES:
        return None, str(Path(name).resolve()) if Path(name).is_dir() else name
    seed = spec.model.recipe.seed
    size = spec.model.size
    chosen = [size.model_dump(mode="json")] if size != TinySize() else []
    key = content_key("base", name, *([data, seed, *chosen] if name == "tiny" else []))
    folder = models / f"base-{name}-{key}"
    facts = {"base": name, "benchmark": spec.benchmark, "size": size, "seed": seed, "folder": str(folder)}
    job = BaseJob.model_validate(facts)
    return Artifact("base", None, key, folder, job), str(folder)


def _source_key(source: str, revision: str | None) -> str:
    """A folder is identified by its content, a hub model by its name and revision."""
    from trainables.storage.manifest import list_files

    folder = Path(source)
    return content_key("source", list_files(folder) if folder.is_dir() else source, revision)
