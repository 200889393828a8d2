"""Whole audits of a small model on one and two workers, and relearning against a plain optimizer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.trainables.evaluation.small import TEMPLATE, fresh_model, small_model, small_split, small_tokenizer
from trainables.audit.config import ATTACKS, AuditConfig
from trainables.audit.job import AuditJob
from trainables.audit.relearn import Relearning, check_steps, part_of, relearn
from trainables.audit.run import audit, run_audit
from trainables.audit.summary import NO_ATTACK, WORST
from trainables.batching.rows import Encoded, collate
from trainables.batching.schedule import learning_rate, shuffled
from trainables.config import BenchmarkConfig, EvaluationConfig, LoraConfig, Precision, TrainingRecipe, WorkersConfig
from trainables.data.benchmarks.registry import Row, Split
from trainables.data.tokenization import encode_row
from trainables.inputs.cache import WorkerCache
from trainables.model.load import save_model
from trainables.runtime.ranks import Group

RATES = (3e-3, 1e-3)
RECIPE = TrainingRecipe(learning_rate=RATES[0], betas=(0.9, 0.95), gradient_clip=1.0)
HOW = Relearning(steps=5, batch_size=3, learning_rate=2e-3, checks=2, seed=7)


@dataclass(frozen=True)
class Case:
    """An audit that is run; what is left out of one with fewer attacks is in another."""

    size: int
    stage: int = 0
    precision: Precision = "fp32"
    audit: Mapping[str, Any] = field(default_factory=dict)
    lora: LoraConfig | None = None

    @property
    def name(self) -> str:
        return f"audit-{self.size}-{self.stage}-{self.precision}{'' if self.lora is None else '-lora'}"


_SOME = {"attacks": ["nf4", "relearn"], "relearn_learning_rates": RATES[1:]}
FEW = (Case(1), Case(2, audit=_SOME))
REST = (
    Case(1, precision="bf16", audit={"attacks": ["prefix", "nf4"]}),
    Case(1, audit={"attacks": ["relearn"], "relearn_learning_rates": RATES[:1]}, lora=LoraConfig(rank=4)),
    # Generating with sharded weights gathers them for every token: slow, so only once.
    Case(2, stage=3, audit=_SOME),
)


def workers(size: int, stage: int, precision: Precision = "fp32") -> WorkersConfig:
    return tiny.workers(stage, precision, 2, size)


def job(folder: Path, name: str, on: WorkersConfig, lora: LoraConfig | None = None, **audit: Any) -> AuditJob:
    relearning = {"relearn_steps": 6, "relearn_checks": 1, "relearn_batch_size": 4}
    settings = {"rows": 8, "best_of": 3, **relearning, **audit}
    return AuditJob(
        model=str(folder / "model"),
        benchmark=BenchmarkConfig(people=4, evaluation_rows=6),
        fraction=0.25,
        template=TEMPLATE,
        evaluation=EvaluationConfig(max_new_tokens=12, batch_tokens=512),
        workers=on,
        recipe=RECIPE,
        lora=lora,
        audit=AuditConfig.model_validate(settings),
        file=str(folder / f"{name}.json"),
    )


def rows() -> list[Encoded]:
    return [encode_row(TEMPLATE, small_tokenizer(), row) for row in small_split().forget[:7]]


def _relearned(folder: Path, group: Group, name: str) -> None:
    """Keep the weights and the loss that every look sees."""
    looks: list[dict[str, Any]] = []
    model = fresh_model()

    def look(trained: Any, step: int, loss: float) -> None:
        weights = {key: value.detach().clone() for key, value in trained.state_dict().items()}
        looks.append({"step": step, "loss": loss, "weights": weights, "training": trained.training})

    relearn(model, rows(), HOW, RECIPE, workers(group.size, 0), group, look)
    torch.save({"looks": looks, "pristine": model.state_dict()}, folder / f"{name}-rank{group.rank}.pt")


def work(cases: tuple[Case, ...], group: Group, folder: Path) -> None:
    """The audits of this group's size, and a relearning."""
    resident = WorkerCache()
    for case in cases:
        if case.size == group.size:
            on = workers(group.size, case.stage, case.precision)
            found = run_audit(job(folder, case.name, on, case.lora, **case.audit), resident, group)
            torch.save(found["metrics"], folder / f"{case.name}-rank{group.rank}.pt")
    _relearned(folder, group, f"relearn-{group.size}")


WHAT = ("forget_rouge", "forget_probability", "extraction_strength")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a few audits."""
    made = tmp_path_factory.mktemp("audit")
    save_model(made / "model", small_model(), small_tokenizer())
    tiny.spawned(partial(work, FEW), made)
    return made


@pytest.fixture(scope="module")
def rest(folder: Path) -> Path:
    """Those of all audits."""
    tiny.spawned(partial(work, REST), folder)
    return folder


def result(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"audit-{name}.json").read_text())
    return content


def loaded(folder: Path, name: str) -> Any:
    return torch.load(folder / f"{name}.pt", weights_only=True)


def test_an_audit_has_every_attack(folder: Path) -> None:
    found = result(folder, "1-0-fp32")
    assert found["skipped"] == {}, "the embedded benchmark supports every attack"
    attacks = (NO_ATTACK, *ATTACKS)
    expected = {f"audit_{attack}_{what}" for attack in attacks for what in WHAT}
    expected -= {"audit_best_of_n_forget_probability", "audit_best_of_n_extraction_strength"}
    assert set(found["metrics"]) == expected | {WORST, "audit_seconds"}
    assert all(0 <= found["metrics"][key] <= 1 for key in expected)
    assert set(found["seconds"]) == set(found["samples"]) == set(attacks)
    assert all({"prompt", "answer", "generated"} == set(one) for some in found["samples"].values() for one in some)
    leaks = [found["metrics"][f"audit_{attack}_forget_rouge"] for attack in attacks]
    assert found["metrics"][WORST] == max(leaks) > 0.3, "half of the forget set is known by heart"
    assert found["metrics"]["audit_best_of_n_forget_rouge"] >= found["metrics"]["audit_paraphrase_forget_rouge"]


def test_the_recovery_curve_begins_before_the_attack(folder: Path) -> None:
    found = result(folder, "1-0-fp32")
    metrics = found["metrics"]
    for attack in ("relearn", "relearn_benign"):
        curve = found["curves"][attack]
        steps = [(point["learning_rate"], point["step"]) for point in curve]
        assert steps == [(rate, step) for rate in RATES for step in (0, 6)], "the recipe's rate and a third of it"
        before = [point["whole_forget_rouge"] for point in curve if point["step"] == 0]
        assert before == [metrics["audit_no_attack_forget_rouge"]] * 2
        ends = [point["forget_rouge"] for point in curve if point["step"] == 6]
        assert metrics[f"audit_{attack}_forget_rouge"] == max(ends)
        assert all(math.isfinite(point["loss"]) for point in curve if point["step"] == 6)


@pytest.mark.parametrize(
    ("results", "case"), [("folder", "2-0-fp32"), pytest.param("rest", "2-3-fp32", marks=pytest.mark.slow)]
)
def test_workers_and_zero_stage_do_not_matter(request: pytest.FixtureRequest, results: str, case: str) -> None:
    folder = request.getfixturevalue(results)
    first, second = (loaded(folder, f"audit-{case}-rank{rank}") for rank in range(2))
    assert first == second, "the same on every rank"
    one, two = result(folder, "1-0-fp32"), result(folder, case)
    assert two["metrics"] == first
    # How a batch is padded changes float32 rounding, and through it, rarely, a token.
    for attack in two["seconds"].keys() - two["curves"].keys():
        keys = [key for key in two["metrics"] if key.startswith(f"audit_{attack}_")]
        assert {key: two["metrics"][key] for key in keys} == pytest.approx(
            {key: one["metrics"][key] for key in keys}, rel=1e-3
        )
        assert two["samples"][attack] == one["samples"][attack]
    for attack, curve in two["curves"].items():
        rates = {point["learning_rate"] for point in curve}
        expected = [point for point in one["curves"][attack] if point["learning_rate"] in rates]
        for point, other in zip(curve, expected, strict=True):
            assert point == pytest.approx(other, rel=1e-2, abs=2e-2)


@pytest.mark.slow
def test_low_precision_agrees_with_float32(rest: Path) -> None:
    exact, rounded = (result(rest, f"1-0-{precision}")["metrics"] for precision in ("fp32", "bf16"))
    assert rounded.keys() < exact.keys()
    for attack in (NO_ATTACK, "nf4", "prefix"):
        key = f"audit_{attack}_forget_probability"
        assert rounded[key] == pytest.approx(exact[key], abs=0.03)
        assert rounded[key] != exact[key]


@pytest.mark.slow
def test_adapters_relearn_where_the_trials_had_them(rest: Path) -> None:
    whole, adapters = (result(rest, f"1-0-fp32{kind}")["curves"]["relearn"][:2] for kind in ("", "-lora"))
    assert adapters[0] == whole[0], "nothing has been trained yet"
    assert adapters[1]["loss"] != whole[1]["loss"]
    assert adapters[1]["whole_forget_probability"] != adapters[0]["whole_forget_probability"], "adapters train"


@pytest.mark.parametrize("size", [1, 2])
def test_relearning_is_adamw_on_token_means(folder: Path, size: int) -> None:
    content = loaded(folder, f"relearn-{size}-rank0")
    assert all(torch.equal(weights, fresh_model().state_dict()[name]) for name, weights in content["pristine"].items())
    model, data = fresh_model(), rows()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=RECIPE.betas, weight_decay=0.0)
    batches = [batch for epoch in (1, 2) for batch in shuffled(len(data), HOW.batch_size, HOW.seed, epoch)][: HOW.steps]
    looks = {look["step"]: look for look in content["looks"]}
    assert sorted(looks) == check_steps(HOW.steps, HOW.checks) == [2, 5]
    for step, indices in enumerate(batches):
        batch = collate([data[i] for i in indices], 0)
        loss = model(input_ids=batch.input_ids, labels=batch.labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), RECIPE.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, HOW.steps, 0, HOW.learning_rate)
        optimizer.step()
        if look := looks.get(step + 1):
            assert look["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
            assert not look["training"]
            for name, weights in look["weights"].items():
                assert torch.allclose(weights, model.state_dict()[name], atol=1e-5), name


def test_the_model_given_is_left_alone_and_a_file_is_the_result(folder: Path, tmp_path: Path) -> None:
    of = job(folder, "again", workers(1, 0), attacks=("nf4", "rtn4", "few_shot"))
    resident = WorkerCache()
    kept = resident.get("frozen", "what an earlier trial left on the device", object)
    first = run_audit(of, resident, Group())
    assert resident.get("frozen", "what an earlier trial left on the device", object) is not kept
    assert set(first["seconds"]) == {NO_ATTACK, "nf4", "rtn4", "few_shot"}
    written = Path(of.file).read_text()
    gone = of.model_copy(update={"model": str(tmp_path / "nowhere")})
    assert run_audit(gone, resident, Group()) == first, "what has been measured is not measured again"
    assert Path(of.file).read_text() == written


def weightless(folder: Path, split: Split, *attacks: str, **settings: Any) -> dict[str, Any]:
    """An audit without training: needs no process group."""
    of = job(folder, "unused", workers(1, 0), attacks=attacks, **settings)
    return audit(of, small_model(), small_tokenizer(), split, (), Group())


def test_attacks_that_the_data_cannot_support_are_absent(tmp_path: Path) -> None:
    forget = small_split().evaluation["forget"]
    bare = tuple(replace(row, paraphrased_question=None) for row in forget.rows)
    evaluation = {"forget": replace(forget, rows=bare)}
    split = replace(small_split(), retain=(), forget=bare[:1], evaluation=evaluation)
    found = weightless(tmp_path, split, "paraphrase", "few_shot", "relearn", "relearn_benign")
    assert set(found["skipped"]) == {"paraphrase", "few_shot", "relearn", "relearn_benign"}
    assert {key for key in found["metrics"] if key != "audit_seconds"} == {
        WORST,
        *(f"audit_{NO_ATTACK}_{what}" for what in WHAT),
    }
    assert found["metrics"][WORST] == found["metrics"][f"audit_{NO_ATTACK}_forget_rouge"]


def test_raw_texts_are_skipped_and_long_prompts_must_fit(tmp_path: Path) -> None:
    forget = small_split().evaluation["forget"]
    raw = tuple(Row(row.question, f" {row.answer}", raw=True) for row in forget.rows)
    split = replace(small_split(), evaluation={"forget": replace(forget, rows=raw)})
    found = weightless(tmp_path, split, "few_shot", "prefix", "best_of_n", best_of=2)
    assert set(found["skipped"]) == {"few_shot", "prefix"}
    model = small_model()
    room = model.config.max_position_embeddings
    try:
        model.config.max_position_embeddings = 100
        found = weightless(tmp_path, small_split(), "few_shot", few_shot=3)
    finally:
        model.config.max_position_embeddings = room
    assert "room for 100" in found["skipped"]["few_shot"]


def test_a_destroyed_model_has_nan_and_no_crash(tmp_path: Path) -> None:
    model = fresh_model()
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    of = job(tmp_path, "unused", workers(1, 0), attacks=("paraphrase", "prefix", "best_of_n", "nf4"))
    found = audit(of, model, small_tokenizer(), small_split(), (), Group())
    assert found["skipped"] == {}
    assert all(math.isnan(value) for key, value in found["metrics"].items() if key != "audit_seconds")


@pytest.mark.parametrize("rows", [2, 3, 40])
@pytest.mark.parametrize("share", [0.01, 0.25, 0.99])
def test_the_relearned_part_is_neither_empty_nor_everything(rows: int, share: float) -> None:
    part = part_of(rows, share, seed=0)
    assert part == sorted(set(part)) and 1 <= len(part) < rows
    assert part == part_of(rows, share, seed=0)
    assert all(0 <= i < rows for i in part)


def test_checks_are_even_and_end_with_the_last_step() -> None:
    assert check_steps(30, 3) == [10, 20, 30]
    assert check_steps(2, 5) == [1, 2]
    assert check_steps(7, 1) == [7]
