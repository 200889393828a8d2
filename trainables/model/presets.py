"""Configurations of the bases that are no folder and no model of the hub, so that their size is known beforehand."""

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
"""Made here; its tokenizer has at most so many tokens."""

SMOLLM2: dict[str, Any] = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
"""SmolLM2-135M-Instruct, as its publisher's config.json has it."""

KNOWN = {"tiny": TINY, "smollm2": SMOLLM2}
