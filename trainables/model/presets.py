"""Configurations of the built-in base models, so that their size is known before they exist."""

from __future__ import annotations

from typing import Any

from trainables.config import TinySize


def tiny_config(size: TinySize) -> dict[str, Any]:
    """The configuration of the model that `load.tiny_model` makes. `vocab_size` is the tokenizer's maximum."""
    return {
        "vocab_size": size.vocabulary,
        "hidden_size": size.hidden,
        "intermediate_size": 3 * size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
    }


TINY = tiny_config(TinySize())
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
