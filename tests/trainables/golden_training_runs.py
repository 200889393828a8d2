"""What the process of `test_golden_training` does: twenty steps through the engine on the rows and at the rates that
open-unlearning's own trainer had, then an evaluation of what came out.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.goldens.make_training import fact_of
from trainables.config import BenchmarkConfig, EvaluationConfig, Hyperparameters, TrialConfig, WorkersConfig
from trainables.engine import Engine
from trainables.feed import Feed
from trainables.group import Group
from trainables.methods import METHODS
from trainables.models import save_model
from trainables.prepare import evaluate_folder
from trainables.resident import Resident
from trainables.schedule import StepRows
from trainables.step import Stepper
from trainables.step_data import step_data

GOLDENS = Path(__file__).parents[1] / "goldens"
FOLDER = GOLDENS / "training"
EVALUATED = "TOFU_EVAL.json"
BENCHMARK = BenchmarkConfig(name="tofu", path=str(FOLDER / "data"), people=6)
HYPER = Hyperparameters(
    method="npo_rt",
    forget_fraction=1 / 3,
    learning_rate=4e-4,
    beta=0.1,
    retain_weight=1.0,
    batch_size=8,
    warmup_epochs=1,
    weight_decay=0.01,
)
EVALUATION = EvaluationConfig(compat="open_unlearning", gradient_norm=True)
TEMPLATE = "chat_system"


@cache
def golden() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((GOLDENS / "training.json").read_text())
    return content


def trial_config(folder: Path) -> TrialConfig:
    return TrialConfig(
        trial="golden",
        hyperparameters=HYPER,
        max_epochs=4,
        benchmark=BENCHMARK,
        workers=WorkersConfig(micro_batch_size=4),
        evaluation=EVALUATION,
        target=str(FOLDER / "start"),
        target_digest="golden",
        template=TEMPLATE,
        reference_cache=str(folder / "reference"),
        baseline="",
        compat="open_unlearning",
        folder=str(folder / "trial"),
    )


def train(folder: Path, decay: str, resident: Resident) -> dict[str, Any]:
    """`decay`: "ours" for all weights, "theirs" for all but the norms', as the trainer of transformers has it.

    Losses of every step's micro-batches, and of every weight in the end what the golden says of it."""
    config, group, method = trial_config(folder), Group(), METHODS[HYPER.method]
    data, loaded = step_data(config, method, resident, "cpu"), resident.model(config.target)
    engine = Engine(loaded.model, config.workers, group, weight_decay=HYPER.weight_decay, decay_norms=decay != "theirs")
    feed = Feed(method, data, group, config.workers.micro_batch_size, config.compat, layout=engine.takes)
    stepper = Stepper(engine, HYPER, feed)
    engine.model.train()
    losses = []
    for step in golden()["steps"]:
        rows = StepRows(tuple(step["forget"]), tuple(step["retain"]))
        seen = stepper.run(rows, 1, step["rate"])
        losses.append([float(part.loss) * len(seen) for part in seen])  # a part's share of the step is of the mean
    weights, start = dict(engine.weights() or {}), loaded.model.state_dict()
    facts = {name: fact_of(tensor, start[name]) for name, tensor in weights.items()}
    save_model(folder / decay, engine.model, loaded.tokenizer, weights)
    engine.close()
    encoded = {
        name: [{"prompt": row.answer_start, "ids": list(row.input_ids)} for row in getattr(data, name)]
        for name in ("forget", "retain")
    }
    return {"losses": losses, "tensors": facts, "rows": encoded}


def work(decay: str, _: Group, folder: Path) -> None:
    """Train and evaluate."""
    resident = Resident()
    card = {
        "benchmark": BENCHMARK.model_dump(mode="json"),
        "forget_fraction": HYPER.forget_fraction,
        "template": TEMPLATE,
        "evaluation": EVALUATION.model_dump(mode="json"),
        "precision": "fp32",
    }
    found = train(folder, decay, resident)
    (folder / "run.json").write_text(json.dumps(found))
    evaluate_folder(folder / decay, card, folder / EVALUATED)
