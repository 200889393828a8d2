"""The picture of a sweep's fronts as PNG. Importing this does not load matplotlib."""

from letheon.report.plot import plot_front

__all__ = ["plot_front"]
