"""The `letheon` command. Each verb calls one other module; what that module needs is loaded only then."""

from letheon.cli.options import app

__all__ = ["app"]
