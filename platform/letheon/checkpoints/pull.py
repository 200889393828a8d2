"""Takes a front checkpoint out of MLflow into a local folder. The artifact store is treated as hostile.

What is trusted: the tracking server's word on which run and which manifest digest belong to a point. Everything that
comes from the artifact store must then match that digest. Nothing downloaded is ever loaded or unpickled here.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.checkpoints.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    VerificationError,
    check_name,
    check_names,
    parse_manifest,
    verify,
)
from letheon.checkpoints.select import Bound, SelectionError, select
from trainables.manifest import MANIFEST

if TYPE_CHECKING:
    from letheon.tracking.store import Client

_MODEL = "model/"
_SPARE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Pulled:
    """What was pulled, and where it is now. `path` holds the Hugging Face folder with `manifest.json` in it."""

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

    def how_to_load(self) -> str:
        """Python lines that load it."""
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
    """Whether this is a model of the synthetic experiment, which transformers does not know."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return False
    return config.get("model_type") == "random_features"


@dataclass(frozen=True)
class Request:
    """The choice of a checkpoint as the command line gives it. `fraction` and `min_utility` are shares of 1.

    `bounds`: limits on any metric, such as those of an audit.
    """

    select: str = "knee"
    fraction: float | None = None
    min_utility: float | None = None
    bounds: tuple[Bound, ...] = ()


def pull(
    sweep: str, to: Path, root: Path, request: Request | None = None, uri: str | None = None, study: str | None = None
) -> Pulled:
    """Select, download, verify, and only then move the model folder to `to`, which must not exist.

    Raises SelectionError (nothing or nothing unique selected, or `to` is taken), SweepNotFoundError (no such sweep, or
    not finished), VerificationError (the store's files are not the registered ones), TrackingError (no connection).
    Whatever goes wrong, `to` does not exist afterwards.
    """
    from letheon.tracking import read, store
    from letheon.tracking.artifacts import checkpoint_path

    request = request or Request()
    if os.path.lexists(to):
        raise SelectionError(f"{to}: exists already, and nothing is ever overwritten; choose another folder")
    client = read.open_store(root, uri)
    with store.explained(client.tracking_uri, "pulling"):
        owner, parent = read.find_sweep(client, sweep, study)
        front = read.read_front(client, sweep, parent)
        chosen = select(front, request.select, request.fraction, request.min_utility, request.bounds)
        version = read.find_version(client, owner, parent, chosen.trial, chosen.epoch)
        manifest = _download(client, str(version.run_id), checkpoint_path(chosen.epoch), version.tags, to)
    return Pulled(
        sweep=sweep,
        study=owner,
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
    )


def _download(client: Client, run_id: str, prefix: str, tags: Mapping[str, str], to: Path) -> Manifest:
    from letheon.tracking.artifacts import fetch

    with _folder_beside(to) as temporary:
        manifest = _checked_manifest(client, run_id, prefix, tags, temporary)
        if shutil.disk_usage(temporary).free < manifest.bytes + _SPARE_BYTES:
            raise VerificationError(f"{to}: the checkpoint has {manifest.bytes:,} bytes, more than the disk has free")
        fetch(client, run_id, prefix, manifest, temporary)
        verify(temporary / "model", manifest)
        os.replace(temporary / MANIFEST, temporary / "model" / MANIFEST)
        _move(temporary / "model", to)
    return manifest


def _checked_manifest(client: Client, run_id: str, prefix: str, tags: Mapping[str, str], temporary: Path) -> Manifest:
    """The manifest, whose digest is the version's tag, after the store's listing was found to agree with it."""
    from letheon.tracking.artifacts import download, listing
    from letheon.tracking.store import local_folder

    artifacts = local_folder(client.get_run(run_id).info.artifact_uri or "")
    if artifacts is not None:
        _refuse_links(artifacts / prefix)
    sizes = listing(client, run_id, prefix)
    if MANIFEST not in sizes:
        raise VerificationError(f"run {run_id}: {prefix}/{MANIFEST} is missing, so nothing can be verified")
    if (sizes[MANIFEST] or 0) > MAX_MANIFEST_BYTES:
        raise VerificationError(f"run {run_id}: {prefix}/{MANIFEST} is larger than any manifest")
    data = download(client, run_id, f"{prefix}/{MANIFEST}", temporary / MANIFEST).read_bytes()
    manifest = parse_manifest(data, f"{prefix}/{MANIFEST}")
    if manifest.digest != tags.get("letheon.manifest"):
        raise VerificationError(f"{prefix}/{MANIFEST}: its SHA-256 is not the registered one; the store was changed")
    del sizes[MANIFEST]
    _check_listing(sizes, manifest, prefix)
    return manifest


def _check_listing(sizes: Mapping[str, int | None], manifest: Manifest, prefix: str) -> None:
    """Names and sizes as the store lists them, before a byte of them is fetched."""
    for path, size in sizes.items():
        name = path.removeprefix(_MODEL)
        check_name(name)
        if not path.startswith(_MODEL):
            raise VerificationError(f"{prefix}: {path!r} is not in the manifest")
        expected = manifest.files.get(name)
        if expected is not None and size is not None and size != expected.bytes:
            raise VerificationError(f"{prefix}/{path}: has {size} bytes, the manifest says {expected.bytes}")
    check_names({path.removeprefix(_MODEL) for path in sizes}, manifest, prefix)


def _refuse_links(folder: Path) -> None:
    """In a store on a mounted file system a link could name any file of this machine."""
    for path in (folder, *sorted(folder.rglob("*"))):
        if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
            raise VerificationError(f"{path}: links and devices are refused; the store may have been tampered with")


@contextmanager
def _folder_beside(to: Path) -> Iterator[Path]:
    """A fresh folder on the same file system as `to`, gone afterwards in any case."""
    to.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{to.name}.partial-", dir=to.parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(model: Path, to: Path) -> None:
    """The last step, and a single one. A folder that appeared at `to` in the meantime is left as it is."""
    if os.path.lexists(to):
        raise SelectionError(f"{to}: was made by someone else in the meantime; choose another folder")
    os.replace(model, to)
