"""MLflow records of a sweep: the only package that imports mlflow, and only inside functions."""

from letheon.tracking.errors import SweepNotFoundError, TrackingError
from letheon.tracking.redact import redact
from letheon.tracking.registry import RegisteredPoint, Registration, alias_suffix
from letheon.tracking.store import tracking_uri
from letheon.tracking.tracker import Tracker

__all__ = [
    "RegisteredPoint",
    "Registration",
    "SweepNotFoundError",
    "Tracker",
    "TrackingError",
    "alias_suffix",
    "redact",
    "tracking_uri",
]
