"""Configurations of the built-in base models, so that their size is known before they exist."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "vocab_size": 2048,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
"""Made by `load.tiny_model`. `vocab_size` is the tokenizer's maximum."""

SMOLLM2: dict[str, Any] = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
"""SmolLM2-135M-Instruct, from its publisher's config.json."""

PRESETS = {"tiny": TINY, "smollm2": SMOLLM2}
