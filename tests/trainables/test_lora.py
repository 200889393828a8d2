"""Adapters under ZeRO 0 to 3, fp32 and bf16, 1 and 2 workers: what trains, what is saved, what is measured."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from transformers import GPT2Config, GPT2LMHeadModel

from tests.trainables.engine_runs import PRECISIONS, STAGES, model
from tests.trainables.lora_runs import LORA, log_probs, process, written
from trainables.config import LoraConfig
from trainables.group import Group
from trainables.lora import adapted_layers, add_adapters, merged, plain_state
from trainables.models import save_model

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LAYERS = 2 * 7  # two blocks of four attention and three feed-forward projections
Runs = dict[str, dict[str, Tensor]]
pytestmark = pytest.mark.timeout(900)  # the first test waits for all processes
each_run = pytest.mark.parametrize(
    ("size", "stage", "precision"), [(n, z, p) for n in (1, 2) for z in STAGES for p in PRECISIONS]
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("lora")
    for size in (1, 2):
        spawn(process, args=(size, str(folder)), nprocs=size)  # type: ignore[no-untyped-call]
    return {path.stem: load_file(path) for path in Path(folder).glob("*.safetensors")}


def base(precision: str = "fp32") -> Any:
    """As DeepSpeed makes it: parameters in this precision, the buffers of rotary embeddings still exact."""
    plain = model()
    for parameter in plain.parameters():
        parameter.data = parameter.data.to(DTYPES[precision])
    return plain


def base_state(precision: str = "fp32") -> dict[str, Tensor]:
    return {name: tensor for name, tensor in base(precision).state_dict().items() if name != "lm_head.weight"}


def with_weights(weights: dict[str, Tensor], precision: str) -> Any:
    plain = base(precision)
    plain.load_state_dict(weights, strict=False)
    return plain


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


# ---- the engine


@each_run
def test_at_step_0_the_model_is_the_base(runs: Runs, size: int, stage: int, precision: str) -> None:
    start = dict(runs[f"{size}-{stage}-{precision}-4-start"])
    assert torch.equal(start.pop("log_probs"), log_probs(base(precision)))
    assert same(start, base_state(precision))


@each_run
def test_only_adapters_train(runs: Runs, size: int, stage: int, precision: str) -> None:
    name = f"{size}-{stage}-{precision}-4"
    raw = runs[f"{name}-raw"]
    adapters = {key for key in raw if "lora_" in key}
    assert len(adapters) == 2 * LAYERS == int(runs[f"{name}-seen"]["trained"])
    assert all(bool(raw[key].any()) for key in adapters)  # B started as zeros
    untouched = {key.replace("base_layer.", ""): raw[key] for key in raw if key not in adapters}
    assert same(untouched, base_state(precision))


@each_run
def test_saved_weights_are_pefts_own_merge(runs: Runs, size: int, stage: int, precision: str) -> None:
    name = f"{size}-{stage}-{precision}-4"
    assert same(runs[f"{name}-whole"], merged_by_peft(runs[f"{name}-raw"], precision))


def merged_by_peft(raw: dict[str, Tensor], precision: str) -> dict[str, Tensor]:
    config = PeftConfig(r=LORA.rank, lora_alpha=12, target_modules="all-linear")
    wrapped = get_peft_model(base(precision), config, autocast_adapter_dtype=False)
    adapters = {f"base_model.model.{key}": value for key, value in raw.items() if "lora_" in key}
    assert wrapped.load_state_dict(adapters, strict=False).unexpected_keys == []
    found: Any = wrapped
    state = found.merge_and_unload().state_dict()
    return {key: value for key, value in state.items() if key != "lm_head.weight"}


@each_run
def test_what_is_measured_is_what_is_saved(runs: Runs, size: int, stage: int, precision: str) -> None:
    name = f"{size}-{stage}-{precision}-4"
    seen, plain = runs[f"{name}-seen"], with_weights(runs[f"{name}-whole"], precision)
    assert torch.equal(seen["saved"], log_probs(plain))
    assert torch.equal(seen["tokens"], written(plain, Group()))
    assert torch.equal(seen["after"], seen["adapted"])  # merging for a while leaves no trace
    if precision == "fp32":
        torch.testing.assert_close(seen["adapted"], seen["saved"], rtol=1e-5, atol=1e-5)
        assert torch.equal(seen["adapted_tokens"], seen["tokens"])
    assert not torch.allclose(seen["saved"], log_probs(base(precision)), rtol=1e-2)


@each_run
def test_a_restart_from_the_state_changes_no_bit(runs: Runs, size: int, stage: int, precision: str) -> None:
    name = f"{size}-{stage}-{precision}-4"
    assert same(runs[f"{name}-whole"], runs[f"{name}-restarted"])


@pytest.mark.parametrize("stage", STAGES)
def test_the_update_does_not_depend_on_workers_or_micro_batches(runs: Runs, stage: int) -> None:
    reference = runs["1-0-fp32-4-whole"]
    assert largest_difference(reference, base_state()) > 1e-3
    for size in (1, 2):
        for micro in (1, 4):
            assert largest_difference(reference, runs[f"{size}-{stage}-fp32-{micro}-whole"]) < 1e-5


# ---- adapters by themselves


def gpt2() -> Any:
    """Its linear layers are Conv1D, whose weights lie the other way round."""
    torch.manual_seed(5)
    return GPT2LMHeadModel(GPT2Config(vocab_size=48, n_embd=32, n_layer=2, n_head=4, n_positions=64))


def adapted(plain: Any, config: LoraConfig = LORA, seed: int = 0) -> Any:
    """A copy with adapters that do change something."""
    copied = copy.deepcopy(plain)
    add_adapters(copied, config, seed)
    generator = torch.Generator().manual_seed(6)
    for name, parameter in copied.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return copied


@pytest.mark.parametrize("make", [model, gpt2])
def test_every_linear_layer_but_the_head_has_an_adapter(make: Any) -> None:
    linear = {name for name, layer in make().named_modules() if type(layer).__name__ in ("Linear", "Conv1D")}
    assert set(adapted_layers(adapted(make()))) == linear - {"lm_head"}


def test_only_the_named_layers_have_an_adapter() -> None:
    config = LoraConfig(rank=2, target_modules=("q_proj", "down_proj"))
    names = {name.rpartition(".")[2] for name in adapted_layers(adapted(model(), config))}
    assert names == {"q_proj", "down_proj"}


@pytest.mark.parametrize("make", [model, gpt2])
def test_merging_keeps_what_the_model_computes(make: Any) -> None:
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


def test_a_merge_that_is_left_by_an_error_is_undone() -> None:
    plain = model()
    changed = adapted(plain)
    before = log_probs(changed)
    with pytest.raises(KeyError), merged(changed, plain):
        raise KeyError
    assert torch.equal(log_probs(changed), before)


def test_a_saved_folder_is_a_plain_models(tmp_path: Path) -> None:
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


def test_the_start_is_a_function_of_the_seed_alone() -> None:
    def start(seed: int) -> dict[str, Tensor]:
        torch.rand(7)  # whatever happened before
        copied = model()
        state = torch.get_rng_state()
        add_adapters(copied, LORA, seed)
        assert torch.equal(torch.get_rng_state(), state)
        return {name: value for name, value in copied.state_dict().items() if "lora_A" in name}

    assert same(start(1), start(1))
    assert not same(start(1), start(2))


def test_targets_that_cannot_be_are_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"'q_porj' must be the name of a layer .*'q_proj'"):
        add_adapters(model(), LoraConfig(target_modules=("q_porj",)), 0)
    for target in ("lm_head", "embed_tokens"):
        with pytest.raises(ValueError, match=f"'{target}' must not share its weights"):
            add_adapters(model(), LoraConfig(target_modules=(target,)), 0)


def test_peft_is_loaded_for_adapters_only() -> None:
    code = "import sys, trainables.engine; print('peft' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
