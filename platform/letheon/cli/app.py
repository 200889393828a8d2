"""The whole command: importing this gives `app` its verbs, in the order in which help lists them."""

from letheon.cli import run, dashboard, cluster  # noqa: I001 (help lists verbs in this order)
from letheon.cli.options import app

__all__ = ["app", "cluster", "dashboard", "run", "view"]
