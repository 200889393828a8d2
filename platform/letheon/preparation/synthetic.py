"""Lists the artifacts of a sweep over the synthetic experiment of the NPO paper.

Unlike other sweeps it has no base, no template and no tokens; the target and retain models of all seeds share one
folder each. The jobs run in `trainables.synthetic`.
"""

from __future__ import annotations

from pathlib import Path

from letheon.preparation.artifacts import Artifact, Prepared, content_key, folder_of
from letheon.spec.model import SweepSpec
from trainables.synthetic.jobs import SyntheticBaselineJob, SyntheticModelsJob
from trainables.synthetic.name import SYNTHETIC
from trainables.synthetic.rules import alpha_of

CODE_VERSION = 1
"""Raise it if equal alpha and seeds would give other models than before."""


def layout(spec: SweepSpec, root: Path) -> Prepared:
    """The names, paths and jobs of all artifacts, as `preparation.layout.layout` gives them. Builds nothing."""
    models = root.resolve() / "models"
    alpha, seeds = alpha_of(spec.benchmark), tuple(sorted(spec.seeds))
    facts = (SYNTHETIC, CODE_VERSION, alpha, seeds)

    def trained(kind: str, fraction: float | None) -> Artifact:
        key = content_key(kind, fraction, *facts)
        folder = folder_of(models, f"{SYNTHETIC}-{kind}", fraction, key)
        job = SyntheticModelsJob(alpha=alpha, seeds=seeds, fraction=fraction, folder=str(folder))
        return Artifact(kind, fraction, key, folder, job)

    def measured(fraction: float) -> Artifact:
        key = content_key("baseline", target.key, retain[fraction].key)
        file = models / f"{SYNTHETIC}-baseline-{fraction:g}-{key}.json"
        job = SyntheticBaselineJob(
            alpha=alpha,
            seeds=seeds,
            fraction=fraction,
            target=str(target.path),
            retain=str(retain[fraction].path),
            file=str(file),
        )
        return Artifact("baseline", fraction, key, file, job)

    target = trained("target", None)
    retain = {fraction: trained("retain", fraction) for fraction in spec.fractions}
    baseline = {fraction: measured(fraction) for fraction in spec.fractions}
    cache = root.resolve() / "cache" / "reference"
    return Prepared(content_key(*facts), None, target, retain, baseline, "none", cache)
