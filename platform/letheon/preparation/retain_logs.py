"""Published evaluation logs that a sweep file names in place of retain models: checked, and what they lack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from letheon.common.errors import LetheonError
from letheon.journal import stratum_of
from letheon.preparation.artifacts import LOG, Artifact, content_key

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from trainables.evaluation.metrics.details import Details


class RetainLogRefused(LetheonError):
    """The file is not an evaluation log of the benchmark's forget rows."""


def log_artifact(spec: SweepSpec, fraction: float) -> Artifact:
    """The log of a fraction, identified by its content. Raises RetainLogRefused if its rows are not the benchmark's."""
    from trainables.storage.manifest import sha256

    file = Path((spec.model.retain_log or {})[fraction])
    _details(spec, fraction)
    return Artifact(LOG, fraction, content_key(LOG, sha256(file)), file, None)


def log_notes(spec: SweepSpec) -> dict[str, str]:
    """What no trial will have because the retain model's log lacks it: a sentence by forget fraction (as text).

    Raises RetainLogRefused.
    """
    from trainables.jobs.retain_log import log_note

    logs = [fraction for fraction in spec.fractions if fraction in (spec.model.retain_log or {})]
    return {stratum_of(fraction): log_note(_details(spec, fraction)) for fraction in logs}


def _details(spec: SweepSpec, fraction: float) -> Details:
    from trainables.data.benchmarks.registry import load_benchmark
    from trainables.evaluation.logs.log import LogError
    from trainables.jobs.retain_log import read_retain_log

    file = Path((spec.model.retain_log or {})[fraction])
    try:
        return read_retain_log(file, load_benchmark(spec.benchmark).split(fraction))
    except LogError as error:
        raise RetainLogRefused(f"model.retain_log: {error}") from None
