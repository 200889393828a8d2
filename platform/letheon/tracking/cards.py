"""The description of a model version: what people read in MLflow before they pull it. Pure.

A short form of the card beside the weights (`trainables.storage.model_card`), within MLflow's limit, with what
came after the weights: audits, and how to download it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from letheon.journal import Row
from letheon.pareto.front import verdict_of
from letheon.pareto.labels import columns, short_config
from letheon.pareto.objectives import is_audit
from letheon.tracking.aliases import FORGET_DIGEST
from letheon.tracking.descriptions import line, number
from letheon.tracking.run_records import shorten

LIMIT = 5000  # characters of a description, in MLflow's databases
_HEADLINES = ("forget_rouge", "forget_probability", "forget_truth_ratio", "extraction_strength", "retain_rouge")


class Cards:
    """Descriptions of the front points of one sweep, from its rows."""

    def __init__(self, sweep: str, front: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self._sweep, self._front = sweep, front
        self._targets = {row["trial"]: row.get("baseline") or {} for row in rows if row["kind"] == "trial"}
        infos = [row["info"] for row in rows if row["kind"] == "sweep" and row.get("info")]
        self._retain: Mapping[str, Any] = next((info["retain"] for info in reversed(infos) if "retain" in info), {})
        self._data: Mapping[str, Any] = next((info["data"] for info in reversed(infos) if "data" in info), {})

    def describe(self, point: Mapping[str, Any], fraction: str, benchmark: str, digest: str) -> str:
        """Of a point of the front; `digest`: SHA-256 of its manifest."""
        trial, epoch = str(point["trial"]), int(point["epoch"])
        parts = [
            f"**{self._verdict(point)}**",
            "",
            f"{trial} after epoch {epoch} of sweep {self._sweep}: {short_config(point.get('config', {}))}",
            "",
            self._forgotten(fraction, benchmark),
            "",
            *self._table(point, fraction),
            "",
            f"Manifest SHA-256 `{digest}`: every file is checked against it by",
            "",
            f"`letheon pull {self._sweep} --select {trial}@{epoch} --fraction {fraction} --to DIR`",
        ]
        return shorten("\n".join(parts), LIMIT)

    @staticmethod
    def _verdict(point: Mapping[str, Any]) -> str:
        reasons = "; ".join((point.get("verdict") or {}).get("reasons", ()))
        name = verdict_of(point)
        return f"{name.capitalize()}: {reasons}" if reasons else name.capitalize()

    def data_tags(self, fraction: str) -> dict[str, str]:
        """Which rows had to be forgotten, by digest; none where the sweep did not record it."""
        digest = self._data.get(fraction, {}).get("forget", {}).get("digest")
        return {} if digest is None else {FORGET_DIGEST: str(digest)}

    def _forgotten(self, fraction: str, benchmark: str) -> str:
        facts = self._data.get(fraction, {}).get("forget", {})
        rows = f", {facts['rows']} rows" if "rows" in facts else ""
        digest = f", SHA-256 `{facts['digest']}`" if "digest" in facts else ""
        return f"To be forgotten: {float(fraction):.4g} of {benchmark or 'the data'}{rows}{digest}"

    def _table(self, point: Mapping[str, Any], fraction: str) -> list[str]:
        shown, metrics = columns(self._front), point["metrics"]
        audits = sorted(name for name in metrics if is_audit(name))
        names = dict.fromkeys([*shown.x, *shown.y, *shown.more, *_HEADLINES, *audits])
        audit = (self._front["strata"].get(fraction) or {}).get("retain_audit") or {}
        target, retain = self._targets.get(point["trial"], {}), {**self._retain.get(fraction, {}), **audit}
        rows = [
            line([f"`{name}`", *(number(of.get(name)) for of in (metrics, target, retain))])
            for name in names
            if name in metrics
        ]
        return [line(["metric", "this checkpoint", "target model", "retain model"]), line(["---"] * 4), *rows]
