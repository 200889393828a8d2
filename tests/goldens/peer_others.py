"""Losses of the other methods' authors: their functions, on one micro-batch, and what they run where that differs.

Two losses have a small constant that keeps their logarithm or quotient finite and that the paper does not have. They
are here as they are, and once more with the constant at 0: that is what a loss without it must equal to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import MethodType, ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from tests.goldens.loss_rows import Micro
from tests.goldens.measured import Case, Setting, Worker
from tests.goldens.peer_code import Checkout, with_constant
from tests.goldens.peer_npo import inputs, trainer_loss
from tests.goldens.tofu_rows import Inputs, converted

WIDTH = 40
"""What rows are padded to; only losses over padding depend on it. (All of them run with 500 or more.)"""

Checkouts = dict[str, Checkout]


def cases(checkouts: Checkouts) -> list[Case]:
    makers = (_closer_look, _flat, _g_effect, _simnpo, _satimp, _altpo, _smooth, _gru)
    return [case for make in makers for case in make(checkouts)]


# ---- closer look: IDK+AP, ME+GD


def _closer_look(checkouts: Checkouts) -> list[Case]:
    peer = "closer-look-LLM-unlearning"
    checkout = checkouts[peer]
    losses, data = checkout.module("losses", "trainer"), checkout.module("dataset.data_module")
    exact = with_constant(losses.get_me_loss, 1e-12, 0.0)
    refuse = {"beta": 0.3, "forget_coeff": 1.0, "regularization_coeff": 1.7}
    level = {"forget_coeff": 1.0, "regularization_coeff": 10.0}

    def start(name: str, hyper: dict[str, float], mask: bool = True, floor: bool = True) -> Callable[[Setting], Worker]:
        def rows(which: Any, at: Setting, forget: bool = False) -> Inputs:
            if forget:
                return converted(data.convert_raw_forget_data_to_model_format, which, at.tokens.end, WIDTH, mask=mask)
            return converted(data.convert_raw_data_to_model_format, which, at.tokens.end, WIDTH)

        def loss(micro: Micro, at: Setting) -> Tensor:
            kinds = (micro.forget, micro.retain, micro.alternates, micro.retain_alternates)
            given = [rows(which, at, forget=which is micro.forget) for which in kinds]
            with nullcontext() if floor else mock.patch.object(losses, "get_me_loss", exact):
                parts = losses.get_loss(at.model, at.reference, given, name, hyper.get("beta", 0.1))
            found: Tensor = hyper["forget_coeff"] * parts[0] + hyper["regularization_coeff"] * parts[1]
            return found

        return lambda at: Worker(lambda micro: loss(micro, at))

    code = "trainer/losses.py: get_loss"
    floorless, whole = "the floor of 1e-12 under each p set to 0", "config mask: false, so question and padding count"
    return [
        Case("IDK+AP", peer, code, refuse, start("IDK+AP", refuse)),
        Case("ME+GD", peer, code, level, start("ME+GD", level, floor=False), note=floorless),
        Case("ME+GD floor", peer, code, level, start("ME+GD", level), against="ME+GD", note="unchanged"),
        Case("ME+GD as run", peer, code, level, start("ME+GD", level, mask=False), against="ME+GD", note=whole),
    ]


# ---- FLAT


def _flat(checkouts: Checkouts) -> list[Case]:
    peer = "FLAT"
    dataloader, data = checkouts[peer].module("dataloader"), checkouts[peer].module("data_module")
    total_variation = {"variants": "Total-Variation"}

    def by_row(at: Setting) -> Worker:
        """Their two functions, applied to the answer of every row by itself."""
        probability = dataloader.ProbLossStable()

        def mean(row: Any) -> Tensor:
            ids = torch.tensor(row.ids)
            found: Tensor = probability(at.model(ids[None]).logits[0, row.answer - 1 : -1], ids[row.answer :]).mean()
            return found

        def loss(micro: Micro) -> Tensor:
            pairs = zip(micro.forget, micro.alternates, strict=True)
            name = total_variation["variants"]
            return torch.stack([dataloader.get_contrastive_loss(mean(f), mean(a), name) for f, a in pairs]).mean()

        return Worker(loss)

    def as_run(at: Setting) -> Worker:
        compute = trainer_loss(dataloader.CustomTrainerForgetting, "cl", at, {"cl_div": total_variation["variants"]})

        def rows(which: Any) -> Inputs:
            return converted(data.create_tofu_sample_pair, which, at.tokens.end, WIDTH)

        return Worker(lambda micro: compute((rows(micro.forget), rows(micro.alternates))))

    code, run = (
        "dataloader.py: ProbLossStable, get_contrastive_loss",
        "dataloader.py: CustomTrainerForgetting.compute_loss",
    )
    padded = f"mean over the batch, prompt and padding (to {WIDTH}) too, before tanh"
    return [
        Case("FLAT", peer, code, total_variation, by_row, note="row by row, over answer tokens"),
        Case("FLAT as run", peer, run, total_variation, as_run, against="FLAT", note=padded),
    ]


# ---- trainers that descend from TOFU's: WGA, TNPO, SimNPO, SatImp, AltPO


def _tofu_like(trainer: Any, data: ModuleType, loss: str, attributes: dict[str, Any]) -> Callable[[Setting], Worker]:
    def start(at: Setting) -> Worker:
        compute = trainer_loss(trainer, loss, at, attributes)
        return Worker(lambda micro: compute(inputs(data, loss, micro, at.tokens, WIDTH)))

    return start


def _g_effect(checkouts: Checkouts) -> list[Case]:
    peer, code = "G-effect", "dataloader.py: CustomTrainerForgetting.compute_loss"
    dataloader, data = checkouts[peer].module("dataloader"), checkouts[peer].module("data_module")
    trainer = dataloader.CustomTrainerForgetting
    exact = type("Exact", (trainer,), {"compute_loss": with_constant(trainer.compute_loss, 1e-5, 0.0)})
    wga, tnpo = {"hyper_param": 0.8}, {"hyper_param": 4}
    without = "the 1e-5 in the weights' denominator set to 0"
    return [
        Case("wga", peer, code, wga, _tofu_like(trainer, data, "wga", wga)),
        Case("tnpo", peer, code, tnpo, _tofu_like(exact, data, "tnpo", tnpo), note=without),
        Case(
            "tnpo as run", peer, code, tnpo, _tofu_like(trainer, data, "tnpo", tnpo), against="tnpo", note="unchanged"
        ),
    ]


def _simnpo(checkouts: Checkouts) -> list[Case]:
    peer, loss = "Unlearn-Simple", "simnpo_grad_diff"
    dataloader, data = checkouts[peer].module("dataloader", "TOFU"), checkouts[peer].module("data_module", "TOFU")
    hyper = {"beta": 0.7, "gamma": 0.4, "npo_coeff": 1.0, "grad_diff_coeff": 0.1}
    start = _tofu_like(dataloader.CustomTrainerForgetting, data, loss, hyper)
    return [Case(loss, peer, "TOFU/dataloader.py: CustomTrainerForgetting.compute_loss", hyper, start)]


def _satimp(checkouts: Checkouts) -> list[Case]:
    peer, loss, inside = "SatImp", "satimp_gd", "dataloader"
    dataloader, data = (
        checkouts[peer].module("dataloader_sat", inside),
        checkouts[peer].module("data_module_base", inside),
    )
    hyper = {"hyper_param": 2.0, "beta_param": 0.7, "coeff": 0.1}
    start = _tofu_like(dataloader.CustomTrainerForgetting, data, loss, hyper)
    return [Case(loss, peer, "dataloader/dataloader_sat.py: CustomTrainerForgetting.compute_loss", hyper, start)]


def _altpo(checkouts: Checkouts) -> list[Case]:
    peer, loss = "Alternate-Preference-Optimization", "dpo"
    dataloader, data = checkouts[peer].module("dataloader"), checkouts[peer].module("data_module")
    hyper = {"beta": 0.3, "retain_wt": 1.7, "retain_type": "NLL"}
    attributes = {**hyper, "args": SimpleNamespace(device="cpu")}
    start = _tofu_like(dataloader.CustomTrainerForgetting, data, loss, attributes)
    return [Case("altpo", peer, "dataloader.py: CustomTrainerForgetting.compute_loss (dpo)", hyper, start)]


# ---- gradient-level methods: SAM, GRU


def _smooth(checkouts: Checkouts) -> list[Case]:
    peer = "Unlearn-Smooth"
    trainers = checkouts[peer].module("unlearn", "WMDP/src").NPO_FT_SAM
    paper = checkouts["negative-preference-optimization"]
    of_paper, data = paper.module("dataloader", "TOFU").CustomTrainerForgetting, paper.module("data_module", "TOFU")
    hyper = {"beta": 0.3, "sam_rho": 0.02, "gamma": 1.7}

    def start(at: Setting, whole_answers: bool) -> Worker:
        made = trainers.__new__(trainers)
        args = SimpleNamespace(n_gpu=1, gradient_accumulation_steps=1)
        engine = SimpleNamespace(backward=lambda loss: loss.backward())
        vars(made).update({**hyper, "args": args, "accelerator": engine, "infer_model": at.reference})
        made._prepare_inputs = lambda given: given
        if whole_answers:
            npo = trainer_loss(of_paper, "npo", at, {"beta": hyper["beta"]})

            def forget_loss(self: Any, model: Any, given: dict[str, Inputs]) -> Tensor:
                ids, mask, labels = given["forget"]
                return npo(((ids, labels, mask), given["retain"]))

            made._compute_forget_loss = MethodType(forget_loss, made)

        def loss(micro: Micro) -> Tensor:
            kinds = {"forget": micro.forget, "retain": micro.retain}
            rows = {
                name: converted(data.convert_raw_data_to_model_format, which, at.tokens.end, WIDTH)
                for name, which in kinds.items()
            }
            given = {name: (ids, mask, labels) for name, (ids, labels, mask) in rows.items()}
            found: Tensor = made.training_step(at.model, given)
            return found

        return Worker(loss)

    code = "WMDP/src/unlearn: SAMTrainer.training_step"
    answers, means = (
        "with the NPO paper's loss of whole answers",
        "NPO_FT_SAM's own loss: of the batch's mean token loss",
    )
    return [
        Case("SAM", peer, code, hyper, lambda at: start(at, True), note=answers),
        Case("SAM as run", peer, code, hyper, lambda at: start(at, False), against="SAM", note=means),
    ]


def _gru(checkouts: Checkouts) -> list[Case]:
    peer = "GRU"
    trainer = checkouts[peer].module("dataloader_faster_refactor1").CustomTrainerForgetting
    data = checkouts[peer].module("data_module")
    hyper = {"beta": 0.3, "moving_avg": 1.0, "ce_coeff": 1.0, "gru_type": "proj", "cos_clip": False}
    state = {
        **hyper,
        "args": SimpleNamespace(optim="adamw_torch", n_gpu=1, gradient_accumulation_steps=1),
        "compute_loss_context_manager": nullcontext,
        "use_apex": False,
        "gradient_accumulation_steps": 1,
        "gradient_edit": True,
        "with_KL_gradient": False,
        "with_ce_gradient": True,
        "steps": 0,
        "flattened_memory_old": 0.0,
    }

    def start(at: Setting) -> Worker:
        made = trainer.__new__(trainer)
        vars(made).update({**state, "gradient_accum": {}, "memory_grad": {}, "KL_gradient_accum": {}})
        vars(made).update({"loss_type": "npo_gru", "oracle_model": at.reference, "ref_policy": "fine_tuned"})
        made._prepare_inputs = lambda given: given

        def loss(micro: Micro) -> Tensor:
            with _no_device():
                found: Tensor = made.training_step(at.model, inputs(data, "npo", micro, at.tokens, WIDTH))
            return found

        return Worker(loss, lambda: {"product": made.dotp_retain})

    code = "dataloader_faster_refactor1.py: CustomTrainerForgetting.training_step (npo_gru)"
    note = "with the retain gradient (ce) added, and the present retain gradient"
    return [Case("GRU", peer, code, hyper, start, note=note)]


@contextmanager
def _no_device() -> Iterator[None]:
    """Their inner product goes to a GPU."""
    plain = torch.Tensor.to

    def to(self: Tensor, *where: Any, **others: Any) -> Tensor:
        return self if where == ("cuda",) else plain(self, *where, **others)

    with mock.patch.object(torch.Tensor, "to", to):
        yield
