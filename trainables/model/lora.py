"""Low-rank adapters by PEFT: put into a model in place, folded into its weights for a while, gone from its state.

    W' = W + (alpha / rank) * B A        (Hu et al. 2021, arXiv 2106.09685), B = 0 at the start

Knows modules and names; not engines, ZeRO or files. PEFT is imported by the functions that need it: most trials do not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from trainables.config import LoraConfig

ADAPTER = "default"
ALL_LINEAR = "all-linear"  # PEFT's name for every linear layer (Conv1D too) but the output embeddings
BASE = "base_layer."  # what PEFT puts before the parameters of a layer that it wraps
PREFIX = "lora_"

Whole = Callable[[Sequence[Tensor]], AbstractContextManager[Any]]
"""Makes the parameters whole on every rank, and takes over what rank 0 wrote into them."""


def add_adapters(module: Any, config: LoraConfig, seed: int) -> None:
    """Wrap layers of a Hugging Face model, on the CPU, with adapters that change nothing yet; only they will train.

    `seed` decides the adapters' start; the global random state is left alone. Raises ValueError when no layer has a
    name of `target_modules`, or one of them shares its weights with another (tied embeddings).
    """
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    _refuse_unknown(module, config.target_modules)
    peft_config = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # an int by its annotation, a factor by its use
        lora_dropout=config.dropout,
        target_modules=ALL_LINEAR if config.target_modules is None else list(config.target_modules),
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # Conv1D: PEFT finds out and says so every time
        torch.manual_seed(seed)
        inject_adapter_in_model(peft_config, module, ADAPTER)
    module.peft_config = None  # else saving looks for adapters


def _refuse_unknown(module: Any, targets: Sequence[str] | None) -> None:
    if targets is None:
        return
    layers = dict(module.named_modules())
    shared = {id(layer.weight) for layer in (module.get_input_embeddings(), module.get_output_embeddings()) if layer}
    for target in targets:
        found = [layer for name, layer in layers.items() if name == target or name.endswith(f".{target}")]
        if not found:
            linear = sorted({name.rpartition(".")[2] for name, layer in layers.items() if hasattr(layer, "weight")})
            raise ValueError(
                f"lora.target_modules {target!r} must be the name of a layer of the model; choose from {linear}"
            )
        tied = bool(module.config.tie_word_embeddings)
        if tied and any(id(getattr(layer, "weight", None)) in shared for layer in found):
            raise ValueError(
                f"lora.target_modules {target!r} must not share its weights: the model's input and output embeddings "
                "are tied; leave it out"
            )


def adapted_layers(module: Any) -> dict[str, Any]:
    """The wrapped layers by the names they have in the plain model."""
    from peft.tuners.lora import LoraLayer

    return {name: layer for name, layer in module.named_modules() if isinstance(layer, LoraLayer)}


@contextmanager
def merged(module: Any, pristine: Any, whole: Whole = lambda parameters: nullcontext()) -> Iterator[None]:
    """Inside, the adapters are part of the weights and are not run; afterwards all is as before, bit by bit.

    `pristine` is the model without adapters, of any precision at least as high: the weights are put back from it.
    """
    layers = adapted_layers(module)
    try:
        for layer in layers.values():
            with torch.no_grad(), whole(list(layer.parameters())):
                weight = layer.get_base_layer().weight
                weight.add_(layer.get_delta_weight(ADAPTER).to(weight.dtype))
            layer.merged_adapters.append(ADAPTER)
        yield
    finally:
        for name, layer in layers.items():
            weight = layer.get_base_layer().weight
            with torch.no_grad(), whole([weight]):
                weight.copy_(pristine.get_submodule(name).weight)
            layer.merged_adapters.clear()


def plain_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state under the plain model's names, without adapters. Wrapped weights are copied, the rest is shared."""
    return {
        name.replace(BASE, ""): tensor.clone() if BASE in name else tensor
        for name, tensor in state.items()
        if not any(part.startswith(PREFIX) for part in name.split("."))
    }
