"""The whole command: importing this gives `app` its verbs, in the order in which help lists them."""

from letheon.cli import run, view
from letheon.cli.base import app

__all__ = ["app", "run", "view"]
