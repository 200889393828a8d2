"""Registers front points as versions of a registered model, with aliases per forget fraction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.checkpoints.manifest import Manifest, VerificationError, read_manifest, verify
from letheon.checkpoints.select import RULES, choose, maximised_objectives
from letheon.common.paths import checkpoint_folder
from letheon.journal import Row
from letheon.pareto.front import reasons_of, verdict_of
from letheon.pareto.labels import HEADLINES, objectives_of
from letheon.tracking.aliases import VERDICT, alias_move, describe_move
from letheon.tracking.descriptions import VersionDescriptions
from letheon.tracking.store.artifacts import checkpoint_path, upload, verify_in_store
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.store.runs import every_page
from trainables.storage.manifest import MANIFEST

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from letheon.tracking.store.runs import Handle

_UPLOADS = 2  # an upload that did not arrive whole is repeated once
_TAGGED_METRICS = ("model_utility", "utility_ratio", "forget_quality", "log10_forget_quality", *HEADLINES)


@dataclass(frozen=True)
class RegisteredPoint:
    """A front point, the model version of its checkpoint, and the version's tags."""

    trial: str
    epoch: int
    fraction: str
    version: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Registration:
    """What `Tracker.finish` registered: the model's name, a version per front point, alias -> version.

    `alias_notes`: a line per alias that moved from another sweep's checkpoint, or stayed with one.
    """

    model: str
    points: tuple[RegisteredPoint, ...]
    aliases: Mapping[str, str]
    alias_notes: tuple[str, ...] = ()

    def published(self, front: Mapping[str, Any]) -> dict[str, Any]:
        """The front with each checkpoint given by the URI of its model version instead of a path on this machine."""
        uris = {(point.trial, point.epoch): f"models:/{self.model}/{point.version}" for point in self.points}

        def with_uri(point: Mapping[str, Any]) -> dict[str, Any]:
            return {**point, "checkpoint": uris.get((str(point["trial"]), int(point["epoch"])))}

        strata = {}
        for key, stratum in front["strata"].items():
            knee = stratum.get("knee")
            points = [with_uri(point) for point in stratum["points"]]
            strata[key] = {**stratum, "points": points, "knee": None if knee is None else with_uri(knee)}
        return {**front, "strata": strata, "model": self.model, "aliases": dict(self.aliases)}


def alias_suffix(fraction: float | str) -> str:
    """The forget fraction in percent: 0.05 -> "05", 0.10 -> "10", 0.005 -> "0p5", 0.125 -> "12p5". One to one."""
    percent = (Decimal(str(fraction)) * 100).normalize()
    if percent == percent.to_integral_value():
        return f"{int(percent):02d}"
    return f"{percent:f}".replace(".", "p")


def model_name(study: str) -> str:
    """The name of a study's registered model, in which MLflow allows neither `/` nor `:`."""
    return study.replace("/", "-").replace(":", "-")


def register_front(
    client: MlflowClient,
    study: str,
    parent: Handle,
    children: Mapping[str, Handle],
    front: Mapping[str, Any],
    trials: Path,
    rows: Sequence[Row] = (),
) -> Registration:
    """Upload each checkpoint, verify it in the store, then create its version.

    An existing version only gets new tags and a new description. `rows`: the journal's, for the descriptions.
    Raises TrackingError, and VerificationError for a checkpoint that does not match its manifest.
    """
    name, objectives = model_name(study), objectives_of(front)
    descriptions = VersionDescriptions(parent.tags.get("letheon.sweep", ""), front, rows)
    points: list[RegisteredPoint] = []
    aliases: dict[str, str] = {}
    existing = _versions(client, name) if any(s["points"] for s in front["strata"].values()) else {}
    for fraction, stratum in front["strata"].items():
        registered: dict[tuple[str, int], RegisteredPoint] = {}
        for point in stratum["points"]:
            trial, epoch = str(point["trial"]), int(point["epoch"])
            run = children.get(trial)
            if run is None:
                raise TrackingError(
                    f"front point {trial}@{epoch}: trial {trial} is not in the journal; run `letheon resume`"
                )
            folder = checkpoint_folder(trials, trial, epoch)
            manifest = read_manifest(folder / MANIFEST)
            tags = {
                **_tags(point, fraction, manifest, objectives),
                "letheon.sweep_run": parent.id,
                "letheon.sweep": parent.tags.get("letheon.sweep", ""),
                **descriptions.data_tags(fraction),
            }
            text = descriptions.describe(point, fraction, parent.tags.get("letheon.benchmark", ""), manifest.digest)
            found = existing.get((run.id, manifest.digest))
            if found is None:
                _upload(client, run, folder, epoch, manifest)
                version = _create_version(client, name, run, manifest, tags, text)
            else:
                version = str(found.version)
                _update_version(client, name, found, tags, text)
            registered[trial, epoch] = RegisteredPoint(trial, epoch, fraction, version, tags)
        points.extend(registered.values())
        for rule in RULES if stratum["points"] else ():
            chosen = choose(stratum, rule, objectives=objectives)
            key = str(chosen["trial"]), int(chosen["epoch"])
            aliases[f"{rule}-{alias_suffix(fraction)}"] = registered[key].version
    return Registration(name, tuple(points), aliases)


def set_aliases(client: MlflowClient, registration: Registration) -> Registration:
    """Point every alias at its version if it may move there (`alias_move`), unless it already does.

    Returns the registration with the aliases that now point at its versions, and notes on the others.
    """
    if not registration.aliases:
        return registration
    model = registration.model
    present = client.get_registered_model(model).aliases
    tags = {point.version: point.tags for point in registration.points}
    own: dict[str, str] = {}
    notes: list[str | None] = []
    for alias, version in registration.aliases.items():
        old = None
        if alias in present and present[alias] != version:
            old = dict(client.get_model_version(model, present[alias]).tags)
        what = alias_move(alias.rpartition("-")[0], old, tags[version])
        notes.append(None if old is None else describe_move(alias, what, old, tags[version]))
        if what in ("set", "moved"):
            own[alias] = version
            if present.get(alias) != version:
                client.set_registered_model_alias(model, alias, version)
    return replace(registration, aliases=own, alias_notes=tuple(note for note in notes if note is not None))


def versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All versions of a registered model; empty if it does not exist."""
    return every_page(partial(client.search_model_versions, f"name = '{name}'"))


def _versions(client: MlflowClient, name: str) -> dict[tuple[str, str], ModelVersion]:
    """(run, manifest digest) -> its oldest version. Creates the registered model if necessary."""
    if not client.search_registered_models(f"name = '{name}'", max_results=1):
        client.create_registered_model(name, description="Checkpoints on the Pareto front, found by Letheon.")
    versions = sorted(versions_of(client, name), key=lambda version: -int(version.version))
    return {(v.run_id or "", v.tags.get("letheon.manifest", "")): v for v in versions}


def _update_version(client: MlflowClient, name: str, version: ModelVersion, tags: Mapping[str, str], text: str) -> None:
    """Write what changed since it was registered: an audit adds metrics."""
    if version.description != text:
        client.update_model_version(name, str(version.version), text)
    for key, value in tags.items():
        if version.tags.get(key) != value:
            client.set_model_version_tag(name, str(version.version), key, value)


def _upload(client: MlflowClient, run: Handle, folder: Path, epoch: int, manifest: Manifest) -> None:
    """Upload unless the store has it. Raises VerificationError unless the files read back match the manifest."""
    prefix = checkpoint_path(epoch)
    verify(folder / "model", manifest)
    for attempt in range(_UPLOADS + 1):
        try:
            verify_in_store(client, run, prefix, manifest)
            return
        except VerificationError:
            if attempt == _UPLOADS:
                raise
            upload(client, run.id, prefix, folder, manifest)


def _create_version(
    client: MlflowClient, name: str, run: Handle, manifest: Manifest, tags: dict[str, str], text: str
) -> str:
    source = f"{run.artifact_uri}/{checkpoint_path(manifest.epoch)}"
    version = client.create_model_version(
        name, source, run_id=run.id, tags=tags, description=text, await_creation_for=0
    )
    return str(version.version)


def _tags(point: Mapping[str, Any], fraction: str, manifest: Manifest, objectives: Mapping[str, str]) -> dict[str, str]:
    numbers = {key: value for key, value in point["metrics"].items() if isinstance(value, int | float)}
    finite = {key: value for key, value in numbers.items() if math.isfinite(value)}
    heights = dict(zip("xyz", maximised_objectives(objectives)(point), strict=False))
    tags = {
        "letheon.trial": manifest.trial,
        "letheon.epoch": str(manifest.epoch),
        "letheon.fraction": fraction,
        "letheon.manifest": manifest.digest,
        **{f"letheon.height_{axis}": f"{value:.6g}" for axis, value in heights.items()},
        VERDICT: verdict_of(point),
        "letheon.reasons": reasons_of(point),
    }
    method = point.get("config", {}).get("method")
    if method:
        tags["letheon.method"] = str(method)
    return tags | {key: f"{finite[key]:.6g}" for key in (*_TAGGED_METRICS, *objectives) if key in finite}
