"""The fronts of a sweep: which checkpoints are on them, their hypervolume and knee, under any goals."""

from __future__ import annotations

import math
from typing import Any

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.pareto.front import front_of, hypervolume_share
from letheon.pareto.objectives import Axis, Goals, Limit
from letheon.spec.load import load_spec
from letheon.spec.rules_objectives import goals_of

FINE = st.floats(-20, 5, allow_nan=False, allow_subnormal=False)

Row = dict[str, Any]


def rows(*reports: tuple[str, int, float, float], baseline: bool = True) -> list[Row]:
    """Reports (trial, epoch, log10_forget_quality, model_utility) of a target with utility 0.5; t1… is stratum 0.1."""
    names = sorted({report[0] for report in reports} | {"t000"})
    made: list[Row] = [
        {
            "kind": "trial",
            "trial": name,
            "stratum": "0.1" if name.startswith("t1") else "0.05",
            "config": {"method": "npo"},
            "baseline": {"model_utility": 0.5} if baseline else {},
        }
        for name in names
    ]
    for trial, epoch, quality, utility in reports:
        metrics = {"log10_forget_quality": quality, "model_utility": utility, "utility_ratio": utility / 0.5}
        made.append({"kind": "report", "trial": trial, "epoch": epoch, "metrics": metrics})
    return made


def test_the_front_of_a_sweep() -> None:
    journal = rows(
        ("t000", 1, -12.0, 0.48),
        ("t000", 2, -1.0, 0.44),  # the knee
        ("t000", 3, -0.5, 0.10),  # forgotten everything: below the floor
        ("t001", 1, -13.0, 0.47),  # dominated
        ("t001", 2, -0.9, 0.41),
        ("t002", 2, -0.9, 0.41),  # the same point again
        ("t002", 1, math.nan, 0.49),
        ("t100", 1, -3.0, 0.49),
    )
    found = front_of(journal, "s")
    assert list(found) == ["sweep", "objectives", "constraints", "strata"]
    assert found["objectives"] == {"log10_forget_quality": "max", "model_utility": "max"}
    assert list(found["strata"]) == ["0.05", "0.1"]
    stratum = found["strata"]["0.05"]
    assert [(p["trial"], p["epoch"]) for p in stratum["points"]] == [("t000", 1), ("t000", 2), ("t001", 2)]
    assert stratum["points"][1] == stratum["knee"]
    assert stratum["knee"] == {
        "trial": "t000",
        "epoch": 2,
        "config": {"method": "npo"},
        "metrics": {"log10_forget_quality": -1.0, "model_utility": 0.44, "utility_ratio": 0.88},
        "checkpoint": "trials/t000/epoch-002/model",
        "verdict": {"name": "forgotten", "reasons": ["p = 0.1, 88% of the utility"]},
    }
    assert stratum["utility_floor"] == pytest.approx(0.4)
    assert (stratum["reference"], stratum["ideal"]) == ([-20.0, stratum["utility_floor"]], [0.0, 0.5])
    above = [(-12.0, 0.48), (-1.0, 0.44), (-0.9, 0.41)]
    assert stratum["hypervolume"] == pytest.approx(moocore.hypervolume(np.array(above), ref=[-20, 0.4], maximise=True))
    assert stratum["least_violating"] == []
    assert [p["trial"] for p in found["strata"]["0.1"]["points"]] == ["t100"]


def test_epoch_0_is_not_a_candidate() -> None:
    assert front_of(rows(("t000", 0, -15.0, 0.5)))["strata"]["0.05"]["points"] == []


def test_an_empty_front_lists_the_closest_to_feasible() -> None:
    found = front_of(
        rows(("t000", 1, -1.0, 0.3), ("t000", 2, 0.0, 0.1), ("t001", 1, -2.0, 0.39), ("t002", 1, 0.0, 0.0))
    )
    stratum = found["strata"]["0.05"]
    assert (stratum["points"], stratum["knee"], stratum["hypervolume"]) == ([], None, 0.0)
    assert [(p["trial"], p["epoch"]) for p in stratum["least_violating"]] == [("t001", 1), ("t000", 1), ("t000", 2)]


def test_a_sweep_without_reports_or_with_nan_only() -> None:
    assert front_of([], "s")["strata"] == {}
    stratum = front_of(rows(("t000", 1, math.nan, math.nan), baseline=False))["strata"]["0.05"]
    assert stratum == {
        "points": [], "knee": None, "hypervolume": 0.0, "utility_floor": None, "target_utility": None,
        "least_violating": [], "reference": [-20.0, None], "ideal": [0.0, None], "retain_audit": None,
    }  # fmt: skip


def test_without_a_baseline_the_targets_utility_comes_from_reports() -> None:
    stratum = front_of(rows(("t000", 1, -1.0, 0.45), baseline=False))["strata"]["0.05"]
    assert stratum["target_utility"] == pytest.approx(0.5)
    assert stratum["hypervolume"] == pytest.approx(19 * 0.05)


@given(
    st.lists(
        st.tuples(st.sampled_from(["t000", "t001", "t100"]), st.integers(1, 4), FINE, st.floats(0, 0.6)), max_size=20
    )
)
def test_every_candidate_is_on_the_front_or_dominated_by_it(reports: list[tuple[str, int, float, float]]) -> None:
    found = front_of(rows(*reports))
    for key, stratum in found["strata"].items():
        front = [(p["metrics"]["log10_forget_quality"], p["metrics"]["model_utility"]) for p in stratum["points"]]
        for trial, _, quality, utility in reports:
            if (trial == "t100") == (key == "0.1") and utility / 0.5 >= 0.8:
                assert any(q >= quality and u >= utility for q, u in front)
        assert len(set(front)) == len(front)
        assert (stratum["knee"] in stratum["points"]) == bool(front)


# ---- three objectives

BACK = Axis("probe_relearn_forget_rouge", "min", worst=1.0, best=0.0)
SHARES = st.floats(0, 1)


def probed(*reports: tuple[str, int, float, float, float | None]) -> list[Row]:
    """As `rows`, with what comes back; None where it was not measured."""
    made = rows(*(report[:4] for report in reports))
    for (_, _, _, _, back), row in zip(reports, made[-len(reports) :], strict=True):
        row["metrics"] |= {} if back is None else {BACK.metric: back}
    return made


@given(
    st.lists(
        st.tuples(st.just("t000"), st.integers(1, 6), FINE, st.floats(0.3, 0.6), SHARES | st.none()),
        min_size=1,
        max_size=20,
    )
)
def test_a_front_of_three_objectives_is_moocores(
    reports: list[tuple[str, int, float, float, float | None]],
) -> None:
    stratum = front_of(probed(*reports), goals=Goals(z=BACK))["strata"]["0.05"]
    known = {(q, u, -back) for _, _, q, u, back in reports if back is not None and u / 0.5 >= 0.8}
    points = [tuple(axis.maximised(p["metrics"]) for axis in Goals(z=BACK).axes) for p in stratum["points"]]
    if not known:
        assert points == [] and stratum["hypervolume"] == 0.0
        return
    candidates = np.array(sorted(known))
    assert set(points) == set(map(tuple, candidates[moocore.is_nondominated(candidates, maximise=True)].tolist()))
    assert [point[1] for point in points] == sorted((point[1] for point in points), reverse=True)
    assert stratum["reference"] == [-20.0, stratum["utility_floor"], 1.0] and stratum["ideal"][2] == 0.0
    reference = np.array([-20.0, stratum["utility_floor"], -1.0])
    above = candidates[(candidates > reference).all(axis=1)]
    volume = moocore.hypervolume(above, ref=reference, maximise=True) if len(above) else 0.0
    assert stratum["hypervolume"] == pytest.approx(volume, rel=1e-9, abs=1e-12)
    assert stratum["knee"] in stratum["points"]


def test_the_third_objective_decides_the_knee_and_what_was_not_probed_is_no_candidate() -> None:
    found = front_of(
        probed(("t000", 1, -1.0, 0.45, 0.9), ("t000", 2, -1.0, 0.49, None), ("t000", 3, -1.2, 0.449, 0.2)),
        goals=Goals(z=BACK),
    )
    stratum = found["strata"]["0.05"]
    assert list(found["objectives"].items())[2] == (BACK.metric, "min")
    assert names(stratum) == ["t000@1", "t000@3"] and stratum["knee"]["epoch"] == 3
    assert hypervolume_share(stratum) == pytest.approx(stratum["hypervolume"] / (20 * 0.1))


# ---- other objectives, limits and audits

KL = Axis("forget_kl", "min", worst=5.0, best=0.0)
ROUGE = Axis("audit_worst_forget_rouge", "min", worst=1.0, best=0.0)
PLAIN = Goals()


def report(trial: str, epoch: int, **metrics: float) -> Row:
    return {"kind": "report", "trial": trial, "epoch": epoch, "metrics": {"utility_ratio": 1.0, **metrics}}


def audit(trial: str, epoch: int, rouge: float) -> Row:
    metrics = {"audit_worst_forget_rouge": rouge}
    return {"kind": "audit", "trial": trial, "epoch": epoch, "stratum": "0.05", "metrics": metrics}


def names(stratum: Any) -> list[str]:
    return [f"{point['trial']}@{point['epoch']}" for point in stratum["points"]]


def test_two_minimised_objectives() -> None:
    goals = Goals(x=KL, y=Axis("retain_kl", "min", worst=2.0, best=0.0))
    values = ((1, 0.5, 1.0), (2, 2.0, 0.5), (3, 3.0, 1.5), (4, 6.0, 0.1))  # 3 is dominated, 4 is outside the range
    journal = rows() + [report("t000", epoch, forget_kl=f, retain_kl=r) for epoch, f, r in values]
    stratum = front_of(journal, goals=goals)["strata"]["0.05"]
    assert names(stratum) == ["t000@4", "t000@2", "t000@1"]
    assert stratum["hypervolume"] == pytest.approx(4.5 * 1.0 + 3.0 * 0.5)
    assert (stratum["reference"], stratum["ideal"]) == ([5.0, 2.0], [0.0, 0.0])
    assert stratum["knee"]["epoch"] == 1  # (0.9 + 0.5) of the box against (0.6 + 0.75)


@given(st.lists(st.tuples(st.integers(1, 9), FINE, FINE), max_size=12))
def test_minimising_is_maximising_the_negative(reports: list[tuple[int, float, float]]) -> None:
    down = Goals(x=Axis("a", "min", 5.0, -20.0), y=Axis("b", "min", 5.0, -20.0))
    up = Goals(x=Axis("a", "max", -5.0, 20.0), y=Axis("b", "max", -5.0, 20.0))
    unique = {epoch: (a, b) for epoch, a, b in reports}
    falling = front_of(rows() + [report("t000", e, a=a, b=b) for e, (a, b) in unique.items()], goals=down)
    rising = front_of(rows() + [report("t000", e, a=-a, b=-b) for e, (a, b) in unique.items()], goals=up)
    one, other = falling["strata"]["0.05"], rising["strata"]["0.05"]
    assert names(one) == names(other)
    assert one["hypervolume"] == other["hypervolume"]
    assert (one["knee"] or {}).get("epoch") == (other["knee"] or {}).get("epoch")


def test_limits_keep_checkpoints_off_the_front() -> None:
    journal = rows(("t000", 1, -2.0, 0.48), ("t000", 2, -1.0, 0.45), ("t001", 1, -3.0, 0.47))
    for row, privleak in zip(journal[-3:], (10.0, 60.0, math.nan), strict=True):
        row["metrics"]["privleak_distance"] = privleak
    strict = Goals(limits=(Limit("privleak_distance", high=20.0, scale=100.0),))
    assert names(front_of(journal)["strata"]["0.05"]) == ["t000@1", "t000@2"]
    assert names(front_of(journal, goals=strict)["strata"]["0.05"]) == ["t000@1"]
    stricter = Goals(limits=(Limit("privleak_distance", high=5.0, scale=100.0),))
    stratum = front_of(journal, goals=stricter)["strata"]["0.05"]
    assert stratum["points"] == []
    nearest = [(point["trial"], point["epoch"]) for point in stratum["least_violating"]]
    assert nearest == [("t000", 1), ("t000", 2), ("t001", 1)]


def test_audits_are_metrics_of_their_checkpoints() -> None:
    journal = [*rows(("t000", 1, -2.0, 0.48)), audit("t000", 1, 0.7), audit("retain-0.05", 0, 0.2)]
    stratum = front_of(journal)["strata"]["0.05"]
    assert stratum["points"][0]["metrics"]["audit_worst_forget_rouge"] == 0.7
    assert stratum["retain_audit"] == {"audit_worst_forget_rouge": 0.2}
    assert journal[-3]["metrics"].keys() == {"log10_forget_quality", "model_utility", "utility_ratio"}


def test_audit_goals_select_from_what_the_search_found() -> None:
    found = rows(("t000", 1, -2.0, 0.48), ("t000", 2, -1.0, 0.45), ("t001", 1, -3.0, 0.47))  # t001@1 is dominated
    goals = Goals(limits=(Limit("audit_worst_forget_rouge", high=0.5),))
    assert names(front_of(found, goals=goals)["strata"]["0.05"]) == ["t000@1", "t000@2"]
    audits = [audit("t000", 1, 0.7), audit("t000", 2, 0.4)]
    assert names(front_of([*found, *audits], goals=goals)["strata"]["0.05"]) == ["t000@2"]
    by_audit = Goals(x=ROUGE)
    before, after = front_of(found, goals=by_audit), front_of([*found, *audits], goals=by_audit)
    assert list(before["objectives"]) == ["log10_forget_quality", "model_utility"]
    assert list(after["objectives"]) == ["audit_worst_forget_rouge", "model_utility"]
    assert names(before["strata"]["0.05"]) == names(after["strata"]["0.05"]) == ["t000@1", "t000@2"]
    assert after["strata"]["0.05"]["knee"]["epoch"] == 2  # equally far above the diagonal, and a larger area


@given(st.lists(st.tuples(st.integers(1, 9), FINE, st.floats(0, 0.6), st.floats(0, 1)), max_size=12), st.floats(0, 1))
def test_an_audited_front_is_part_of_the_searchs(found: list[tuple[int, float, float, float]], high: float) -> None:
    """It never has a checkpoint whose weights were deleted."""
    unique = {epoch: values for epoch, *values in found}
    journal = rows(*(("t000", epoch, quality, utility) for epoch, (quality, utility, _) in unique.items()))
    audits = [audit("t000", epoch, rouge) for epoch, (_, _, rouge) in unique.items()]
    kept = {*names(front_of(journal)["strata"]["0.05"])}
    for goals in (Goals(x=ROUGE), Goals(limits=(Limit("audit_worst_forget_rouge", high=high),))):
        assert {*names(front_of(journal + audits, goals=goals)["strata"]["0.05"])} <= kept


TARGET = {"log10_forget_quality": -12.0, "forget_quality": 1e-12, "model_utility": 0.5, "utility_ratio": 1.0}


def test_what_differs_from_the_retain_model_is_not_on_the_front_whatever_its_p() -> None:
    """A model that repeats one word has p = 0.7: it dominated everything."""
    goals = goals_of(load_spec("quickstart"))
    shouted = {"forget_quality": 0.7, "stammer_excess": 0.96, "loss_shift": 1.0, "privleak": 217.0}
    known = {"forget_quality": 0.7, "loss_shift": -0.9, "privleak": -80.0}
    sensible = {"forget_quality": 0.1, "loss_shift": 0.1, "privleak": -11.0, "stammer_excess": 0.05}
    journal: list[Row] = [
        {"kind": "trial", "trial": "t000", "stratum": "0.2", "config": {"method": "npo"}, "baseline": TARGET},
        *(
            {"kind": "report", "trial": "t000", "epoch": epoch, "metrics": with_objectives(metrics, utility)}
            for epoch, (metrics, utility) in enumerate(
                [
                    ({"forget_quality": 1e-12}, 0.5),
                    ({"forget_quality": 1e-6}, 0.499),
                    (sensible, 0.49),
                    (shouted, 0.495),
                    (known, 0.497),
                ],
                start=1,
            )
        ),
    ]
    found = front_of(journal, goals=goals)["strata"]["0.2"]
    assert [(point["epoch"], point["verdict"]["name"]) for point in found["points"]] == [
        (2, "not forgotten"),
        (3, "forgotten"),
    ]
    assert found["knee"]["epoch"] == 3
    assert found["reference"] == [-12.0, pytest.approx(0.4)]
    without = front_of(journal)["strata"]["0.2"]
    assert [point["epoch"] for point in without["points"]] == [2, 5]


def with_objectives(metrics: dict[str, float], utility: float) -> dict[str, float]:
    p = metrics["forget_quality"]
    return {**metrics, "log10_forget_quality": math.log10(p), "model_utility": utility, "utility_ratio": utility / 0.5}
