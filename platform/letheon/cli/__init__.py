"""The `letheon` command: one function per verb, which imports what it needs only when it runs."""

from letheon.cli import run, inspect, dashboard, cluster  # noqa: I001 (help lists verbs in this order)
from letheon.cli.options import app

__all__ = ["app", "cluster", "dashboard", "inspect", "run"]
