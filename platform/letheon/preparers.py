"""Hands what a sweep still needs to resident workers, stage by stage. What that is, `preparation` knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.errors import LetheonError
from letheon.preparation import Artefact, Prepared, layout

if TYPE_CHECKING:
    from letheon.spec import SweepSpec
    from trainables.config import Frozen

Say = Callable[[str], None]

ABANDON_SECONDS = 2.0
"""How long workers may take to leave their loop when their job is of no use any more; then they are ended."""


class PreparationFailed(LetheonError):
    """A model could not be made."""

    exit_code = 3


def prepare(spec: SweepSpec, root: Path, slots: int, logs: Path, say: Say = print) -> Prepared:
    """Make what is missing, on a Ray that is already there, with `slots` resident worker groups.

    Raises:
        PreparationFailed: with the reason and where the log is.
    """
    prepared = layout(spec, root)
    if prepared.missing:
        with preparers(spec, min(slots, len(prepared.missing)), logs) as actors:
            for stage in prepared.stages:
                todo = [artefact for artefact in stage if artefact.job and not artefact.exists]
                _run(todo, actors, logs, say)
    return prepared


def _run(todo: Sequence[Artefact], actors: Sequence[Any], logs: Path, say: Say) -> None:
    by_key = {artefact.key: artefact for artefact in todo}
    for key, report in run_jobs({artefact.key: artefact.job for artefact in todo if artefact.job}, actors):
        artefact = by_key[key]
        of = "" if artefact.fraction is None else f" of fraction {artefact.fraction:g}"
        if "failed" in report:
            raise PreparationFailed(f"{artefact.kind}{of} could not be made: {report['failed']}; see {logs}")
        seconds = f" in {report['seconds']:.0f} s (loss {report['loss']:.4f})" if "seconds" in report else ""
        say(f"prepared {artefact.kind}{of}{seconds}")


def run_jobs(jobs: Mapping[str, Frozen], actors: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Hand out jobs in their order; their keys and reports as they come. A job that failed reports `failed`."""
    from ray.util import ActorPool

    pool: Any = ActorPool(list(actors))
    content = [(key, job.model_dump(mode="json")) for key, job in jobs.items()]
    yield from pool.map_unordered(lambda actor, job: actor.run.remote(*job), content)


class Preparer:
    """A Ray actor with resident workers, for jobs that need no verdicts."""

    def __init__(self, settings: Any) -> None:
        from letheon.resident import ResidentWorkers

        self._resident = ResidentWorkers(settings)

    def run(self, key: str, job: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return key, self._resident.run_epoch(self._resident.submit(job), 1)

    def close(self, patience: float) -> None:
        self._resident.close(patience)


@contextmanager
def preparers(spec: SweepSpec, count: int, logs: Path) -> Iterator[list[Any]]:
    """Resident worker groups, closed at the end of the block."""
    import ray

    from letheon.resident import CLOSE_SECONDS, ResidentSettings

    settings = ResidentSettings(workers=spec.trial.workers_config, storage=logs.parent / "train", logs=logs)
    actor: Any = ray.remote(Preparer)
    # A second call at the same time: closing must not wait for the job that an interruption abandons.
    actor = actor.options(num_cpus=0, resources={"node:__internal_head__": 0.001}, max_concurrency=2)
    actors = [actor.remote(settings) for _ in range(count)]
    patience = CLOSE_SECONDS
    try:
        yield actors
    except BaseException:
        patience = ABANDON_SECONDS
        raise
    finally:
        ray.get([each.close.remote(patience) for each in actors])
        for each in actors:
            ray.kill(each)
