"""The headline and the distance to the retain model."""

from __future__ import annotations

import math

import pytest

from trainables.audit.config import ATTACKS
from trainables.audit.summary import NO_ATTACK, WORST, excess, headline, named
from trainables.evaluation.metrics.catalog import metric_info


def leaks(**values: float) -> dict[str, float]:
    return {
        key: value for attack, leak in values.items() for key, value in named(attack, {"forget_rouge": leak}).items()
    }


def test_the_headline_is_the_highest_leak() -> None:
    metrics = leaks(no_attack=0.2, nf4=0.3, relearn=0.7) | {"audit_nf4_forget_probability": 0.9, "audit_seconds": 8.0}
    assert headline(metrics) == {WORST: 0.7}
    assert headline(leaks(no_attack=0.4, nf4=0.3)) == {WORST: 0.4}, "just asking counts"
    assert math.isnan(headline(leaks(no_attack=0.2, nf4=math.nan))[WORST])


def test_the_excess_is_over_the_same_attack_on_the_retain_model() -> None:
    ours = leaks(no_attack=0.3, best_of_n=0.6, relearn=0.5) | {WORST: 0.6}
    retain = leaks(no_attack=0.3, best_of_n=0.55, nf4=0.3) | {WORST: 0.55}
    found = excess(ours, retain)
    assert found == pytest.approx(
        {
            "audit_no_attack_forget_rouge_excess": 0.0,
            "audit_best_of_n_forget_rouge_excess": 0.05,
            "audit_worst_forget_rouge_excess": 0.05,
        }
    )
    assert max(excess(retain, retain).values()) == 0.0
    assert math.isnan(excess(ours, {})["audit_worst_forget_rouge_excess"])


def test_every_name_is_in_the_catalog() -> None:
    values = dict.fromkeys(("forget_rouge", "forget_probability", "extraction_strength"), 0.5)
    metrics = {key: 0.5 for attack in (NO_ATTACK, *ATTACKS) for key in named(attack, values)}
    for name in {**metrics, **headline(metrics), **excess(metrics, metrics)}:
        info = metric_info(name)
        assert info is not None and info.better == "min", name
