"""`python -m letheon.cli`."""

from letheon.cli import app

app()
