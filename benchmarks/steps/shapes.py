"""Llamas of well-known sizes with random weights, made where they are used."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trainables.model.packed_attention import use_packed_attention

_VOCABULARY = 128_256
SHAPES: dict[str, dict[str, Any]] = {
    "toy": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "vocab_size": 2048,
        "num_key_value_heads": 2,
    },
    "llama-1b": {
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "intermediate_size": 8192,
    },
    "llama-3b": {
        "hidden_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "intermediate_size": 8192,
    },
    "llama-8b": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 14_336,
        "tie_word_embeddings": False,
    },
}
"""Shapes of Llama 3.1 and 3.2 (1.24, 3.21 and 8.03 billion parameters), and a toy."""
_SHARED = {
    "num_key_value_heads": 8,
    "vocab_size": _VOCABULARY,
    "tie_word_embeddings": True,
    "max_position_embeddings": 4096,
}


def config_of(shape: str) -> LlamaConfig:
    return LlamaConfig(**_SHARED | SHAPES[shape])


def random_model(shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    """With packed attention. Weights are drawn on the device: a billion of them take a CPU half a minute."""
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = LlamaForCausalLM(config_of(shape))
    finally:
        torch.set_default_dtype(default)
    use_packed_attention(model)
    return model
