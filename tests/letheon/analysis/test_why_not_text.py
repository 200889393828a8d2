"""Why something is not on the front, in sentences and as JSON; `test_why_not` checks the facts against the front."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from letheon.analysis.why_not import NotATrial, why_not
from letheon.analysis.why_not_text import in_words
from letheon.journal import Row, UnknownTrial
from letheon.pareto.objectives import Axis, Goals, Limit

NPO = {"method": "npo_rt", "forget_fraction": 0.05, "learning_rate": 0.000936, "beta": 0.0406, "seed": 0}
GA = {"method": "ga", "forget_fraction": 0.05, "learning_rate": 1e-5, "seed": 0}
TARGET = 0.95
PRIVLEAK = Limit("privleak_distance", high=20.0, scale=100.0)
ROUGE = Axis("audit_worst_forget_rouge", "min", worst=1.0, best=0.0)


def trial(name: str, config: Mapping[str, Any] = GA, target: float = TARGET) -> Row:
    baseline = {"model_utility": target}
    return {"kind": "trial", "trial": name, "stratum": "0.05", "config": dict(config), "baseline": baseline}


def report(checkpoint: str, p: float, utility: float, **more: float) -> Row:
    """A report on a target model with utility 0.95."""
    name, epoch = checkpoint.split("@")
    metrics = {"log10_forget_quality": math.log10(p), "model_utility": utility, "utility_ratio": utility / TARGET}
    return {"kind": "report", "trial": name, "epoch": int(epoch), "metrics": {**metrics, **more}}


def end(name: str, outcome: str, epoch: int, reason: str) -> Row:
    return {"kind": "end", "trial": name, "outcome": outcome, "reason": reason, "epoch": epoch}


def audit(checkpoint: str, rouge: float) -> Row:
    name, epoch = checkpoint.split("@")
    metrics = {"audit_worst_forget_rouge": rouge}
    return {"kind": "audit", "trial": name, "epoch": int(epoch), "stratum": "0.05", "metrics": metrics}


def words(rows: Sequence[Row], asked: str, goals: Goals | None = None) -> list[str]:
    return in_words(why_not(rows, asked, goals))


def the_one(rows: Sequence[Row], asked: str, goals: Goals | None = None) -> str:
    [line] = words(rows, asked, goals)
    return line


def test_a_checkpoint_between_rungs_was_not_probed() -> None:
    goals = Goals(z=Axis("probe_relearn_forget_rouge", "min", worst=1.0, best=0.0))
    probed = {"probe_relearn_forget_rouge": 0.3}
    rows = [trial("t000"), trial("t001"), report("t000@1", 0.5, 0.9, **probed), report("t000@2", 0.9, 0.94)]
    rows += [report("t001@1", 0.1, 0.9, probe_relearn_forget_rouge=0.5)]
    assert the_one(rows, "t000@2", goals) == (
        "t000@2 has no place on a front: probe_relearn_forget_rouge is missing, since the probe ran at rungs only"
    )
    text = the_one(rows, "t001@1", goals)
    assert text.startswith("t001@1 is dominated by t000@1 (ga, lr 1e-05): ")
    assert "relearned ROUGE 0.5 against 0.3" in text
    assert text.endswith("with utility above 0.9 or forget quality p above 0.5 or relearned ROUGE below 0.3")


FOUND = [
    trial("t003", NPO),
    trial("t007"),
    report("t003@6", 0.7, 0.92),
    report("t003@3", 0.03, 0.924),
    report("t007@1", 1e-12, 0.94),
    report("t007@5", 0.02, 0.91),
    report("t007@6", 0.9, 0.5),
]


# ---- one checkpoint


def test_a_dominated_checkpoint() -> None:
    assert the_one(FOUND, "t007@5") == (
        "t007@5 is dominated by t003@6 (npo_rt, lr 0.000936, beta 0.0406) and 1 more: forget quality p = 0.02 "
        "against 0.7, utility 0.91 against 0.92; it would be on the front with utility above 0.924 or "
        "forget quality p above 0.7"
    )


def test_a_checkpoint_on_the_front() -> None:
    line = "t003@6 is on the front of forget fraction 0.05: forget quality p = 0.7, utility 0.92"
    assert the_one(FOUND, "t003@6") == line


def test_equal_checkpoints_appear_once() -> None:
    rows = [*FOUND, report("t007@7", 0.7, 0.92)]
    assert the_one(rows, "t007@7") == (
        "t007@7 has the objectives of t003@6 (npo_rt, lr 0.000936, beta 0.0406); of equal checkpoints the front shows "
        "the earliest"
    )
    earlier = [*FOUND, report("t007@2", 0.7, 0.92)]
    assert "is on the front" in the_one(earlier, "t007@2")
    assert "has the objectives of t007@2" in the_one(earlier, "t003@6")


def test_utility_below_the_floor() -> None:
    assert the_one(FOUND, "t007@6") == (
        "t007@6 is infeasible: utility 0.5 is 0.26 below the floor of 0.76 (0.8 of the target model's); by its "
        "objectives alone it would be on the front"
    )
    low = [*FOUND, report("t007@7", 0.01, 0.5)]
    assert "besides, t003@6 (npo_rt, lr 0.000936, beta 0.0406) is at least as good in both" in the_one(low, "t007@7")


def test_the_floor_is_stated_as_a_share_if_the_utility_is_unknown() -> None:
    row = report("t007@7", 0.9, 0.5)
    row["metrics"]["utility_ratio"] = math.nan
    share = "share of the target model's utility"
    assert f"{share} is nan, and must be at least 0.8" in the_one([*FOUND, row], "t007@7")
    del row["metrics"]["utility_ratio"]
    assert f"{share} is missing, and must be at least 0.8" in the_one([*FOUND, row], "t007@7")
    assert why_not([*FOUND, row], "t007@7").judged[0].violations[0].by == math.inf
    kl = Goals(x=Axis("forget_kl", "min", 2.0, 0.0), y=Axis("retain_kl", "min", 0.25, 0.0))
    rows = [trial("t000", target=math.nan), report("t000@1", 0.5, 0.5, forget_kl=1.0, retain_kl=0.1)]
    del rows[1]["metrics"]["model_utility"]
    line = the_one(rows, "t000@1", kl)
    assert line.startswith(f"t000@1 is infeasible: {share} 0.526 is 0.274 below the limit of 0.8;")


def test_limits() -> None:
    goals = Goals(limits=(PRIVLEAK, Limit("retain_rouge", low=0.5)))
    rows = [*FOUND, report("t007@7", 0.9, 0.9, privleak_distance=60.0, retain_rouge=0.25)]
    assert the_one(rows, "t007@7", goals) == (
        "t007@7 is infeasible: privleak distance 60 is 40 above the limit of 20 and retain rouge 0.25 is 0.25 below "
        "the limit of 0.5; by its objectives alone it would be on the front"
    )
    assert "privleak distance is missing, and must be at most 20 and retain rouge" in the_one(rows, "t003@6", goals)


def test_metrics_that_are_not_finite() -> None:
    rows = [*FOUND, report("t007@7", 0.9, math.nan), report("t007@8", 0.9, 0.9, log10_forget_quality=-math.inf)]
    assert the_one(rows, "t007@7") == "t007@7 has no place on a front: model_utility is nan, not a finite number"
    assert "log10_forget_quality is -inf, not a finite number" in the_one(rows, "t007@8")
    del rows[-1]["metrics"]["log10_forget_quality"]
    assert the_one(rows, "t007@8") == "t007@8 has no place on a front: log10_forget_quality is missing"


def test_minimised_objectives() -> None:
    goals = Goals(x=Axis("forget_kl", "min", 2.0, 0.0), y=Axis("retain_kl", "min", 0.25, 0.0))
    values = {"t000@1": (0.5, 0.1), "t000@2": (0.75, 0.125), "t001@1": (0.0, 0.2), "t001@2": (0.5, 0.2)}
    rows = [trial("t000"), trial("t001")]
    rows += [report(name, 0.5, 0.95, forget_kl=forget, retain_kl=kept) for name, (forget, kept) in values.items()]
    assert the_one(rows, "t000@2", goals) == (
        "t000@2 is dominated by t000@1: forget kl 0.75 against 0.5, retain kl 0.125 against 0.1; it would be on the "
        "front with retain kl below 0.1 or forget kl below 0.5"
    )
    # a divergence below zero is impossible
    assert the_one(rows, "t001@2", goals).endswith("forget kl 0.5 in both, retain kl 0.2 against 0.1; it would be on "
        "the front with retain kl below 0.1")  # fmt: skip


def test_changes_past_the_end_of_both_ranges_say_so() -> None:
    goals = Goals(y=Axis("retain_rouge"))
    rows = [trial("t000"), report("t000@1", 1.0, 0.95, retain_rouge=1.0), report("t000@2", 0.1, 0.95, retain_rouge=0.5)]
    line = the_one(rows, "t000@2", goals)
    assert line.endswith(
        "on the front with forget quality p above 1 (its range ends at 1) or retain rouge above 1 (its range ends at 1)"
    )


def test_a_change_that_a_limit_forbids_is_not_offered() -> None:
    goals = Goals(y=Axis("retain_rouge"), limits=(Limit("retain_rouge", high=0.6),))
    rows = [trial("t000"), report("t000@1", 0.5, 0.95, retain_rouge=0.6), report("t000@2", 0.1, 0.95, retain_rouge=0.5)]
    assert [change.metric for change in why_not(rows, "t000@2", goals).judged[0].needed] == ["log10_forget_quality"]


def test_nearly_equal_values_get_enough_digits_and_are_rounded_to_the_safe_side() -> None:
    rows = [trial("t000"), report("t000@1", 0.5, 0.92041), report("t000@2", 0.5, 0.9204)]
    assert "utility 0.9204 against 0.92041; " in the_one(rows, "t000@2")
    assert the_one(rows, "t000@2").endswith("with forget quality p above 0.5 or utility above 0.92041")
    rounded = [trial("t000"), report("t000@1", 0.9, 0.9204), report("t000@2", 0.01, 0.91)]
    assert "utility 0.91 against 0.92; it would be on the front with utility above 0.921" in the_one(rounded, "t000@2")


def test_the_clearest_rival_is_named() -> None:
    rows = [trial("t000"), trial("t001"), report("t000@1", 0.02, 0.94), report("t000@2", 0.1, 0.85)]
    rows += [report("t001@1", 0.021, 0.93), report("t001@2", 0.7, 0.9), report("t001@3", 0.9, 0.86)]
    rivals = why_not(rows, "t000@2").judged[0].rivals
    assert [(row["trial"], row["epoch"]) for row in rivals] == [("t001", 2), ("t001", 3)]


# ---- trials and epochs that do not exist


def test_an_unknown_trial_and_a_malformed_query() -> None:
    with pytest.raises(UnknownTrial, match="did you mean 't007'"):
        why_not(FOUND, "t07@2")
    for asked in ("t007@", "t007@x", "@5", "", "t007@5@6"):
        with pytest.raises(NotATrial, match="TRIAL@EPOCH"):
            why_not(FOUND, asked)


@pytest.mark.parametrize(
    ("row", "ending"),
    [
        (end("t007", "pruned", 6, "rung 3: rank 3 of 3"), "was pruned at epoch 6 (rung 3: rank 3 of 3)"),
        (end("t007", "collapsed", 6, "utility"), "collapsed at epoch 6 (utility)"),
        (end("t007", "failed", 6, "out of memory"), "failed after epoch 6 (out of memory)"),
        (end("t007", "completed", 6, "reached max_epochs 6"), "completed at epoch 6 (reached max_epochs 6)"),
        (
            end("t007", "stopped", 6, "budget.epochs: 24 of 24 epochs are used"),
            "was stopped by the sweep's budget at epoch 6 (budget.epochs: 24 of 24 epochs are used)",
        ),
    ],
)
def test_epochs_after_the_end(row: Row, ending: str) -> None:
    assert the_one([*FOUND, row], "t007@9") == f"t007@9 was never trained: t007 {ending}"
    last = words([*FOUND, row], "t007")[-1]
    if row["outcome"] == "completed":
        assert last.startswith("t007@6 is infeasible")
    else:
        assert last == f"t007 {ending}: later epochs were never trained"
    assert why_not([*FOUND, row], "t007@9").to_json()["checkpoints"] == [{"epoch": 9, "verdict": "not_reported"}]


def test_epochs_that_were_not_reported_or_are_to_come() -> None:
    assert the_one(FOUND, "t007@2") == "t007@2 was never reported; t007 reported epochs 1, 5 and 6"
    assert the_one(FOUND, "t007@7") == "t007@7 is not reported yet: t007 is past epoch 6 and has not ended"
    assert the_one(FOUND, "t007@0") == "t007@0 is the untouched target model, which is on no front"
    assert words(FOUND, "t007")[-1] == "t007 has not ended: its next epochs are still to come"
    assert why_not(FOUND, "t007@0").to_json()["checkpoints"] == [{"epoch": 0, "verdict": "target_model"}]


def test_a_trial_without_a_report() -> None:
    waiting = "t009 has not reported yet: it is in its first epoch or waiting to run"
    rows = [*FOUND, trial("t009")]
    assert words(rows, "t009") == words(rows, "t009@1") == [waiting]
    assert why_not(rows, "t009").to_json()["checkpoints"] == []
    failed = [*rows, end("t009", "failed", 0, "out of memory")]
    assert words(failed, "t009") == ["t009 failed before its first report: out of memory"]
    assert words(failed, "t009@1") == [
        "t009@1 was never trained: t009 failed before its first report (out of memory)"
    ]  # fmt: skip


# ---- whole trials


def test_a_trial_on_the_front() -> None:
    lines = words([*FOUND, report("t003@4", 0.02, 0.9), end("t003", "completed", 6, "all epochs")], "t003")
    assert lines[0] == "t003 is on the front of forget fraction 0.05 with epochs 3 and 6"
    assert lines[1].startswith("t003@4 is dominated by t003@6 and 1 more: ")
    assert len(lines) == 2
    assert words(FOUND, "t007")[0] == "t007 is on the front of forget fraction 0.05 with epoch 1"


def test_a_trial_that_is_not_on_the_front_begins_with_its_best_checkpoint() -> None:
    rows = [
        *(row for row in FOUND if row.get("epoch") != 1),
        report("t007@2", math.nan, 0.94),
        report("t007@4", 0.02, 0.90),
        end("t007", "pruned", 6, "rung 6: rank 3 of 3, outside the best 1/3"),
    ]
    lines = words(rows, "t007")
    assert lines[0] == "t007 is not on the front of forget fraction 0.05; its best checkpoint is t007@5:"
    assert [line.split()[0] for line in lines[1:]] == ["t007@5", "t007@2", "t007@4", "t007@6", "t007"]
    assert lines[-1] == (
        "t007 was pruned at epoch 6 (rung 6: rank 3 of 3, outside the best 1/3): later epochs were never trained"
    )
    text = "\n".join(lines)
    assert text.count("npo_rt") == 1  # each configuration appears once


def test_the_least_infeasible_checkpoint_is_best() -> None:
    rows = [trial("t000"), report("t000@1", 0.9, 0.4), report("t000@2", 0.01, 0.7), report("t000@3", math.nan, 0.9)]
    best = why_not(rows, "t000").best
    assert best is not None
    assert best.name == "t000@2"


# ---- audits select from what the search found


AUDITED = [*FOUND, audit("t003@3", 0.9), audit("t003@6", 0.4), audit("retain-0.05@0", 0.3)]
BY_LIMIT = Goals(limits=(Limit("audit_worst_forget_rouge", high=0.5),))


def test_what_the_search_left_out_was_never_audited() -> None:
    line = the_one(AUDITED, "t007@5", BY_LIMIT)
    assert line.startswith(
        "t007@5 was not on the front that the search found, and only that was audited: it is dominated by t003@6"
    )
    assert line.endswith("; it would be on that front with utility above 0.924 or forget quality p above 0.7")
    assert why_not(AUDITED, "t007@5", BY_LIMIT).judged[0].stage.name == "search"


def test_a_limit_on_the_audit() -> None:
    line = the_one(AUDITED, "t003@3", BY_LIMIT)
    assert line == (
        "t003@3 is infeasible: worst forget ROUGE under attack 0.9 is 0.4 above the limit of 0.5; by its objectives "
        "alone it would be on the front"
    )
    assert "is on the front" in the_one(AUDITED, "t007@1", BY_LIMIT)  # not audited: its limit does not count yet


def test_objectives_of_the_audit() -> None:
    goals = Goals(x=ROUGE)
    assert the_one(AUDITED, "t003@6", goals).endswith("worst forget ROUGE under attack 0.4, utility 0.92")
    assert the_one(AUDITED, "t007@1", goals) == (
        "t007@1 was on the front that the search found, but is not audited: it has no audit_worst_forget_rouge yet"
    )
    more = [*AUDITED, report("t003@7", 0.8, 0.915), audit("t003@7", 0.45)]
    assert the_one(more, "t003@7", goals) == (
        "t003@7 is dominated by t003@6: worst forget ROUGE under attack 0.45 against 0.4, utility 0.915 against 0.92; "
        "it would be on the front with utility above 0.92 or worst forget ROUGE under attack below 0.4"
    )
    assert why_not(more, "t003", goals).on_front == (3, 6)


def test_before_the_first_audit_it_is_about_the_searchs_front() -> None:
    lines = words(FOUND, "t003@6", Goals(x=ROUGE))
    assert "is on the front" in lines[0]
    assert lines[1:] == ["no checkpoint is audited yet: this is the front that the search found"]


# ---- JSON


def test_the_shape_of_the_json() -> None:
    found = why_not([*FOUND, end("t007", "pruned", 6, "rung 6")], "t007").to_json()
    text = json.dumps(found, allow_nan=False)
    assert found == json.loads(text)
    assert found["on_front"] == [1]
    assert (found["best"], found["reported"], found["ended_at"]) == (1, [1, 5, 6], 6)
    assert found["utility_floor"] == pytest.approx(0.76)
    assert found["objectives"] == {"log10_forget_quality": "max", "model_utility": "max"}
    kinds = {one["epoch"]: one["verdict"] for one in found["checkpoints"]}
    assert kinds == {1: "on_front", 5: "dominated", 6: "infeasible"}
    dominated, infeasible = found["checkpoints"][1:]
    assert dominated["rivals"][0]["config"]["method"] == "npo_rt"
    assert dominated["needed"] == {"model_utility": 0.924, "log10_forget_quality": pytest.approx(math.log10(0.7))}
    [floor] = infeasible["violations"]
    assert floor == {
        "metric": "utility_ratio",
        "value": 0.5 / TARGET,
        "min": 0.8,
        "by": pytest.approx(0.8 - 0.5 / 0.95),
    }
