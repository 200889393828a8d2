"""Every family of decoders computes on Letheon's paths what it computes in transformers, and the table of paths holds.

The reference is the library's own forward pass over one row at a time, without padding, in float32.
"""

from __future__ import annotations

import math
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import tiny
from tests.test_architecture import ROOT
from tests.trainables.evaluation.small import small_tokenizer
from tests.trainables.model.family_models import CASES, END, PAD, VOCABULARY, config, plain_model
from tests.trainables.model.family_runs import BETA, FORGET, RETAIN, load, work
from trainables.batching.rows import Encoded, collate
from trainables.evaluation.decoding.answers import Task, decode
from trainables.evaluation.scoring.evaluator import ModelRunner
from trainables.evaluation.scoring.read import TokenRequest, read_rows
from trainables.model.cpu.patch import patch_for_cpu
from trainables.model.families import FAMILIES, Family, family_of, paths, why_padded, why_unknown_memory
from trainables.model.load import load_model, save_model
from trainables.model.packed_attention import takes_packed, use_packed_attention
from trainables.model.scoring import make_batch, score
from trainables.runtime.ranks import Group

ROWS = [*FORGET, *RETAIN]
TOLERANCE = 1e-4
"""Relative, of a sum of float32 log-probs and of the norm of a parameter's gradient."""
NEW_TOKENS = 20
_SLOW = {"qwen3.5", "llama2", "mistral", "phi3-long", "qwen3-moe", "olmoe"}
each = pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in _SLOW else ()) for n in CASES])


@cache
def models(name: str) -> tuple[Any, Any]:
    """The model as transformers makes it, and as Letheon loads it."""
    with TemporaryDirectory() as folder:
        return plain_model(name), load(name, Path(folder))


def row_by_row(model: Any, rows: list[Encoded]) -> Tensor:
    """(rows,) the log-probability of every answer."""
    found = []
    for row in rows:
        ids = torch.tensor([row.input_ids])
        start = max(row.answer_start, 1)
        log_probs = model(input_ids=ids, use_cache=False).logits[0, start - 1 : -1].log_softmax(-1)
        found.append(log_probs.gather(-1, ids[0, start:, None]).sum())
    return torch.stack(found)


def gradients(model: Any, answers: Tensor) -> dict[str, Tensor]:
    """Gradients of a sum that weighs each row differently; zeros for a parameter that nothing reads."""
    model.zero_grad()
    total: Any = (answers * torch.arange(1, 1 + len(answers))).sum()
    total.backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
    }


@each
def test_losses_and_gradients_are_those_of_single_rows(name: str) -> None:
    plain, ours = models(name)
    expected = row_by_row(plain, ROWS)
    wanted = gradients(plain, expected)
    largest = max(float(gradient.norm()) for gradient in wanted.values())
    for layout in ("padded", "packed", "filled") if takes_packed(ours) else ("padded",):
        found = score(ours, make_batch(ROWS, PAD, "cpu", layout)).sequence
        torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=0.0)
        for parameter, gradient in gradients(ours, found).items():
            off = float((gradient - wanted[parameter]).norm())
            assert off <= TOLERANCE * (float(wanted[parameter].norm()) + 1e-2 * largest), (layout, parameter)


# ---- training


class Steps:
    """What `work` left, by case and kind."""

    def __init__(self, names: list[str], folder: Path) -> None:
        self.names = names
        self.found = tiny.spawned(partial(work, names), folder, sizes=(1,))


@pytest.fixture(
    scope="module",
    params=[[n for n in CASES if n not in _SLOW], pytest.param(sorted(_SLOW), marks=pytest.mark.slow)],
    ids=["most", "slow"],
)
def steps(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    return Steps(request.param, tmp_path_factory.mktemp("families"))


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_steps_train_on_the_family_s_path_from_the_exact_loss(steps: Steps, kind: str) -> None:
    answers = sum(row.answer_tokens for row in RETAIN)
    for name in steps.names:
        run, (plain, ours) = steps.found[f"{name}-{kind}"], models(name)
        assert bool(run["packed"]) == takes_packed(ours), name
        with torch.no_grad():
            retain = -float(row_by_row(plain, RETAIN).sum()) / answers
        first, second = run["losses"].tolist()
        assert first == pytest.approx(2 / BETA * math.log(2) + retain, rel=TOLERANCE), name  # NPO at its reference
        assert second < first, name


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_trained_weights_are_those_of_a_plain_model(steps: Steps, kind: str) -> None:
    """Adapters are merged into them."""
    for name in steps.names:
        run, plain = steps.found[f"{name}-{kind}"], plain_model(name)
        before = {key: tensor.clone() for key, tensor in plain.state_dict().items()}
        weights = {key: tensor for key, tensor in run.items() if key in before}
        plain.load_state_dict(weights)
        changed = [key for key, tensor in weights.items() if not torch.equal(tensor, before[key])]
        assert changed, name
        if kind == "lora":
            assert all(tensor.ndim == 2 for key, tensor in weights.items() if key in changed), name  # no norm or bias
        with torch.no_grad():
            torch.testing.assert_close(row_by_row(plain, ROWS), run["outputs"], rtol=TOLERANCE, atol=0.0, msg=name)


# ---- evaluation


def questions() -> list[Encoded]:
    """Two answers to each prompt, as evaluations have them, so that prompts are shared where they can be."""
    generator = torch.Generator().manual_seed(5)
    found = []
    for prompt, *answers in ((7, 4, 9), (2, 12, 3), (15, 5, 5), (1, 8, 2)):
        start = torch.randint(2, VOCABULARY, (prompt,), generator=generator).tolist()
        for length in answers:
            rest = torch.randint(2, VOCABULARY, (length,), generator=generator).tolist()
            found.append(Encoded((*start, *rest), prompt))
    return found


@each
def test_evaluation_reads_and_decodes_as_the_library_does(name: str) -> None:
    plain, ours = models(name)
    rows = questions()
    ends = frozenset(range(END, VOCABULARY, 9))  # so many that random models end at different times
    runner = ModelRunner(ours, END, 4096, Group(), ends)
    read = read_rows(runner, rows, TokenRequest(0.4, {}))
    with torch.no_grad():
        expected = -row_by_row(plain, rows) / torch.tensor([row.answer_tokens for row in rows])
    torch.testing.assert_close(torch.tensor([each.loss for each in read]), expected, rtol=TOLERANCE, atol=0.0)
    tasks = [Task(row.input_ids[: row.answer_start], NEW_TOKENS) for row in rows[::2]]
    tasks += [Task(row.input_ids[:-1], NEW_TOKENS) for row in rows]
    found = decode(runner, tasks, zip(rows, read, strict=True))
    assert {task: found[task] for task in tasks} == {task: generated(plain, task.prompt, ends) for task in tasks}
    assert len({len(tokens) for tokens in found.values()}) > 2, "rows must end at different times to test anything"


def generated(model: Any, prompt: tuple[int, ...], ends: frozenset[int]) -> tuple[int, ...]:
    ids = torch.tensor([prompt])
    whole = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=sorted(ends),
        pad_token_id=PAD,
    )[0, len(prompt) :].tolist()
    return tuple(whole[:-1] if whole[-1] in ends else whole)


@each
def test_saved_models_load_with_every_bit(name: str, tmp_path: Path) -> None:
    _, ours = models(name)
    save_model(tmp_path, ours, small_tokenizer())
    again, _ = load_model(str(tmp_path))
    state = again.state_dict()
    assert all(torch.equal(tensor, state.pop(key)) for key, tensor in ours.state_dict().items())
    assert not state
    batch = collate(ROWS, PAD)
    with torch.no_grad():
        assert torch.equal(score(again.eval(), batch).sequence, score(ours, batch).sequence)


# ---- the table


def content(name: str) -> dict[str, Any]:
    """As its publisher's config.json has it: without the defaults."""
    return {"model_type": config(name).model_type, **config(name).to_diff_dict()}


@each
def test_the_table_says_what_models_do(name: str) -> None:
    made, ours = plain_model(name), models(name)[1]
    family = family_of(content(name))
    assert family is not None
    assert use_packed_attention(made) == takes_packed(ours) == (why_padded(content(name)) is None)
    assert patch_for_cpu(made) == set(family.cpu)
    assert made.config.tie_word_embeddings == (name == "llama3" or family.tied)


def row_of(model_type: str, family: Family) -> str:
    """A row of the page."""
    layers = ", ".join(family.cpu) or "-"
    rows = "packed" if family.padded is None else f"padded: {family.padded}"
    of_experts = any(why_unknown_memory(content(name)) for name in CASES if config(name).model_type == model_type)
    unknown = family.unknown or ("mixture of experts" if of_experts else None)
    memory = "estimated" if unknown is None else f"not estimated: {unknown}"
    return f"| {family.models} | `{model_type}` | {rows} | {layers} | {memory} |"


def test_the_page_has_the_table_and_every_family_is_tested() -> None:
    page = (ROOT / "docs" / "families.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in page if line.startswith("| ")]
    assert rows[1:] == [row_of(*item) for item in FAMILIES.items()]  # the first names the columns
    assert {config(name).model_type for name in CASES} == set(FAMILIES)


def test_unknown_families_are_named_and_their_configuration_still_decides() -> None:
    assert paths({"model_type": "new", "layer_types": ["full_attention"]}).startswith(
        "new, which no test covers: rows pa"
    )
    assert why_padded({"model_type": "new", "layer_types": ["mamba", "full_attention"]}) == (
        "it has layers of the kind mamba"
    )
    assert why_padded({"model_type": "new", "attn_logit_softcapping": 50.0}) is not None
    assert paths({}).startswith("Llama")
    nested = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}
    assert paths(nested).startswith("Gemma 3")
