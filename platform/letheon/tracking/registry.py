"""Front points -> versions of a registered model, with aliases per forget fraction. Does not know the journal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.checkpoints.manifest import Manifest, VerificationError, read_manifest, verify
from letheon.checkpoints.select import RULES, choose, maximised_objectives
from letheon.common.paths import checkpoint_folder
from letheon.journal import Row
from letheon.pareto.front import verdict_of
from letheon.pareto.labels import HEADLINES, objectives_of
from letheon.tracking.aliases import VERDICT, describe_move, move
from letheon.tracking.cards import Cards
from letheon.tracking.store.artifacts import checkpoint_path, upload, verify_in_store
from letheon.tracking.store.errors import TrackingError
from trainables.storage.manifest import MANIFEST

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from letheon.tracking.store.runs import Handle

_ATTEMPTS = 2  # an upload that did not arrive whole is made once more
_TAGGED_METRICS = ("model_utility", "utility_ratio", "forget_quality", "log10_forget_quality", *HEADLINES)


@dataclass(frozen=True)
class RegisteredPoint:
    """A front point and the model version that holds its checkpoint, with the version's tags."""

    trial: str
    epoch: int
    fraction: str
    version: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Registration:
    """What `finish` registered: the model's name, a version a front point, alias -> version. `said`: lines about
    aliases that moved from another sweep's checkpoint, or stayed with one.
    """

    model: str
    points: tuple[RegisteredPoint, ...]
    aliases: Mapping[str, str]
    said: tuple[str, ...] = ()

    def uri(self, point: RegisteredPoint) -> str:
        return f"models:/{self.model}/{point.version}"

    def published(self, front: Mapping[str, Any]) -> dict[str, Any]:
        """The front with each checkpoint named by its model version instead of by a path of this machine."""
        uris = {(point.trial, point.epoch): self.uri(point) for point in self.points}

        def named(point: Mapping[str, Any] | None) -> dict[str, Any] | None:
            return (
                None if point is None else {**point, "checkpoint": uris.get((str(point["trial"]), int(point["epoch"])))}
            )

        strata = {
            key: {
                **stratum,
                "points": [named(point) for point in stratum["points"]],
                "knee": named(stratum.get("knee")),
            }
            for key, stratum in front["strata"].items()
        }
        return {**front, "strata": strata, "model": self.model, "aliases": dict(self.aliases)}


def alias_suffix(fraction: float | str) -> str:
    """The forget fraction in percent: whole numbers with two digits, else `p` for the point.

    0.05 -> "05", 0.10 -> "10", 0.005 -> "0p5", 0.125 -> "12p5". Different fractions give different suffixes.
    """
    percent = (Decimal(str(fraction)) * 100).normalize()
    if percent == percent.to_integral_value():
        return f"{int(percent):02d}"
    return f"{percent:f}".replace(".", "p")


def model_name(study: str) -> str:
    """The registered model of a study. MLflow takes neither `/` nor `:` in it."""
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
    """Upload, verify in place, then make the version; of one that is there already only tags and description are
    brought up to date. `rows`: the journal's, which say what a description compares with."""
    name, cards = model_name(study), Cards(parent.tags.get("letheon.sweep", ""), front, rows)
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
                **_tags(point, fraction, manifest, objectives_of(front)),
                **_of(parent),
                **cards.data_tags(fraction),
            }
            text = cards.describe(point, fraction, parent.tags.get("letheon.benchmark", ""), manifest.digest)
            found = existing.get((run.id, manifest.digest))
            if found is None:
                _store(client, run, folder, epoch, manifest)
                version = _new_version(client, name, run, manifest, tags, text)
            else:
                version = str(found.version)
                _update(client, name, found, tags, text)
            registered[trial, epoch] = RegisteredPoint(trial, epoch, fraction, version, tags)
        points.extend(registered.values())
        for rule in RULES if stratum["points"] else ():
            chosen = choose(stratum, rule, objectives=objectives_of(front))
            key = str(chosen["trial"]), int(chosen["epoch"])
            aliases[f"{rule}-{alias_suffix(fraction)}"] = registered[key].version
    return Registration(name, tuple(points), aliases)


def set_aliases(client: MlflowClient, registration: Registration) -> Registration:
    """Point every alias at its version, where it may move there (`aliases.move`); one that is there is not touched.

    Returns the registration with the aliases that are its own, and what there is to say of the others.
    """
    if not registration.aliases:
        return registration
    model = registration.model
    present = client.get_registered_model(model).aliases
    tags = {point.version: point.tags for point in registration.points}
    own: dict[str, str] = {}
    said: list[str | None] = []
    for alias, version in registration.aliases.items():
        old = None
        if alias in present and present[alias] != version:
            old = dict(client.get_model_version(model, present[alias]).tags)
        what = move(alias.rpartition("-")[0], old, tags[version])
        said.append(None if old is None else describe_move(alias, what, old, tags[version]))
        if what in ("set", "moved"):
            own[alias] = version
            if present.get(alias) != version:
                client.set_registered_model_alias(model, alias, version)
    return replace(registration, aliases=own, said=tuple(line for line in said if line is not None))


def versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All versions of a registered model; empty if there is no such model."""
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", max_results=1000, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def _versions(client: MlflowClient, name: str) -> dict[tuple[str, str], ModelVersion]:
    """(run, manifest digest) -> its oldest version, making the registered model if need be."""
    if not client.search_registered_models(f"name = '{name}'", max_results=1):
        client.create_registered_model(name, description="Checkpoints on the Pareto front, found by Letheon.")
    versions = sorted(versions_of(client, name), key=lambda version: -int(version.version))
    return {(v.run_id or "", v.tags.get("letheon.manifest", "")): v for v in versions}


def _update(client: MlflowClient, name: str, version: ModelVersion, tags: Mapping[str, str], text: str) -> None:
    """An audit adds metrics to a point that was registered before."""
    if version.description != text:
        client.update_model_version(name, str(version.version), text)
    for key, value in tags.items():
        if version.tags.get(key) != value:
            client.set_model_version_tag(name, str(version.version), key, value)


def _store(client: MlflowClient, run: Handle, folder: Path, epoch: int, manifest: Manifest) -> None:
    """Upload unless it is there; an alias or version is made only of what was read back and matched."""
    prefix = checkpoint_path(epoch)
    verify(folder / "model", manifest)
    for attempt in range(_ATTEMPTS + 1):
        try:
            verify_in_store(client, run, prefix, manifest)
            return
        except VerificationError:
            if attempt == _ATTEMPTS:
                raise
            upload(client, run.id, prefix, folder, manifest)


def _new_version(
    client: MlflowClient, name: str, run: Handle, manifest: Manifest, tags: dict[str, str], text: str
) -> str:
    source = f"{run.artifact_uri}/{checkpoint_path(manifest.epoch)}"
    version = client.create_model_version(
        name, source, run_id=run.id, tags=tags, description=text, await_creation_for=0
    )
    return str(version.version)


def _of(parent: Handle) -> dict[str, str]:
    return {"letheon.sweep_run": parent.id, "letheon.sweep": parent.tags.get("letheon.sweep", "")}


def _tags(point: Mapping[str, Any], fraction: str, manifest: Manifest, objectives: Mapping[str, str]) -> dict[str, str]:
    metrics = {key: value for key, value in point["metrics"].items() if isinstance(value, int | float)}
    finite = {key: value for key, value in metrics.items() if math.isfinite(value)}
    tags = {
        "letheon.trial": manifest.trial,
        "letheon.epoch": str(manifest.epoch),
        "letheon.fraction": fraction,
        "letheon.manifest": manifest.digest,
    }
    heights = maximised_objectives(objectives)(point)
    tags |= {
        name: f"{value:.6g}" for name, value in zip(("letheon.height_x", "letheon.height_y"), heights, strict=True)
    }
    tags[VERDICT] = verdict_of(point)
    tags["letheon.reasons"] = "; ".join((point.get("verdict") or {}).get("reasons", ()))
    method = point.get("config", {}).get("method")
    if method:
        tags["letheon.method"] = str(method)
    return tags | {key: f"{finite[key]:.6g}" for key in (*_TAGGED_METRICS, *objectives) if key in finite}
