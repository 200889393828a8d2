"""Which trials go on: pure decisions from reported metrics, and a thin adapter that lets Ray Tune ask for them.

Only `letheon.schedulers.adapter` imports Ray.
"""

from letheon.schedulers.config import CollapseConfig, SchedulerConfig
from letheon.schedulers.decision import Decision
from letheon.schedulers.state import SweepScheduler

__all__ = ["CollapseConfig", "Decision", "SchedulerConfig", "SweepScheduler"]
