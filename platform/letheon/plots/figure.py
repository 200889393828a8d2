"""The figure of the fronts: one of matplotlib's, which a notebook shows without pyplot."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

NOTEBOOK_DPI = 90


class FrontFigure(Figure):
    """Panels of fronts, one per forget fraction."""

    def png(self, dpi: int) -> bytes:
        """The picture; equal figures give equal bytes."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=dpi, facecolor=self.get_facecolor(), metadata={"Software": "letheon"})
        return picture.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png(NOTEBOOK_DPI)
