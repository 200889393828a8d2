"""Adapters under ZeRO 0 to 3, fp32 and bf16, 1 and 2 workers: what is trained, saved and measured."""

from __future__ import annotations

import copy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import GPT2Config

from tests import tiny
from tests.tiny import PRECISIONS, Tensors, distance, same
from tests.trainables.training.engine_runs import ROWS, model, steps
from trainables.batching.rows import collate
from trainables.config import LoraConfig, Precision
from trainables.evaluation.decoding.greedy import generate
from trainables.model.load import save_model
from trainables.model.lora import adapted_layers, add_adapters, merged, plain_state
from trainables.model.scoring import score
from trainables.runtime.ranks import Group
from trainables.training.engine import SHARDED_WEIGHTS, Engine

LORA = LoraConfig(rank=4, alpha=12)
NEW_TOKENS = 6
PROMPTS = [(5, 9, 11), (7, 3), (40, 2, 1, 30)]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LAYERS = 2 * 7  # two blocks of four attention and three feed-forward projections


@torch.no_grad()
def log_probs(trained: Any) -> Tensor:
    """(rows,) of all rows in one forward pass, float32."""
    trained.eval()
    return score(trained, collate(ROWS, 0).to(trained.device)).sequence


def continuations(trained: Any, group: Group) -> Tensor:
    """(prompts, tokens) greedy continuations, in lockstep with the other ranks."""
    trained.eval()
    found = generate(trained, PROMPTS, NEW_TOKENS, ends={47}, pad_id=0, all_done=group.all)
    return torch.tensor([[*tokens, *[47] * (NEW_TOKENS - len(tokens))] for tokens in found])


def base(precision: Precision = "fp32") -> Any:
    """As under DeepSpeed: parameters in this precision, buffers of rotary embeddings in float32."""
    plain = model()
    for parameter in plain.parameters():
        parameter.data = parameter.data.to(DTYPES[precision])
    return plain


# ---- in each process


def train(stages: tuple[int, ...], group: Group, folder: Path) -> None:
    for stage in stages:
        for precision in PRECISIONS:
            run(stage, precision, group, folder)
        engine = started(stage, "fp32", 1, group)
        steps(engine, group, 1, folder / f"state-{group.size}-{stage}-1", restart=False)
        tiny.keep({f"{group.size}-{stage}-fp32-1-whole": tiny.copied(engine.weights())}, group, folder)
        engine.close()


def started(stage: int, precision: Precision, micro: int, group: Group) -> Engine:
    on = tiny.workers(stage, precision, micro, group.size)
    return Engine(model(), on, group, weight_decay=0.01, lora=LORA, seed=3)


def run(stage: int, precision: Precision, group: Group, folder: Path) -> None:
    """Train and record everything, then train again from the saved state."""
    name = f"{group.size}-{stage}-{precision}-4"
    engine = started(stage, precision, 4, group)
    found = {"start": {"log_probs": log_probs(engine.model), **tiny.copied(engine.weights())}}
    steps(engine, group, 4, folder / f"state-{name}", restart=False)
    found["seen"] = outputs_of(engine, group)
    sharded = stage == SHARDED_WEIGHTS
    state = engine.deepspeed._zero3_consolidated_16bit_state_dict() if sharded else engine.model.state_dict()
    found |= {"raw": tiny.copied(state), "whole": tiny.copied(engine.weights())}
    engine.close()
    engine = started(stage, precision, 4, group)
    steps(engine, group, 4, folder / f"state-{name}", restart=True)
    found["restarted"] = tiny.copied(engine.weights())
    engine.close()
    tiny.keep({f"{name}-{kind}": tensors for kind, tensors in found.items()}, group, folder)


def outputs_of(engine: Engine, group: Group) -> Tensors:
    """The model's outputs with adapters, with adapters merged, and with adapters again."""
    adapted = log_probs(engine.model)
    with engine.as_saved():
        saved, tokens = log_probs(engine.model), continuations(engine.model, group)
    trained = sum(parameter.requires_grad for parameter in engine.model.parameters())
    return {
        "adapted": adapted,
        "saved": saved,
        "after": log_probs(engine.model),
        "tokens": tokens,
        "adapted_tokens": continuations(engine.model, group),
        "trained": torch.tensor(trained),
    }


# ---- the engine


class Runs(NamedTuple):
    stages: tuple[int, ...]
    found: dict[str, Tensors]

    @property
    def names(self) -> list[tuple[str, Precision]]:
        return [(f"{n}-{z}-{p}-4", p) for n in (1, 2) for z in self.stages for p in PRECISIONS]


@pytest.fixture(scope="module", params=[(0, 3), pytest.param((0, 1, 2), marks=pytest.mark.slow)], ids=str)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(request.param, tiny.spawned(partial(train, request.param), tmp_path_factory.mktemp("lora")))


def base_state(precision: Precision = "fp32") -> Tensors:
    return tiny.copied(base(precision).state_dict())


def test_at_step_0_the_model_is_the_base(runs: Runs) -> None:
    for name, precision in runs.names:
        start = dict(runs.found[f"{name}-start"])
        assert torch.equal(start.pop("log_probs"), log_probs(base(precision))), name
        assert same(start, base_state(precision)), name


def test_only_adapters_train(runs: Runs) -> None:
    for name, precision in runs.names:
        raw = runs.found[f"{name}-raw"]
        adapters = {key for key in raw if "lora_" in key}
        assert len(adapters) == 2 * LAYERS == int(runs.found[f"{name}-seen"]["trained"]), name
        assert all(bool(raw[key].any()) for key in adapters), name  # B started as zeros
        untouched = {key.replace("base_layer.", ""): raw[key] for key in raw if key not in adapters}
        assert same(untouched, base_state(precision)), name


def test_saved_weights_equal_pefts_merge(runs: Runs) -> None:
    for name, precision in runs.names:
        assert same(runs.found[f"{name}-whole"], merged_by_peft(runs.found[f"{name}-raw"], precision)), name


def merged_by_peft(raw: Tensors, precision: Precision) -> Tensors:
    config = PeftConfig(r=LORA.rank, lora_alpha=12, target_modules="all-linear")
    wrapped = get_peft_model(base(precision), config, autocast_adapter_dtype=False)
    adapters = {f"base_model.model.{key}": value for key, value in raw.items() if "lora_" in key}
    assert wrapped.load_state_dict(adapters, strict=False).unexpected_keys == []
    found: Any = wrapped
    return tiny.copied(found.merge_and_unload().state_dict())


def test_the_measured_model_is_the_saved_one(runs: Runs) -> None:
    for name, precision in runs.names:
        seen, plain = runs.found[f"{name}-seen"], base(precision)
        plain.load_state_dict(runs.found[f"{name}-whole"], strict=False)
        assert torch.equal(seen["saved"], log_probs(plain)), name
        assert torch.equal(seen["tokens"], continuations(plain, Group())), name
        assert torch.equal(seen["after"], seen["adapted"]), name  # a temporary merge changes nothing
        if precision == "fp32":
            torch.testing.assert_close(seen["adapted"], seen["saved"], rtol=1e-5, atol=1e-5)
            assert torch.equal(seen["adapted_tokens"], seen["tokens"]), name
        assert not torch.allclose(seen["saved"], log_probs(base(precision)), rtol=1e-2), name


def test_a_restart_from_the_state_changes_no_bit(runs: Runs) -> None:
    for name, _ in runs.names:
        assert same(runs.found[f"{name}-whole"], runs.found[f"{name}-restarted"]), name


def test_the_update_does_not_depend_on_workers_or_micro_batches(runs: Runs) -> None:
    reference = runs.found["1-0-fp32-4-whole"]
    assert distance(reference, base_state()) > 1e-3
    for name in (f"{size}-{stage}-fp32-{micro}-whole" for size in (1, 2) for stage in runs.stages for micro in (1, 4)):
        assert distance(reference, runs.found[name]) < 1e-5, name


# ---- adapters without an engine


def gpt2() -> Any:
    """Its linear layers are Conv1D, whose weights are transposed."""
    return tiny.model(GPT2Config(vocab_size=48, n_embd=32, n_layer=2, n_head=4, n_positions=64), seed=5)


def adapted(plain: Any, config: LoraConfig = LORA, seed: int = 0) -> Any:
    """A copy with adapters that change the outputs."""
    copied = copy.deepcopy(plain)
    add_adapters(copied, config, seed)
    generator = torch.Generator().manual_seed(6)
    for name, parameter in copied.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return copied


@pytest.mark.parametrize("make", [model, gpt2])
def test_every_linear_layer_except_the_head_has_an_adapter(make: Any) -> None:
    linear = {name for name, layer in make().named_modules() if type(layer).__name__ in ("Linear", "Conv1D")}
    assert set(adapted_layers(adapted(make()))) == linear - {"lm_head"}


def test_only_the_named_layers_have_an_adapter() -> None:
    config = LoraConfig(rank=2, target_modules=("q_proj", "down_proj"))
    names = {name.rpartition(".")[2] for name in adapted_layers(adapted(model(), config))}
    assert names == {"q_proj", "down_proj"}


@pytest.mark.parametrize("make", [model, gpt2])
def test_merging_keeps_the_models_outputs(make: Any) -> None:
    plain = make()
    changed = adapted(plain)
    before = log_probs(changed)
    with merged(changed, plain):
        state = plain_state(changed.state_dict())
        inside = log_probs(changed)
    assert torch.equal(log_probs(changed), before)
    torch.testing.assert_close(inside, before, rtol=1e-4, atol=1e-4)
    assert float((before - log_probs(plain)).abs().max()) > 0.1
    other = copy.deepcopy(plain)
    other.load_state_dict(state)  # strict: the names are the plain model's
    assert torch.equal(log_probs(other), inside)


def test_a_merge_is_undone_after_an_error() -> None:
    plain = model()
    changed = adapted(plain)
    before = log_probs(changed)
    with pytest.raises(KeyError), merged(changed, plain):
        raise KeyError
    assert torch.equal(log_probs(changed), before)


def test_a_saved_folder_looks_like_a_plain_models(tmp_path: Path) -> None:
    class Tokenizer:
        def save_pretrained(self, folder: Path) -> None: ...

    plain = model()
    changed = adapted(plain)
    with merged(changed, plain):
        save_model(tmp_path / "adapted", changed, Tokenizer(), plain_state(changed.state_dict()))
    save_model(tmp_path / "plain", plain, Tokenizer())
    for file in ("config.json", "generation_config.json"):
        assert (tmp_path / "adapted" / file).read_text() == (tmp_path / "plain" / file).read_text()
    weights = [load_file(tmp_path / kind / "model.safetensors") for kind in ("adapted", "plain")]
    assert weights[0].keys() == weights[1].keys()
    assert {path.name for path in (tmp_path / "adapted").iterdir()} == {
        path.name for path in (tmp_path / "plain").iterdir()
    }


def test_adapters_start_from_the_seed_alone() -> None:
    def start(seed: int) -> Tensors:
        torch.rand(7)  # earlier random numbers
        copied = model()
        state = torch.get_rng_state()
        add_adapters(copied, LORA, seed)
        assert torch.equal(torch.get_rng_state(), state)
        return {name: value for name, value in copied.state_dict().items() if "lora_A" in name}

    assert same(start(1), start(1))
    assert not same(start(1), start(2))


def test_impossible_targets_are_errors() -> None:
    with pytest.raises(ValueError, match=r"'q_porj' must be the name of a layer .*'q_proj'"):
        add_adapters(model(), LoraConfig(target_modules=("q_porj",)), 0)
    for target in ("lm_head", "embed_tokens"):
        with pytest.raises(ValueError, match=f"'{target}' must not share its weights"):
            add_adapters(model(), LoraConfig(target_modules=(target,)), 0)


@pytest.mark.slow  # a process that imports everything
def test_peft_is_imported_for_adapters_only() -> None:
    code = "import sys, trainables.training.engine; print('peft' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
