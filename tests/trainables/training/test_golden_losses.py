"""Losses and gradients against numbers that the published code itself gave on the same rows: equal to 1e-10.

Where `tests/goldens/losses.json` comes from: `tests.goldens.make_losses`. Under `compat` every partition into
micro-batches and workers is what that code makes of it; without, a loss is exact over the whole optimizer batch, so
every partition gives what the code gives for one micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
import torch

from tests.goldens.exact_model import WIDTH
from tests.goldens.measured import lengths, summary
from tests.trainables.training.golden_steps import Done, Way, goldens, take
from trainables.batching.packing import Layout
from trainables.config import Compat
from trainables.methods import METHODS
from trainables.methods.base import Method
from trainables.methods.rmu import direction

EXACT = 1e-10

OPEN, PAPER = "open-unlearning", "negative-preference-optimization"
CODE: dict[str, Compat] = {OPEN: "open_unlearning", PAPER: "npo"}

NAMES = {
    "alpha": "retain_weight",
    "grad_diff_coeff": "retain_weight",
    "KL_coeff": "retain_weight",
    "regularization_coeff": "retain_weight",
    "coeff": "retain_weight",
    "retain_wt": "retain_weight",
    "delta": "margin",
    "steering_coeff": "steering",
    "retain_loss_eps": "epsilon",
    "dual_step_size": "dual_step",
    "sam_rho": "radius",
}
"""What their hyper-parameters are called here, where not alike; a `retain_weight` that they do not have is 1."""


@dataclass(frozen=True)
class Ours:
    """The method that a peer's case is; `values`: what its names do not say. `alone`: equal without compat too.

    `loss`: what the peer's loss is here: the step's, its forget term, or nothing.
    """

    method: str
    values: dict[str, float]
    alone: bool = True
    loss: Literal["step", "forget", "none"] = "step"


KEEP_WEIGHT = {"dual_step": 1e-300}
"""As good as a multiplier that does not move."""

OURS: dict[tuple[str, str], Ours] = {
    (OPEN, "GradAscent"): Ours("ga", {}),
    (OPEN, "GradDiff NLL"): Ours("ga_rt", {}),
    (OPEN, "GradDiff KL"): Ours("ga_kl", {}, alone=False),
    (OPEN, "NPO"): Ours("npo", {}),
    (OPEN, "NPO NLL"): Ours("npo_rt", {}),
    (OPEN, "NPO KL"): Ours("npo_kl", {}, alone=False),
    (OPEN, "DPO"): Ours("dpo", {}),
    (OPEN, "DPO NLL"): Ours("idk_dpo", {}),
    (OPEN, "DPO KL"): Ours("dpo_kl", {}, alone=False),
    (OPEN, "SimNPO"): Ours("simnpo", {}),
    (OPEN, "SimNPO delta"): Ours("simnpo", {}),
    (OPEN, "WGA"): Ours("wga", {}),
    (OPEN, "SatImp"): Ours("satimp", {}),
    (OPEN, "UNDIAL"): Ours("undial", {}, alone=False),
    (OPEN, "UNDIAL NLL"): Ours("undial_rt", {}, alone=False),
    (OPEN, "CEU"): Ours("ce_u", {}),
    (OPEN, "PDU"): Ours("pdu", {"epsilon": 0.0, **KEEP_WEIGHT}, alone=False),
    (OPEN, "PDU dual"): Ours("pdu", {}, alone=False, loss="none"),
    (OPEN, "RMU"): Ours("rmu", {"depth": 0.5}, alone=False),
    (OPEN, "RMU last layer"): Ours("rmu", {"depth": 1.0}, alone=False),
    (PAPER, "grad_ascent"): Ours("ga", {}),
    (PAPER, "grad_diff"): Ours("ga_rt", {}),
    (PAPER, "KL"): Ours("ga_kl", {}, alone=False),
    (PAPER, "idk"): Ours("idk_rt", {}, alone=False),
    (PAPER, "dpo"): Ours("dpo", {}),
    (PAPER, "dpo_grad_diff"): Ours("dpo_rt", {}),
    (PAPER, "dpo_KL"): Ours("dpo_kl", {}, alone=False),
    (PAPER, "kto_logsigmoid"): Ours("kto", {}),
    (PAPER, "kto_logsigmoid_grad_diff"): Ours("kto_rt", {}),
    (PAPER, "npo"): Ours("npo", {}),
    (PAPER, "npo_grad_diff"): Ours("npo_rt", {}),
    (PAPER, "npo_KL"): Ours("npo_kl", {}, alone=False),
    ("closer-look-LLM-unlearning", "IDK+AP"): Ours("idk_ap", {}),
    ("closer-look-LLM-unlearning", "ME+GD"): Ours("me", {}),
    ("FLAT", "FLAT"): Ours("flat", {}),
    ("G-effect", "wga"): Ours("wga", {"beta": 0.8, "retain_weight": 0.0}),
    ("G-effect", "tnpo"): Ours("tnpo", {"beta": 4.0, "retain_weight": 0.0}, loss="none"),
    ("Unlearn-Simple", "simnpo_grad_diff"): Ours("simnpo", {"margin": 0.4}),
    ("SatImp", "satimp_gd"): Ours("satimp", {"beta1": 2.0, "beta2": 0.7}),
    ("Alternate-Preference-Optimization", "altpo"): Ours("altpo", {}),
    ("Unlearn-Smooth", "SAM"): Ours("sam", {"retain_weight": 1.7}),
    ("GRU", "GRU"): Ours("gru", {}, loss="forget"),
}

METHOD: dict[str, Method] = {**METHODS, "undial_rt": METHODS["undial"].with_retain("undial_rt", "nll")}
TOKENIZATIONS = ("apart", "pad_is_end")
FAST = ("one", "two_workers_twice")
"""Partitions that every commit is tried on: the plain one, and several workers with several micro-batches each."""
WHOLE = ("one", "two_two_one", "single_rows", "two_workers")
"""Partitions of all rows."""
each_partition = pytest.mark.parametrize(
    "partition", [pytest.param(p, marks=() if p in FAST else pytest.mark.slow) for p in goldens()["partitions"]]
)


def entry(peer: str, case: str, rows: str, partition: str) -> dict[str, Any]:
    wanted = (peer, case, rows, partition)
    (found,) = (c for c in goldens()["cases"] if (c["peer"], c["case"], c["rows"], c["partition"]) == wanted)
    return dict(found)


def way(peer: str, case: str, compat: Compat) -> Way:
    """The peer's hyper-parameters under the names that they have here."""
    ours, hyper = OURS[peer, case], entry(peer, case, "apart", "one")["hyper"]
    method = METHOD[ours.method]
    named = {NAMES.get(name, name): value for name, value in hyper.items()}
    values = {name: float(value) for name, value in named.items() if name in method.hyperparameters}
    return Way(method, {"retain_weight": 1.0, **values, **ours.values}, compat, seed=8)


def equal(done: Done, wanted: dict[str, Any], loss: str) -> None:
    """To `EXACT`, relative to the length of the gradient, and each parameter's to its own."""
    if loss != "none":
        found = done.loss if loss == "step" else sum(float(part.terms.forget) for part in done.seen)
        assert found == pytest.approx(wanted["loss"], rel=EXACT)
    found_summary = summary(done.gradient)
    assert found_summary["length"] == pytest.approx(wanted["length"], rel=EXACT)
    assert found_summary["along"] == pytest.approx(wanted["along"], rel=0, abs=EXACT * wanted["length"])
    if "lengths" in wanted:
        names = goldens()["parameters"]
        assert sorted(done.gradient) == names
        tiny = 1e-15 * wanted["length"]
        of_each = dict(zip(names, wanted["lengths"], strict=True))
        assert dict(zip(names, lengths(done.gradient), strict=True)) == pytest.approx(of_each, rel=EXACT, abs=tiny)


# ---- as the code bases do, in every partition


@pytest.mark.parametrize("rows", TOKENIZATIONS)
@each_partition
@pytest.mark.parametrize(("peer", "case"), [each for each in OURS if each[0] in CODE])
def test_compat_is_the_published_code(peer: str, case: str, rows: str, partition: str) -> None:
    taken = way(peer, case, CODE[peer])
    equal(take(taken, rows, partition), entry(peer, case, rows, partition), OURS[peer, case].loss)


@pytest.mark.parametrize("rows", TOKENIZATIONS)
@pytest.mark.parametrize("partition", goldens()["partitions"])
def test_the_multiplier_moves_as_in_open_unlearning(rows: str, partition: str) -> None:
    taken, wanted = way(OPEN, "PDU dual", "open_unlearning"), entry(OPEN, "PDU dual", rows, partition)
    done = take(taken, rows, partition)
    assert done.weights == pytest.approx([worker["retain_preference"] for worker in wanted["workers"]], rel=EXACT)
    # Their loss has the weight times what the constraint allows taken off, which has no gradient.
    weights = [float((part.loss - part.terms.forget) / part.terms.retain) for part in done.seen if part.terms.retain]
    allowed = taken.values["epsilon"] * sum(weights) / len(weights)
    assert done.loss - allowed == pytest.approx(wanted["loss"], rel=EXACT)


def test_the_direction_is_open_unlearnings() -> None:
    (worker,) = entry(OPEN, "RMU", "apart", "one")["workers"]
    steered = way(OPEN, "RMU", "open_unlearning").values["steering"] * direction(WIDTH, 8).double()
    torch.testing.assert_close(steered, torch.tensor(worker["control_vector"], dtype=torch.float64), rtol=EXACT, atol=0)


# ---- without compat: the loss over the whole batch is the code's over one micro-batch


def reachable(peer: str, rows: str) -> bool:
    """open-unlearning hides tokens that equal the padding, which without compat are seen."""
    return not (peer == OPEN and rows == "pad_is_end")


ALONE = [
    (peer, case, rows)
    for (peer, case), ours in OURS.items()
    for rows in TOKENIZATIONS
    if ours.alone and reachable(peer, rows)
]


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize(("peer", "case", "rows"), ALONE)
def test_no_layout_changes_the_loss(peer: str, case: str, rows: str, layout: Layout) -> None:
    done = take(replace(way(peer, case, "none"), layout=layout), rows, "one")
    equal(done, entry(peer, case, rows, "one"), OURS[peer, case].loss)


@pytest.mark.slow  # `test_step` and `test_every_method` look at partitions too
@pytest.mark.parametrize("partition", WHOLE[1:])
@pytest.mark.parametrize(("peer", "case", "rows"), ALONE)
def test_no_partition_changes_the_loss(peer: str, case: str, rows: str, partition: str) -> None:
    equal(take(way(peer, case, "none"), rows, partition), entry(peer, case, rows, "one"), OURS[peer, case].loss)


# ---- what the authors run where it is not what their papers say


AS_RUN = [
    ("closer-look-LLM-unlearning", "ME+GD floor"),
    ("closer-look-LLM-unlearning", "ME+GD as run"),
    ("FLAT", "FLAT as run"),
    ("G-effect", "tnpo as run"),
    ("Unlearn-Smooth", "SAM as run"),
]


@pytest.mark.parametrize("rows", TOKENIZATIONS)
@pytest.mark.parametrize(("peer", "case"), AS_RUN)
def test_the_distance_to_what_the_authors_run_is_known(peer: str, case: str, rows: str) -> None:
    wanted = entry(peer, case, rows, "one")
    plain = wanted["distance"]["to"]
    done, compared = take(way(peer, plain, "none"), rows, "one"), OURS[peer, plain].loss != "none"
    if compared:
        assert abs(wanted["loss"] / done.loss - 1) == pytest.approx(wanted["distance"]["loss"], rel=1e-4)
    length = summary(done.gradient)["length"]
    ratio, cosine = wanted["length"] / length, wanted["distance"]["cosine"]
    assert (1 + ratio**2 - 2 * ratio * cosine) ** 0.5 == pytest.approx(wanted["distance"]["gradient"], rel=1e-4)


def test_every_peers_case_is_compared() -> None:
    named = {(case["peer"], case["case"]) for case in goldens()["cases"]}
    assert named == set(OURS) | set(AS_RUN)
