"""The journal of a sweep, its lock and its history: the one source for status, fronts, records and decisions."""

from letheon.journal.history import SweepHistory, TrialHistory, status_of, summary
from letheon.journal.journal import (
    Journal,
    JournalError,
    Row,
    UnknownTrial,
    decode_rows,
    encode_rows,
    jsonable,
    stratum_of,
    trial_row,
)
from letheon.journal.lock import LockHeld, Owner, SweepLock, lock_holder
from letheon.journal.reader import Folded, Follower
from letheon.journal.state import SweepState, TrialState, with_liveness
from letheon.journal.store_status import TrackingHealth, tracking_health

__all__ = [
    "Folded",
    "Follower",
    "Journal",
    "JournalError",
    "LockHeld",
    "Owner",
    "Row",
    "SweepHistory",
    "SweepLock",
    "SweepState",
    "TrackingHealth",
    "TrialHistory",
    "TrialState",
    "UnknownTrial",
    "decode_rows",
    "encode_rows",
    "jsonable",
    "lock_holder",
    "status_of",
    "stratum_of",
    "summary",
    "tracking_health",
    "trial_row",
    "with_liveness",
]
