"""Hidden states of one layer of a forward pass, as the layer puts them out.

transformers counts the final norm to the last layer; losses that steer hidden states mean what comes before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")
"""What architectures call the norm between the last layer and the LM head."""


def states_of(model: Callable[..., Any], layer: int | None, **inputs: Any) -> tuple[Any, Tensor | None]:
    """The model's output, and (rows, tokens, width) the states after `layer` (0: the embeddings); None: none.

    Raises ValueError for the last layer of an architecture whose final norm has another name than these.
    """
    if layer is None:
        return model(**inputs), None
    whole: Any = getattr(model, "module", model)  # out of DeepSpeed's engine
    if layer < whole.config.get_text_config().num_hidden_layers:
        output = model(**inputs, output_hidden_states=True)
        return output, output.hidden_states[layer]
    with _into(_final_norm(whole)) as seen:
        output = model(**inputs)
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


@contextmanager
def _into(module: nn.Module) -> Iterator[list[Tensor]]:
    """What the module is given inside."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        yield seen
    finally:
        handle.remove()
