"""Select, verify and pull a checkpoint. Importing this loads neither MLflow nor torch."""

from letheon.checkpoints.manifest import (
    Manifest,
    VerificationError,
    checkpoint_folder,
    read_manifest,
    verify,
)
from letheon.checkpoints.pull import Pulled, Request, pull
from letheon.checkpoints.select import EmptyFrontError, Selection, SelectionError, select

__all__ = [
    "EmptyFrontError",
    "Manifest",
    "Pulled",
    "Request",
    "Selection",
    "SelectionError",
    "VerificationError",
    "checkpoint_folder",
    "pull",
    "read_manifest",
    "select",
    "verify",
]
