"""open-unlearning's aggregates: published values, properties, and what is absent where a part is."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.evaluation.metrics.test_summary import everything, without
from trainables.evaluation.metrics.aggregates import (
    METRICS,
    MIA_ATTACKS,
    memorisation_score,
    mia_closeness,
    of_utility,
    truth_share,
)
from trainables.evaluation.metrics.summary import compare, retain_reference, summarise
from trainables.evaluation.metrics.tofu import harmonic_mean

# Four of the 152 models of TOFU forget10 in gnueaj/unlearning-depth-score (docs/data/method_results.json, Apache-2.0):
# 1 - ES, 1 - EM, 1 - ParaProb, 1 - truth; s_MIA of loss, zlib, min-k, min-k++; model utility and fluency; and the three
# aggregates. There a part of 0 counts as 1e-12.
PUBLISHED = {
    "full": (
        (0.3207916755605088, 0.03189577773213381, 0.8951966056297533, 0.3177524389214216),
        (0.0, 0.0, 0.0, 0.0),
        (0.6008834008121887, 0.872823725938797),
        (0.10326957371765141, 0.0, 0.7117632523209635),
    ),
    "retain": (
        (0.9410334254012416, 0.40987262561917304, 0.9449263802386122, 0.43290894326792495),
        (1.0, 1.0, 1.0, 1.0),
        (0.5905297105697398, 0.8994657691195607),
        (0.582183839279926, 1.0, 0.7129702976241235),
    ),
    "graddiff": (
        (0.8755014349387158, 0.31982206242159006, 0.9865619090468428, 0.3711689784737413),
        (0.8302450492220786, 0.663072610839454, 0.8607864852802618, 0.8369123160279254),
        (0.5944138527374498, 0.6979772230394883),
        (0.5014571701496935, 0.78908059077515, 0.6420461082511326),
    ),
    "simnpo": (
        (0.918761752518768, 0.37509537793695924, 0.9656092215480748, 0.43183355919295974),
        (0.605186684733809, 0.6475233750025574, 0.520116700001653, 0.38695404506736253),
        (0.5632112841968725, 0.8998783931555226),
        (0.5629257639762837, 0.5192337068024223, 0.6928101172144882),
    ),
}
SHARES = st.floats(0.0, 1.0)


@pytest.mark.parametrize("model", PUBLISHED)
def test_published_aggregates(model: str) -> None:
    memory, closeness, (utility, fluency), (memorisation, privacy, useful) = PUBLISHED[model]
    strength, exact, paraphrase, share = (1 - part for part in memory)
    assert memorisation_score(strength, exact, paraphrase, share) == pytest.approx(memorisation, abs=1e-10)
    assert harmonic_mean(closeness) == pytest.approx(privacy, abs=1e-10)
    found = of_utility({"model_utility": utility, "forget_gibberish": 1 - fluency})
    assert found["utility_score"] == pytest.approx(useful, abs=1e-10)


@given(st.lists(st.tuples(st.floats(0, 30), st.lists(st.floats(0, 30), min_size=3, max_size=3)), min_size=1))
def test_the_share_of_the_truth_is_that_of_plain_probabilities(rows: list[tuple[float, list[float]]]) -> None:
    truth, wrong = [loss for loss, _ in rows], [losses for _, losses in rows]
    for guard in (0.0, 1e-10):
        by_row = []
        for loss, losses in rows:
            right, other = math.exp(-loss), math.exp(-math.fsum(losses) / 3)
            by_row.append(right / (right + other + guard))
        assert truth_share(truth, wrong, guard) == pytest.approx(math.fsum(by_row) / len(rows), rel=1e-9, abs=1e-12)


def test_a_destroyed_model_keeps_its_share_unless_the_guard_is_asked_for() -> None:
    assert truth_share([1000.0], [[1000.0, 1000.0]]) == 0.5
    assert truth_share([1000.0], [[1000.0, 1000.0]], 1e-10) == 0.0
    assert truth_share([0.0], [[2000.0]]) == 1.0
    assert math.isnan(truth_share([math.nan, 1.0], [[1.0], [1.0]]))


@given(SHARES, SHARES)
def test_closeness_is_one_at_the_retain_model_and_falls_on_both_sides(auc: float, retain: float) -> None:
    found = mia_closeness(auc, retain)
    assert mia_closeness(retain, retain) == 1.0
    assert 0.0 <= found <= 1.0
    if retain > 1e-6:
        exact = 1 - abs(Fraction(auc) - Fraction(retain)) / Fraction(retain)
        assert found == pytest.approx(float(max(Fraction(0), exact)), abs=1e-9)
        assert found == pytest.approx(mia_closeness(2 * retain - auc, retain), abs=1e-9)


def test_closeness_to_a_retain_model_that_is_never_fooled() -> None:
    assert (mia_closeness(0.0, 0.0), mia_closeness(0.3, 0.0)) == (1.0, 0.0)
    assert math.isnan(mia_closeness(math.nan, 0.4))
    assert math.isnan(mia_closeness(0.4, math.nan))


def test_an_evaluation_has_all_of_them() -> None:
    found = compare(everything(), retain_reference(everything(9)))
    assert METRICS.keys() <= found.keys()
    parts = [found[f"s_mia_{attack}"] for attack in MIA_ATTACKS]
    assert found["privacy_score"] == pytest.approx(harmonic_mean(parts))
    three = [found[f"{name}_score"] for name in ("memorisation", "privacy", "utility")]
    assert found["unlearning_score"] == pytest.approx(harmonic_mean(three))
    forget = everything()["forget"]
    expected = float(np.exp(-np.asarray(forget.paraphrase_loss)).mean())
    assert found["forget_paraphrase_probability"] == pytest.approx(expected)


def test_a_model_is_as_private_as_itself() -> None:
    found = compare(everything(), retain_reference(everything()))
    assert found["privacy_score"] == 1.0


@pytest.mark.parametrize(
    ("lost", "absent"),
    [
        ("paraphrase_loss", {"forget_paraphrase_probability", "forget_truth_share", "memorisation_score"}),
        ("perturbed_losses", {"forget_paraphrase_probability", "forget_truth_share", "memorisation_score"}),
        ("extraction_strength", {"memorisation_score"}),
        ("generated", {"utility_score"}),
    ],
)
def test_what_is_absent_without_a_part(lost: str, absent: set[str]) -> None:
    details = everything()
    found = summarise({**details, "forget": without(details["forget"], lost)})
    alone = {"forget_paraphrase_probability", "forget_truth_share", "memorisation_score", "utility_score"}
    assert alone - found.keys() == absent
