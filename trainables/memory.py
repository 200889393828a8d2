"""How much memory a training step needs, and how many tokens fit into what is free. Pure arithmetic on sizes.

Counted is what autograd keeps for the backward pass of a Llama-like decoder layer (RMSNorm in float32, rotary
positions, attention whose scores are never stored, gated MLP), and logits of the answer tokens with their gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FLOAT32 = 4
CPU_TOKENS = 1024
"""On a processor larger passes are no faster, and their temporaries leave its caches."""
LEAST_TOKENS = 256
USABLE = 0.8  # of free device memory: allocators fragment, and kernels need room of their own


@dataclass(frozen=True)
class Shape:
    """A decoder. `hidden`, `keys` (keys and values together), `inner` (of the MLP): widths."""

    parameters: int
    layers: int
    hidden: int
    keys: int
    inner: int
    vocabulary: int

    @classmethod
    def of(cls, config: Any, parameters: int) -> Shape:
        """Of a Hugging Face configuration."""
        text = config.get_text_config()
        heads = text.num_attention_heads
        size = getattr(text, "head_dim", None) or text.hidden_size // heads
        key_heads = getattr(text, "num_key_value_heads", None) or heads
        inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
        return cls(parameters, text.num_hidden_layers, text.hidden_size, 2 * key_heads * size, inner, text.vocab_size)


def activation_bytes(shape: Shape, tokens: int, answer_tokens: int, element: int) -> int:
    """Kept between forward and backward pass. `element`: bytes of a number (2 in half precision, 4 in float32)."""
    # Twice a layer: what is normalised in float32, and the normalised in the model's own type before and after weights.
    norms = 2 * shape.hidden * (FLOAT32 + 2 * element)
    attention = (3 * shape.hidden + shape.keys) * element  # queries, output twice, keys and values
    gates = 4 * shape.inner * element
    head = (2 * shape.vocabulary + shape.hidden) * element
    return tokens * shape.layers * (norms + attention + gates) + answer_tokens * head


def state_bytes(shape: Shape, element: int, zero_stage: int, workers: int, frozen: bool) -> Mapping[str, int]:
    """Of one worker: weights, gradients, optimizer, and a frozen copy where the loss needs one.

    In half precision DeepSpeed keeps weights and gradients in float32 too. Stage 1 divides the optimizer among the
    workers, stage 2 gradients too, stage 3 weights too.
    """
    n = shape.parameters
    master = n * FLOAT32 if element < FLOAT32 else 0

    def share(size: int, stage: int) -> int:
        return size // workers if zero_stage >= stage else size

    return {
        "weights": share(n * element, 3),
        "gradients": share(n * element + master, 2),
        "optimizer": share(2 * n * FLOAT32 + master, 1),
        "frozen": n * element if frozen else 0,
    }


def tokens_that_fit(shape: Shape, free: int, element: int) -> int:
    """Tokens of one forward pass, all of them answers, in `free` bytes; `LEAST_TOKENS` at least."""
    return max(LEAST_TOKENS, int(USABLE * free) // activation_bytes(shape, 1, 1, element))
