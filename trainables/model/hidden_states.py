"""Hidden states after one layer, before any norm.

transformers applies the final norm to the last layer's states; losses that steer hidden states need them before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")
"""Names that architectures give the norm between the last layer and the LM head."""


def forward_with_states(model: Callable[..., Any], layer: int | None, **inputs: Any) -> tuple[Any, Tensor | None]:
    """The model's output, and (rows, tokens, width) the states after `layer` (0: the embeddings; None: no states).

    Raises ValueError for the last layer of an architecture whose final norm has an unknown name.
    """
    if layer is None:
        return model(**inputs), None
    whole: Any = getattr(model, "module", model)  # unwrap DeepSpeed's engine
    if layer < whole.config.get_text_config().num_hidden_layers:
        output = model(**inputs, output_hidden_states=True)
        return output, output.hidden_states[layer]
    seen: list[Tensor] = []
    handle = _final_norm(whole).register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    try:
        output = model(**inputs)
    finally:
        handle.remove()
    return output, seen[0]


def _final_norm(model: Any) -> nn.Module:
    decoder = model.get_decoder()
    found: list[nn.Module] = [module for name, module in decoder.named_children() if name in _NORMS]
    if len(found) != 1:
        raise ValueError(
            f"depth=1: {type(decoder).__name__} must have one final norm called {', '.join(_NORMS)}; choose a depth "
            "below 1"
        )
    return found[0]
