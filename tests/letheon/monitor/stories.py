"""Random journals that a sweep could write, for property tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Rows = list[dict[str, Any]]

STRATA = ("0.05", "0.1")
OUTCOMES = ("completed", "pruned", "collapsed", "failed", "stopped")
STATES = ("preparing", "running", "interrupted", "finished", "failed")
NUMBERS = st.sampled_from([0.0, 0.25, 0.5, 0.5, 0.75, 1.0, math.nan, math.inf, -math.inf])


class Tale:
    """Rows with rising epochs; a trial starts once, ends at most once, and reports nothing after its end."""

    def __init__(self) -> None:
        self.rows: Rows = []
        self._time = 1000.0
        self._epochs: dict[str, int] = {}
        self._trials: dict[str, str] = {}
        self._ended: set[str] = set()
        self._audited: set[tuple[str, int]] = set()

    def add(self, kind: str, gap: float, **fields: Any) -> None:
        self._time += gap
        self.rows.append({"kind": kind, "seq": len(self.rows) + 1, "time": self._time, **fields})

    def step(self, draw: Callable[..., Any]) -> None:
        gap = draw(st.sampled_from([0.0, 1.0, 7.5, -3.0]))
        open_ = [name for name in self._trials if name not in self._ended]
        reported = [name for name, epoch in self._epochs.items() if epoch]
        kind = draw(st.sampled_from(["sweep", "trial", "report", "report", "report", "end", "audit"]))
        if kind == "sweep":
            info = draw(st.sampled_from([{}, {"slots": 2, "gpus_per_trial": 0.5}]))
            self.add("sweep", gap, state=draw(st.sampled_from(STATES)), info=info)
        elif kind == "trial":
            self._trial(draw, gap)
        elif kind == "report" and open_:
            name = draw(st.sampled_from(open_))
            self._epochs[name] += 1
            self.add("report", gap, trial=name, epoch=self._epochs[name], metrics=draw(metrics()), decision={})
        elif kind == "end" and open_:
            name = draw(st.sampled_from(open_))
            self._ended.add(name)
            outcome = draw(st.sampled_from(OUTCOMES))
            self.add("end", gap, trial=name, outcome=outcome, reason="so", epoch=self._epochs[name])
        elif kind == "audit" and reported:
            name = draw(st.sampled_from(reported))
            epoch = draw(st.integers(1, self._epochs[name]))
            stratum = self._trials[name]
            if draw(st.booleans()):
                name, epoch = f"retain-{stratum}", 0
            if (name, epoch) not in self._audited:
                self._audited.add((name, epoch))
                found = {"audit_worst_forget_rouge": draw(NUMBERS)}
                self.add("audit", gap, trial=name, epoch=epoch, stratum=stratum, metrics=found)

    def _trial(self, draw: Callable[..., Any], gap: float) -> None:
        name, stratum = f"t{len(self._trials):03d}", draw(st.sampled_from(STRATA))
        baseline = draw(st.fixed_dictionaries({}, optional={"model_utility": NUMBERS}) | st.just({"loss": 1.0}))
        self._trials[name], self._epochs[name] = stratum, 0
        config = {"method": "npo", "forget_fraction": float(stratum)}
        self.add("trial", gap, trial=name, stratum=stratum, config=config, baseline=baseline)


def metrics() -> st.SearchStrategy[dict[str, float]]:
    names = ("log10_forget_quality", "model_utility", "utility_ratio", "loss", "train_seconds", "eval_seconds")
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, NUMBERS)) | st.fixed_dictionaries(
        dict.fromkeys(names, st.sampled_from([0.25, 0.5, 0.9, 1.0]))
    )


@st.composite
def tales(draw: Callable[..., Any], most: int = 40) -> Rows:
    tale = Tale()
    for _ in range(draw(st.integers(0, most))):
        tale.step(draw)
    return tale.rows
