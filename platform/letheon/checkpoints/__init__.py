"""Select, verify and pull a checkpoint. Importing this loads neither MLflow nor torch."""

from letheon.checkpoints.manifest import (
    Manifest,
    VerificationError,
    read_manifest,
    verify,
)
from letheon.checkpoints.partial import PullInProgress
from letheon.checkpoints.pull import NoRoomError, Pulled, Request, pull
from letheon.checkpoints.select import (
    Bound,
    EmptyFrontError,
    Selection,
    SelectionError,
    checked_verdict,
    parse_bound,
    select,
)

__all__ = [
    "Bound",
    "EmptyFrontError",
    "Manifest",
    "NoRoomError",
    "PullInProgress",
    "Pulled",
    "Request",
    "Selection",
    "SelectionError",
    "VerificationError",
    "checked_verdict",
    "parse_bound",
    "pull",
    "read_manifest",
    "select",
    "verify",
]
