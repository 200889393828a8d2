"""Low-rank adapters from PEFT: added to a model in place, merged into its weights for a while, left out of its state.

    W' = W + (alpha / rank) * B A        (Hu et al. 2021, arXiv 2106.09685), B = 0 at the start

PEFT is imported inside functions, because most trials do not need it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trainables.config import LoraConfig

_ADAPTER = "default"
_WRAPPED = "base_layer."  # PEFT's prefix for the parameters of a layer that it wraps
_LORA = "lora_"

Gather = Callable[[Sequence[Tensor]], AbstractContextManager[Any]]
"""Gathers sharded parameters on every rank within a block, and keeps what rank 0 writes into them."""


def add_adapters(module: Any, config: LoraConfig, seed: int) -> None:
    """Wrap layers of a Hugging Face model on the CPU with adapters that change nothing yet; only adapters will train.

    `seed` initialises the adapters; the global random state is not touched. Raises ValueError if no layer has a name in
    `target_modules`, or if such a layer is a tied embedding.
    """
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    _check_targets(module, config.target_modules)
    peft_config = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # annotated as int, used as a factor
        lora_dropout=config.dropout,
        target_modules=_linear(module) if config.target_modules is None else list(config.target_modules),
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # for Conv1D, which PEFT detects by itself
        torch.manual_seed(seed)
        inject_adapter_in_model(peft_config, module, _ADAPTER)
    module.peft_config = None  # otherwise saving looks for adapters


def _linear(module: Any) -> list[str]:
    """The names of all linear layers but the output embeddings.

    Without those that have a forward pass of their own, as Llama 4's router, which returns a tuple, and without the
    experts of a mixture, whose weights are one parameter with three dimensions.
    """
    head, plain = module.get_output_embeddings(), (nn.Linear.forward, Conv1D.forward)
    return [name for name, layer in module.named_modules() if layer is not head and type(layer).forward in plain]


def _check_targets(module: Any, targets: Sequence[str] | None) -> None:
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
    """The wrapped layers, by their names in the plain model."""
    from peft.tuners.lora import LoraLayer

    return {name: layer for name, layer in module.named_modules() if isinstance(layer, LoraLayer)}


@contextmanager
def merged(module: Any, pristine: Any, gather: Gather = lambda parameters: nullcontext()) -> Iterator[None]:
    """Within the block the adapters are merged into the weights and not run; afterwards every bit is as before.

    `pristine`: the model without adapters, in at least the same precision; weights are restored from it.
    """
    layers = adapted_layers(module)
    try:
        for layer in layers.values():
            with torch.no_grad(), gather(list(layer.parameters())):
                weight = layer.get_base_layer().weight
                weight.add_(layer.get_delta_weight(_ADAPTER).to(weight.dtype))
            layer.merged_adapters.append(_ADAPTER)
        yield
    finally:
        for name, layer in layers.items():
            weight = layer.get_base_layer().weight
            with torch.no_grad(), gather([weight]):
                weight.copy_(pristine.get_submodule(name).weight)
            layer.merged_adapters.clear()


def plain_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with the plain model's names, without adapters. Wrapped weights are copied, the others shared."""
    return {
        name.replace(_WRAPPED, ""): tensor.clone() if _WRAPPED in name else tensor
        for name, tensor in state.items()
        if not any(part.startswith(_LORA) for part in name.split("."))
    }
