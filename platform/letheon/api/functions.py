"""`letheon.open` finds a sweep, `letheon.evaluate` measures a model folder."""

from __future__ import annotations

import os
from pathlib import Path

from letheon.api.arguments import require_share, root_folder
from letheon.api.driver import starting
from letheon.api.evaluate import Evaluation, evaluate_model
from letheon.api.records import StoredSweep
from letheon.api.run import Run
from letheon.api.sweep import Sweep
from letheon.common.errors import NotFound, did_you_mean
from letheon.journal.folders import local_folders


def open(
    name: str,
    root: str | os.PathLike[str] | None = None,
    tracking_uri: str | None = None,
    study: str | None = None,
) -> Run:
    """A sweep by its name, finished or running: of this root, else of the tracking store.

    Args:
        name: of the sweep.
        root: as in `Sweep.start`.
        tracking_uri: an MLflow store, which is then the only place to look; default: MLFLOW_TRACKING_URI, else the
            store under the root.
        study: the sweep file's name, if several studies of the store have a sweep of this name. The newest one counts.

    Raises:
        NotFound: there is none, with the names that there are. TrackingError: the store does not answer.
    """
    place = root_folder(root)
    folders = {folder.name: folder for folder in local_folders(place)}
    folders |= {starts: place / "sweeps" / starts for starts in starting(place)}
    if tracking_uri is None and name in folders:
        return Run.at(folders[name])
    return _stored(name, place, tracking_uri, study, [] if tracking_uri else list(folders))


def _stored(name: str, root: Path, uri: str | None, study: str | None, here: list[str]) -> Run:
    from letheon.tracking.reader.browse import Browser

    browser = Browser(root, uri)
    sweeps = browser.sweeps() if browser.exists() else []
    named = [sweep for sweep in sweeps if sweep.name == name and study in (None, sweep.study)]
    if not named:
        known = sorted({*here, *(sweep.name for sweep in sweeps)})
        of = "" if study is None else f" of study {study!r}"
        place = f"not in {browser.where}" if uri else f"neither under {root} nor in {browser.where}"
        raise NotFound(f"sweep {name!r}{of}: {place}; {did_you_mean(name, known)}")
    studies = sorted({sweep.study for sweep in named})
    if len(studies) > 1:
        raise NotFound(f"sweep {name!r}: several studies have one; add study=… with one of {', '.join(studies)}")
    return Run(StoredSweep(browser, named[0]), root, tracking_uri=uri)


def evaluate(
    model: str | os.PathLike[str],
    benchmark: Sweep | str | os.PathLike[str] | None = None,
    *,
    fraction: float | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Metrics of a model folder, beside those of its target and retain models if they are known. Runs here.

    Args:
        model: a Hugging Face folder, such as one from `Run.pull`.
        benchmark: a sweep, a sweep file or the name of a shipped one, whose benchmark is used; default: the one that
            the folder records.
        fraction: forget fraction, 0 to 1; default: the folder's, with `benchmark` its largest.
        out: file to write every row to, in the format of open-unlearning's TOFU_EVAL.json.

    Raises:
        NotFound: `model` is not a model folder. LetheonError: no benchmark is known, the fraction is not a share, or
            `out` cannot be written. SpecErrors: the sweep file is refused.
    """
    require_share("fraction", fraction)
    if benchmark is not None and not isinstance(benchmark, Sweep):
        benchmark = Sweep.from_file(benchmark)
    spec = None if benchmark is None else benchmark.spec
    return Evaluation(evaluate_model(Path(model), spec, fraction, None if out is None else Path(out)))
