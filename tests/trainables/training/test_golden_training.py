"""A whole training and its evaluation against open-unlearning's own: twenty steps of NPO by its trainer, unchanged.

`tests/goldens/training.json` has what that trainer did: which rows made each micro-batch, at which rate, with which
loss. Letheon takes the same rows at the same rates through its own engine, with `compat: open_unlearning`. Rows are
padded with the end of turns, which open-unlearning then hides in prompts too.

The trainer of transformers lets every weight decay but norms, and under `compat` so does Letheon: that must be the same
to float32's last digits. It trains once more with norms that decay, as by default, which tells how much they matter.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from letheon.cli.compare_logs import compare
from tests import tiny
from tests.goldens.make_training import fact_of
from trainables.batching.schedule import StepRows, learning_rate
from trainables.config import BenchmarkConfig, EvaluationConfig, Hyperparameters, TrialConfig, WorkersConfig
from trainables.inputs.cache import WorkerCache
from trainables.inputs.micro_batches import MicroBatcher
from trainables.inputs.step_data import step_data
from trainables.jobs.evaluate_folder import evaluate_folder
from trainables.methods import METHODS
from trainables.model.load import save_model
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine
from trainables.training.step import Stepper

GOLDENS = Path(__file__).parents[2] / "goldens"
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


def train(folder: Path, decay: str, resident: WorkerCache) -> dict[str, Any]:
    """`decay`: "ours" for all weights, "theirs" for all but the norms', as the trainer of transformers has it.

    Losses of every step's micro-batches, and of every weight in the end what the golden says of it."""
    config, group, method = trial_config(folder), Group(), METHODS[HYPER.method]
    data, loaded = step_data(config, method, resident, "cpu"), resident.model(config.target)
    engine = Engine(loaded.model, config.workers, group, weight_decay=HYPER.weight_decay, decay_norms=decay != "theirs")
    batcher = MicroBatcher(method, data, group, config.workers.micro_batch_size, config.compat, layout=engine.layout)
    stepper = Stepper(engine, HYPER, batcher)
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
    resident = WorkerCache()
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


UNLEARNED, RETAIN = FOLDER / "unlearned_TOFU_EVAL.json", FOLDER / "retain_TOFU_EVAL.json"
LOSS = {"theirs": 1e-5, "ours": 1e-3}
"""Relative. Seen: 3e-6 and 2e-4, both growing from 1e-7 in the first step."""
ENTRY = {"theirs": 2e-6, "ours": 2e-4}
"""Absolute, of weights that are about 0.1, norms 1. Seen: 1e-7 and 7e-5, the latter of norms."""
METRIC = {"theirs": 1e-5, "ours": 1e-3}
"""Relative or absolute, of a number over all rows. Seen: 6e-7 and 1e-4."""
ROW = {"theirs": 1e-4, "ours": 5e-3}
"""Relative or absolute, of a row. Seen: 2e-5 and 6e-4."""
STEPS, WARMUP = 20, 5


class Run(NamedTuple):
    """`found`: losses, weights and rows of the training; `log`: the file of the evaluation."""

    decay: str
    found: dict[str, Any]
    log: Path


@pytest.fixture(scope="module", params=["theirs", pytest.param("ours", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("golden_training")
    tiny.spawned(partial(work, request.param), folder, sizes=(1,))
    return Run(request.param, json.loads((folder / "run.json").read_text()), folder / EVALUATED)


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def near(one: float, other: float, tolerance: float) -> bool:
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


def test_rows_have_their_tokens(run: Run) -> None:
    assert run.found["rows"] == golden()["rows"]


def test_its_trainer_decays_everything_except_norms() -> None:
    decayed = golden()["decayed"]
    assert set(decayed) == {"0.0", "0.01"}
    assert all("norm" in name for name in decayed["0.0"])
    assert not any("norm" in name for name in decayed["0.01"])


def test_its_rates_are_a_step_behind_ours_in_the_warm_up() -> None:
    theirs = [step["rate"] for step in golden()["steps"]]
    ours = [learning_rate(step, STEPS, WARMUP, HYPER.learning_rate) for step in range(STEPS)]
    assert theirs[: WARMUP + 1] == pytest.approx([0.0, *ours[:WARMUP]], rel=1e-12)
    assert theirs[WARMUP:] == pytest.approx(ours[WARMUP:], rel=1e-12)


def test_every_step_has_their_loss(run: Run) -> None:
    theirs = [mean(step["losses"]) for step in golden()["steps"]]
    ours = [mean(losses) for losses in run.found["losses"]]
    assert len(ours) == STEPS
    assert max(ours) > 3 * min(ours)  # something happens in these steps
    assert ours == pytest.approx(theirs, rel=LOSS[run.decay])


def test_weights_end_where_theirs_do(run: Run) -> None:
    tensors: Mapping[str, Any] = run.found["tensors"]
    for name, theirs in golden()["weights"]["tensors"].items():
        ours = tensors[name]
        assert ours["entries"] == pytest.approx(theirs["entries"], rel=0, abs=ENTRY[run.decay]), name
        if run.decay == "theirs":
            assert ours["norm"] == pytest.approx(theirs["norm"], rel=1e-6), name
            assert ours["moved"] == pytest.approx(theirs["moved"], rel=1e-4), name


def test_compare_logs_reads_both_evaluations_as_equal(run: Run) -> None:
    """open-unlearning's evaluation of its model, ours of ours, and both against the retain model."""
    both = compare(UNLEARNED, run.log)
    theirs, ours = (both[side]["metrics"] for side in ("retain", "unlearned"))
    assert set(theirs) <= set(ours)
    assert len(theirs) > 20
    assert [name for name in theirs if not near(ours[name], theirs[name], METRIC[run.decay])] == []
    assert both["retain"]["differs"] == both["unlearned"]["differs"] == []
    assert both["comparison"]["forget_quality"] > 0.99
    assert both["comparison"]["privleak"] == 0.0
    beside, own = (compare(RETAIN, log) for log in (UNLEARNED, run.log))
    for name in ("forget_quality", "ks_distance", "privleak"):
        assert near(own["comparison"][name], beside["comparison"][name], METRIC[run.decay]), name
    for name in ("forget_quality", "privleak"):
        assert near(own["comparison"][name], beside["stored"][name], METRIC[run.decay]), name


def test_every_row_of_the_evaluation_has_their_numbers(run: Run) -> None:
    theirs, ours = (json.loads(path.read_text()) for path in (UNLEARNED, run.log))
    apart = [
        f"{place}: {one} and {other}"
        for place, one, other in rows_of(theirs, ours)
        if not (one == other if isinstance(one, str) else near(one, other, ROW[run.decay]))
    ]
    assert apart == []


def rows_of(theirs: Any, ours: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every number and text of their log, with ours in the same place.

    Theirs has the whole prompt where ours has a row's question. What needs the retain model is not in our log.
    """
    if isinstance(theirs, dict):
        for key, value in theirs.items():
            if key not in ("input", "forget_quality", "privleak"):
                yield from rows_of(value, ours[key], f"{place}/{key}")
    elif isinstance(theirs, list):
        for value, own in zip(theirs, ours, strict=True):
            yield from rows_of(value, own, place)
    else:
        yield place, theirs, ours
