"""Hands what a sweep still needs to resident workers, stage by stage. What that is, `preparation` knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.errors import LetheonError
from letheon.preparation import Artefact, Prepared, layout

if TYPE_CHECKING:
    from letheon.spec import SweepSpec

Say = Callable[[str], None]


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
        with _preparers(spec, min(slots, len(prepared.missing)), logs) as actors:
            for stage in prepared.stages:
                todo = [artefact for artefact in stage if artefact.job and not artefact.exists]
                _run(todo, actors, logs, say)
    return prepared


def _run(todo: Sequence[Artefact], actors: Sequence[Any], logs: Path, say: Say) -> None:
    from ray.util import ActorPool

    pool: Any = ActorPool(list(actors))
    jobs = [(artefact, artefact.job.model_dump(mode="json")) for artefact in todo if artefact.job]
    results = pool.map_unordered(lambda actor, job: actor.run.remote(job[0].key, job[1]), jobs)
    by_key = {artefact.key: artefact for artefact in todo}
    for key, report in results:
        artefact = by_key[key]
        of = "" if artefact.fraction is None else f" of fraction {artefact.fraction:g}"
        if "failed" in report:
            raise PreparationFailed(f"{artefact.kind}{of} could not be made: {report['failed']}; see {logs}")
        seconds = f" in {report['seconds']:.0f} s (loss {report['loss']:.4f})" if "seconds" in report else ""
        say(f"prepared {artefact.kind}{of}{seconds}")


class Preparer:
    """A Ray actor with resident workers, for jobs that need no verdicts."""

    def __init__(self, settings: Any) -> None:
        from letheon.resident import ResidentWorkers

        self._resident = ResidentWorkers(settings)

    def run(self, key: str, job: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return key, self._resident.run_epoch(self._resident.submit(job), 1)

    def close(self) -> None:
        self._resident.close()


@contextmanager
def _preparers(spec: SweepSpec, count: int, logs: Path) -> Iterator[list[Any]]:
    import ray

    from letheon.resident import ResidentSettings

    settings = ResidentSettings(workers=spec.trial.workers_config, storage=logs.parent / "train", logs=logs)
    actor: Any = ray.remote(Preparer)
    actor = actor.options(num_cpus=0, resources={"node:__internal_head__": 0.001})
    actors = [actor.remote(settings) for _ in range(count)]
    try:
        yield actors
    finally:
        ray.get([each.close.remote() for each in actors])
        for each in actors:
            ray.kill(each)
