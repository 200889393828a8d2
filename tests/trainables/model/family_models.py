"""A tiny random model of every family in `trainables.model.families`, in the variants that take different paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    Llama4TextConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OlmoeConfig,
    Phi3Config,
    PhiConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    SmolLM3Config,
)

VOCABULARY = 1152  # room for the tests' tokenizer
END, PAD = 0, 1  # its special tokens
WINDOW = 6
"""Size of sliding windows and chunks: shorter than most rows."""
SHAPE: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,  # the fewest that have every kind of layer: SmolLM3's and Qwen 3.5's come every four layers
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,
    "max_position_embeddings": 128,
}
_LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
_SLIDING = {"sliding_window": WINDOW, "query_pre_attn_scalar": 8}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 32,
}
CASES: Mapping[str, tuple[type[PretrainedConfig], Mapping[str, Any]]] = {
    "llama2": (LlamaConfig, {"num_key_value_heads": 4}),
    "llama3": (LlamaConfig, {"tie_word_embeddings": True, "rope_parameters": _LLAMA3_ROPE}),
    "llama4": (Llama4TextConfig, {"intermediate_size_mlp": 48, "num_local_experts": 4, "attention_chunk_size": WINDOW}),
    "qwen2": (Qwen2Config, {}),
    "qwen3": (Qwen3Config, {}),
    "qwen3.5": (Qwen3_5TextConfig, _LINEAR),
    "gemma2": (Gemma2Config, _SLIDING),
    "gemma3": (Gemma3TextConfig, {**_SLIDING, "sliding_window_pattern": 2}),
    "phi": (PhiConfig, {"num_key_value_heads": 4}),
    "phi3": (Phi3Config, {}),
    "phi3-long": (Phi3Config, {"sliding_window": WINDOW}),
    "mistral": (MistralConfig, {"sliding_window": None}),
    "mistral-window": (MistralConfig, {"sliding_window": WINDOW}),
    "smollm3": (SmolLM3Config, {}),
    "olmo2": (Olmo2Config, {}),
    "gpt-oss": (
        GptOssConfig,
        {
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": WINDOW,
            "max_position_embeddings": 131_072,  # as its rotary positions need: 32 times 4,096
        },
    ),
    "mixtral": (MixtralConfig, {"num_local_experts": 4, "output_router_logits": True}),
    "qwen3-moe": (Qwen3MoeConfig, {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}),
    "olmoe": (OlmoeConfig, {"num_experts": 4, "num_experts_per_tok": 2}),
    "pythia": (GPTNeoXConfig, {}),
    "gpt2": (GPT2Config, {}),
}


def _long_rope(head: int) -> Mapping[str, Any]:
    """Rotary positions of heads of this size, with other factors beyond 64 tokens."""
    short = [1.0 + 0.1 * number for number in range(head // 2)]
    return {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": short,
        "long_factor": [1.0 + factor for factor in short],
        "original_max_position_embeddings": 64,
    }


def config(name: str, **changes: Any) -> PretrainedConfig:
    """The configuration of a case, with further changes of `SHAPE`."""
    kind, own = CASES[name]
    shape = {**SHAPE, **changes}
    if name == "phi3-long":
        shape["rope_parameters"] = _long_rope(shape["hidden_size"] // shape["num_attention_heads"])
    if kind in (PhiConfig, Phi3Config, OlmoeConfig, GPTNeoXConfig):
        del shape["head_dim"]
    if kind is GPTNeoXConfig:
        del shape["num_key_value_heads"]
    if kind is GPT2Config:
        names = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
        shape = {names.get(old, old): size for old, size in shape.items() if old in names or old == "vocab_size"}
        shape |= {"n_positions": 128, "initializer_range": 0.2}
    return kind(**{**shape, **own, "eos_token_id": END, "pad_token_id": PAD, "bos_token_id": None})


def plain_model(name: str) -> Any:
    """As transformers makes it, with random weights in place of ones and zeros, which would hide errors."""
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(config(name), dtype=torch.float32).eval()  # type: ignore[no-untyped-call]
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return made
