"""MLflow records of a sweep: the only package that imports mlflow, and only inside functions."""

from letheon.redact import redact
from letheon.tracking.errors import SweepNotFoundError, TrackingError
from letheon.tracking.registry import RegisteredPoint, Registration, alias_suffix
from letheon.tracking.store import tracking_uri
from letheon.tracking.system import SystemMetrics
from letheon.tracking.tracker import Beside, Tracker

__all__ = [
    "Beside",
    "RegisteredPoint",
    "Registration",
    "SweepNotFoundError",
    "SystemMetrics",
    "Tracker",
    "TrackingError",
    "alias_suffix",
    "redact",
    "tracking_uri",
]
