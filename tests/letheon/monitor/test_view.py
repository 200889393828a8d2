"""The live view: whatever the journal says, its numbers agree with each other, and a look reads only what is new."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings

from letheon.journal import encode_rows
from letheon.monitor.watch import LiveSweep, spec_facts
from tests.letheon.dashboard.support import small_spec, write_sweep
from tests.letheon.monitor.stories import Rows, tales
from tests.letheon.monitor.views import running_rows, view_of
from tests.letheon.tracking.tracking_support import story


@given(tales())
@settings(max_examples=40)
def test_the_strata_add_up_to_the_sweep(rows: Rows) -> None:
    view = view_of(rows)
    assert sum(stratum.started for stratum in view.strata.values()) == len(view.state.trials)
    assert sum(stratum.running for stratum in view.strata.values()) == view.state.counts.get("running", 0)
    assert sum(stratum.epochs for stratum in view.strata.values()) == view.epochs
    json.dumps(view.to_json(), allow_nan=False)


def test_a_look_reads_the_rows_since_the_last_one(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, "study", running_rows())
    sweep = LiveSweep(folder, spec_facts(small_spec()))
    first = sweep.look()
    assert sweep.look().strata == first.strata
    (folder / "journal.jsonl").write_bytes(encode_rows(story()))
    assert len(sweep.look().state.trials) == 4
