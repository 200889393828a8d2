"""Pulls a front checkpoint from MLflow into a local folder. The artifact store is treated as hostile.

Only the registry is trusted, for the run and the manifest digest of a point. Everything from the artifact store must
match that digest. Nothing downloaded is loaded or unpickled here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.checkpoints.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    VerificationError,
    check_name,
    check_names,
    is_digest,
    parse_manifest,
    verify,
)
from letheon.checkpoints.select import RULES, Bound, Selection, SelectionError, is_rule, select
from letheon.common.errors import LetheonError
from letheon.pareto.front import verdict_of
from letheon.tracking.reader import sweeps
from letheon.tracking.reader.partial import partial_folder, remove_incomplete
from letheon.tracking.store import connection
from letheon.tracking.store.artifacts import checkpoint_path, download, download_missing, listing, reader_of
from trainables.storage.manifest import MANIFEST

if TYPE_CHECKING:
    from letheon.tracking.reader.sweeps import Found, Version
    from letheon.tracking.store.artifact_readers import ArtifactReader
    from letheon.tracking.store.connection import Client

_MODEL = "model/"
_SPARE_BYTES = 64 * 2**20


class DiskSpaceError(LetheonError):
    """The disk has too little space for the checkpoint."""

    exit_code = 3


@dataclass(frozen=True)
class Pulled:
    """A pulled checkpoint. `path`: the Hugging Face folder, with `manifest.json` in it.

    `verdict`: whether it has forgotten. `doubt`: why it has not, and which other front points have.
    """

    sweep: str
    study: str
    trial: str
    epoch: int
    fraction: str
    model: str
    version: str
    digest: str
    bytes: int
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    path: Path
    verdict: str = "cannot say"
    doubt: str | None = None

    def how_to_load(self) -> str:
        """Python code that loads it."""
        if _is_random_features(self.path):
            return (
                "from safetensors.torch import load_file\n"
                f"tensors = load_file({str(self.path / 'model.safetensors')!r})"
            )
        return (
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
            f"model = AutoModelForCausalLM.from_pretrained({str(self.path)!r})\n"
            f"tokenizer = AutoTokenizer.from_pretrained({str(self.path)!r})"
        )


def _is_random_features(folder: Path) -> bool:
    """Whether it is a model of the synthetic experiment, which transformers cannot load."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return False
    return config.get("model_type") == "random_features"


@dataclass(frozen=True)
class Request:
    """Which checkpoint to pull, as on the command line. `fraction` and `min_utility` are shares of 1.

    `select`: a rule, TRIAL@EPOCH, or an alias of the registered model, such as `knee-05`.
    `bounds`: limits on any metric, audits included. `require`: the verdict that it must have.
    """

    select: str = "knee"
    fraction: float | None = None
    min_utility: float | None = None
    bounds: tuple[Bound, ...] = ()
    require: str | None = None


def pull(
    sweep: str, to: Path, root: Path, request: Request | None = None, uri: str | None = None, study: str | None = None
) -> Pulled:
    """Select, download, verify, and only then move the model folder to `to`, which must not exist.

    `sweep` is a name, or a model version by MLflow's address (`models:/study@knee-05`, `models:/study/3`). Only the
    tracking store is read, so the sweep need not exist under `root`. An interrupted pull keeps its complete files next
    to `to`, and the next one continues from them.

    Raises SelectionError (no or no unique selection, or `to` exists), SweepNotFoundError (unknown or unfinished sweep),
    VerificationError (the store's files are not the registered ones), TrackingError (no connection), PullInProgress,
    DiskSpaceError. After an error, `to` does not exist.
    """

    request = request or Request()
    if os.path.lexists(to):
        raise SelectionError(f"{to}: exists, and pull never overwrites; choose another folder")
    client = sweeps.open_store(root, uri)
    with connection.store_errors(client.tracking_uri, "pulling"):
        found = sweeps.find_sweep_or_version(client, sweep, study)
        front = sweeps.read_front(client, found.sweep, found.parent)
        named = found.version or _by_alias(client, found, request.select)
        if found.version is not None and request.select != Request.select:
            raise SelectionError(f"--select {request.select}: {sweep} is one checkpoint already; leave out one of them")
        rule = request.select if named is None else _point_of(named)
        chosen = select(front, rule, request.fraction, request.min_utility, request.bounds, request.require)
        version = named or sweeps.find_version(client, found.study, found.parent, chosen.trial, chosen.epoch)
        manifest = _download(client, version, chosen, to)
    return Pulled(
        sweep=found.sweep,
        study=found.study,
        trial=chosen.trial,
        epoch=chosen.epoch,
        fraction=chosen.fraction,
        model=version.name,
        version=str(version.version),
        digest=manifest.digest,
        bytes=manifest.bytes,
        config=chosen.point.get("config", {}),
        metrics=chosen.point["metrics"],
        path=to,
        verdict=verdict_of(chosen.point),
        doubt=chosen.doubt,
    )


def _by_alias(client: Client, found: Found, rule: str) -> Version | None:
    """The version that an alias of the sweep's model points at; None if `rule` is a rule or a point of the front."""

    if is_rule(rule):
        return None
    aliases = sweeps.aliases_of(client, found.study)
    if rule not in aliases:
        there = f" or an alias: {', '.join(sorted(aliases))}" if aliases else ""
        raise SelectionError(f"--select {rule!r}: must be one of {', '.join(RULES)}, TRIAL@EPOCH{there}")
    version = sweeps.version_by_alias(client, found.study, rule)
    if version.tags.get("letheon.sweep_run") != found.parent.id:
        owner = version.tags.get("letheon.sweep") or "none"
        raise SelectionError(
            f"--select {rule}: now a checkpoint of another sweep, {owner!r}; pull that sweep, or select by a rule"
        )
    return version


def _point_of(version: Version) -> str:
    return f"{version.tags.get('letheon.trial', '')}@{version.tags.get('letheon.epoch', '')}"


def _download(client: Client, version: Version, chosen: Selection, to: Path) -> Manifest:

    digest = str(version.tags.get("letheon.manifest", ""))
    if not is_digest(digest):
        raise VerificationError(f"{version.name} version {version.version}: no digest, so nothing can be verified")
    prefix = checkpoint_path(chosen.epoch)
    with partial_folder(to, digest) as folder:
        reader = reader_of(client, str(version.run_id))
        manifest = _verified_manifest(reader, prefix, digest, folder)
        if (manifest.trial, manifest.epoch) != (chosen.trial, chosen.epoch):
            raise VerificationError(
                f"{prefix}/{MANIFEST}: is of {manifest.trial}@{manifest.epoch}, not of {chosen.trial}@{chosen.epoch}"
            )
        remove_incomplete(folder, manifest)
        _check_disk_space(folder, manifest, to)
        download_missing(reader, prefix, manifest, folder)
        model = folder / "model"
        verify(model, manifest)
        os.replace(folder / MANIFEST, model / MANIFEST)
        if os.path.lexists(to):
            raise SelectionError(f"{to}: created by another process meanwhile; choose another folder")
        os.replace(model, to)
    return manifest


def _verified_manifest(reader: ArtifactReader, prefix: str, digest: str, folder: Path) -> Manifest:
    """Download the manifest, and check that it has this digest and agrees with the store's listing."""

    sizes = listing(reader, prefix)
    if MANIFEST not in sizes:
        raise VerificationError(f"{prefix}/{MANIFEST}: missing, so nothing can be verified")
    if (sizes[MANIFEST] or 0) > MAX_MANIFEST_BYTES:
        raise VerificationError(f"{prefix}/{MANIFEST}: larger than any manifest")
    data = download(reader, f"{prefix}/{MANIFEST}", folder / MANIFEST, MAX_MANIFEST_BYTES).read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise VerificationError(f"{prefix}/{MANIFEST}: SHA-256 differs from the registered one; the store was changed")
    manifest = parse_manifest(data, f"{prefix}/{MANIFEST}")
    del sizes[MANIFEST]
    _check_listing(sizes, manifest, prefix)
    return manifest


def _check_listing(sizes: Mapping[str, int | None], manifest: Manifest, prefix: str) -> None:
    """Check the listed names and sizes against the manifest, before any file is downloaded."""
    for path, size in sizes.items():
        name = path.removeprefix(_MODEL)
        check_name(name)
        if not path.startswith(_MODEL):
            raise VerificationError(f"{prefix}: {path!r} is not in the manifest")
        expected = manifest.files.get(name)
        if expected is not None and size is not None and size != expected.bytes:
            raise VerificationError(f"{prefix}/{path}: has {size} bytes, the manifest says {expected.bytes}")
    check_names({path.removeprefix(_MODEL) for path in sizes}, manifest, prefix)


def _check_disk_space(folder: Path, manifest: Manifest, to: Path) -> None:
    missing = sum(entry.bytes for name, entry in manifest.files.items() if not (folder / "model" / name).exists())
    free = shutil.disk_usage(folder).free
    if free < missing + _SPARE_BYTES:
        raise DiskSpaceError(f"{to}: needs {missing:,} more bytes, {free:,} free; free space or choose another folder")
