"""One optimizer step of every family through the engine and the step code, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests import tiny
from tests.trainables.evaluation.small import small_tokenizer
from tests.trainables.model.family_models import PAD, VOCABULARY, plain_model
from trainables.batching.schedule import StepRows
from trainables.config import Hyperparameters, LoraConfig
from trainables.inputs.micro_batches import MicroBatcher, StepData
from trainables.inputs.reference_log_probs import compute_reference
from trainables.methods import METHODS
from trainables.model.load import load_model, save_model
from trainables.model.scoring import make_batch, score
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine
from trainables.training.step import Stepper

BETA, RATE = 0.1, 1e-2
FORGET = tiny.rows([(3, 6), (7, 1), (2, 13), (1, 14)], 3, VOCABULARY)
RETAIN = tiny.rows([(5, 3), (4, 16), (2, 8), (9, 9)], 4, VOCABULARY)
STEP = StepRows((0, 1, 2, 3), (0, 1, 2, 3))


def load(name: str, folder: Path) -> Any:
    """The model as trials get it: saved and loaded again."""
    save_model(folder, plain_model(name), small_tokenizer())
    return load_model(str(folder))[0].eval()


def work(names: list[str], group: Group, folder: Path) -> None:
    for name in names:
        for lora in (None, LoraConfig(rank=2)):
            model = load(name, folder / name)
            kind = "full" if lora is None else "lora"
            tiny.keep({f"{name}-{kind}": taken(model, group, lora, folder)}, group, folder)


def taken(pristine: Any, group: Group, lora: LoraConfig | None, folder: Path) -> tiny.Tensors:
    """Two steps, the first at the reference: its loss, and the whole weights and outputs after both."""
    engine = Engine(pristine, tiny.workers(), group, weight_decay=0.0, lora=lora)
    layout = engine.layout
    reference = compute_reference(pristine, FORGET, PAD, 4096, "cpu")
    hyper = Hyperparameters(method="npo_rt", forget_fraction=0.1, learning_rate=RATE, beta=BETA)
    data = StepData(FORGET, RETAIN, PAD, reference=reference)
    stepper = Stepper(engine, hyper, MicroBatcher(METHODS["npo_rt"], data, group, 4, layout=layout))
    losses = [float(sum(part.loss for part in stepper.run(STEP, epoch, RATE))) for epoch in (1, 2)]
    with engine.as_saved(), torch.no_grad():  # adapters are merged
        batch = make_batch([*FORGET, *RETAIN], PAD, "cpu", layout)
        outputs = score(engine.model.eval(), batch).sequence
    weights = {name: tensor.detach().clone() for name, tensor in (engine.weights() or {}).items()}
    engine.close()
    return {"losses": torch.tensor(losses), "outputs": outputs, "packed": torch.tensor(layout == "packed"), **weights}
