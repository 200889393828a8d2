"""The `letheon` command. Each verb calls one other module and loads what that module needs only then."""

from letheon.cli import run, inspect, dashboard, cluster  # noqa: I001 (help lists verbs in this order)
from letheon.cli.options import app

__all__ = ["app", "cluster", "dashboard", "inspect", "run"]
