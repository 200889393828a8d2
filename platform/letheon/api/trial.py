"""One trial of a sweep, why it went as it did, and a checkpoint of it that was downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from letheon.analysis.explain import decision_in_words, explain, in_words
from letheon.api.frames import epochs_frame, samples_frame
from letheon.api.html import epochs_html, facts_table, heading, lines, page
from letheon.dashboard.snapshot import SweepSnapshot
from letheon.journal.journal import trial_row
from letheon.pareto.labels import COMPANIONS, short_config
from letheon.tracking.reader.pull import Pulled

if TYPE_CHECKING:
    import pandas as pd

    from letheon.api.evaluate import Evaluation
    from letheon.api.records import Records


class Trial:
    """A trial as it was when it was asked for; `Run.trial` gives a newer one.

    Attributes:
        name: such as `t003`.
        fraction: its forget fraction, 0 to 1.
        config: its hyper-parameters, without those that its method lacks.
        outcome: completed, pruned, collapsed, failed or stopped; None while it runs.
        reason: why it ended; None while it runs.
    """

    def __init__(self, records: Records, snapshot: SweepSnapshot, name: str) -> None:
        """Raises UnknownTrial."""
        begun = trial_row(snapshot.rows, name)
        self._records, self._snapshot = records, snapshot
        self._rows = [row for row in snapshot.rows if row.get("trial") == name]
        self.name = name
        self.fraction = float(begun["stratum"])
        self.config: Mapping[str, Any] = {key: value for key, value in begun["config"].items() if value is not None}
        self.outcome: str | None = self.facts["outcome"]
        self.reason: str | None = self.facts["reason"]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What `letheon explain --json` prints: origin, outcome, and the decision after each epoch."""
        return explain(self._rows, self.name)

    def epochs(self) -> pd.DataFrame:
        """Every evaluated epoch, as `Run.epochs`, indexed by epoch; 0 is the untouched target model."""
        return epochs_frame(self._rows, self._snapshot.goals).droplevel("trial")

    def samples(self) -> pd.DataFrame:
        """Texts that the trial's models generated, one per row, with the right answers, also under attack.

        Columns: `epoch` (0: the target model; missing: the retain model), `attack` (None without one), `set`, `prompt`,
        `answer`, `generated`.
        """
        return samples_frame(*self._records.generations(self._snapshot, self.name))

    def explain(self) -> Explanation:
        """Why it continued or was stopped, epoch by epoch."""
        scheduler = self._snapshot.scheduler
        eta = None if scheduler is None else scheduler.reduction_factor
        return Explanation(tuple(in_words(self._rows, self.name, eta)))

    def __repr__(self) -> str:
        return f"Trial({self.name!r}: {short_config(self.config)}, {self.outcome or 'not ended'})"

    def _repr_html_(self) -> str:
        goals, epochs = self._snapshot.goals, self.epochs()
        metrics = [name for axis in goals.axes for name in (COMPANIONS.get(axis.metric) or (axis.metric,))]
        decisions = {one["epoch"]: decision_in_words(one) for one in self.facts["decisions"]}
        shown = (
            (int(epoch), row, row["verdict"] or "", "target model" if epoch == 0 else decisions.get(epoch, ""))
            for epoch, row in epochs.astype(object).where(epochs.notna(), None).iterrows()
        )
        facts = f"{short_config(self.config)} · forget fraction {self.fraction:g}"
        top = heading(self.name, self.outcome or "running", facts) + lines(self.explain().lines[-1:])
        return page(top, epochs_html(shown, metrics))


@dataclass(frozen=True)
class Explanation:
    """Why a trial went as it did, in lines of text."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return page("<b>", lines(self.lines[:1]), "</b>", lines(self.lines[1:]))


@dataclass(frozen=True, repr=False)
class Checkpoint(Pulled):
    """A downloaded checkpoint. `path` is its Hugging Face folder, whose files were verified.

    `verdict`: whether it has forgotten. `doubt`: why it has not, and which others on the front have; None if it has.
    """

    def evaluate(self) -> Evaluation:
        """Evaluate it here as it was evaluated in its sweep."""
        from letheon.api.evaluate import Evaluation, evaluate_model

        return Evaluation(evaluate_model(self.path, None, None))

    def __repr__(self) -> str:
        return f"Checkpoint({self.trial}@{self.epoch} of {self.sweep}, {self.verdict}, in {str(self.path)!r})"

    def _repr_html_(self) -> str:
        facts = {
            "folder": str(self.path),
            "sweep": f"{self.sweep}, forget fraction {self.fraction}",
            "configuration": short_config(self.config),
            "SHA-256": self.digest,
        }
        size = f"{self.bytes / 2**20:.1f} MiB, verified"
        doubt = lines([self.doubt]) if self.doubt else ""
        return page(heading(f"{self.trial}@{self.epoch}", self.verdict, size), doubt, facts_table(facts.items()))
