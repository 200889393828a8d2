"""Which fast paths a decoder takes, by its configuration, and why it goes without one. Pure; loads no torch.

Models ask `why_padded` when they are loaded; `letheon plan` asks before any weight exists. A test trains, decodes and
saves every family of the table, and holds what the table says of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Content = Mapping[str, Any]
"""A `config.json`, or a configuration's `to_dict`. Without a `model_type` it is a Llama's."""

_PACKED_LAYERS = {"full_attention", "sliding_attention"}
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_CHUNKS = "its layers attend in chunks"
_CAPPED = "its attention scores are capped"
_STATE = "its linear-attention layers carry state from token to token"
_SINKS = "its attention has sinks"
_OTHER_LAYERS = "its layers are not counted as a Llama's are"


@dataclass(frozen=True)
class Family:
    """What the sizes in a configuration do not tell. `models`: names that people know.

    `cpu`: the kinds of modules that `cpu.patch` replaces. `padded`: why rows cannot be packed. `unknown`: why memory
    cannot be estimated. `tied`: whether embeddings are tied if the file does not say. `normed`: whether queries and
    keys have norms.
    """

    models: str
    cpu: tuple[str, ...] = ()
    padded: str | None = None
    unknown: str | None = None
    tied: bool = False
    normed: bool = False


_LLAMA = ("attention", "gate", "layer", "norm")
FAMILIES: Mapping[str, Family] = {
    "llama": Family("Llama 2 to 3.3, SmolLM, SmolLM2", _LLAMA),
    "llama4_text": Family("Llama 4, text", padded=_CHUNKS),
    "qwen2": Family("Qwen 2, 2.5", _LLAMA),
    "qwen3": Family("Qwen 3", ("gate", "layer", "norm"), normed=True),
    "qwen3_5_text": Family("Qwen 3.5, text", ("gate", "layer"), _STATE, _OTHER_LAYERS),
    "gemma2": Family("Gemma 2", padded=_CAPPED, unknown=_OTHER_LAYERS, tied=True),
    "gemma3_text": Family("Gemma 3, text", unknown=_OTHER_LAYERS, tied=True),
    "phi": Family("Phi 1.5, 2", unknown=_OTHER_LAYERS),
    "phi3": Family("Phi 3, 3.5, 4", ("norm",)),
    "mistral": Family("Mistral", _LLAMA),
    "smollm3": Family("SmolLM3", _LLAMA, tied=True),
    "olmo2": Family("OLMo 2", ("gate", "norm"), unknown=_OTHER_LAYERS),
    "gpt_oss": Family("GPT-OSS", ("norm",), _SINKS),
    "mixtral": Family("Mixtral", ("attention", "layer", "norm")),
    "qwen3_moe": Family("Qwen 3, mixtures of experts", ("layer", "norm")),
    "olmoe": Family("OLMoE", ("layer", "norm")),
    "gpt_neox": Family("Pythia, GPT-NeoX", unknown=_OTHER_LAYERS),
    "gpt2": Family("GPT-2", unknown=_OTHER_LAYERS, tied=True),
}


def text_part(content: Content) -> Content:
    """The configuration of the decoder, which those of several kinds of input hold as a part."""
    found: Content = content.get("text_config") or content
    return found


def family_of(content: Content) -> Family | None:
    """None if it is not among those that are tested."""
    return FAMILIES.get(_model_type(content))


def why_padded(content: Content) -> str | None:
    """Why rows cannot be packed; None if they can, as far as the configuration tells.

    Every layer must have plain softmax attention: others would carry state from row to row, and the kernels used here
    know neither soft caps nor sinks.
    """
    text, family = text_part(content), family_of(content)
    if family is not None and family.padded is not None:
        return family.padded
    if others := sorted({*(text.get("layer_types") or ())} - _PACKED_LAYERS):
        return f"it has layers of the kind {', '.join(others)}"
    return _CAPPED if text.get("attn_logit_softcapping") else None


def why_unknown_memory(content: Content) -> str | None:
    """Why its memory cannot be estimated; None if it can, or if nothing is known of its family."""
    text, family = text_part(content), family_of(content)
    if experts := next((name for name in _EXPERTS if text.get(name)), None):
        return f"{experts} {text[experts]}: the memory of a mixture of experts cannot be estimated"
    return None if family is None else family.unknown


def ties_embeddings(content: Content) -> bool:
    """Whether input and output embeddings are one matrix; files leave out a family's default."""
    family = family_of(content)
    default = family is not None and family.tied
    return bool(content.get("tie_word_embeddings", text_part(content).get("tie_word_embeddings", default)))


def paths(content: Content) -> str:
    """The paths of a model in one line, for `letheon plan`."""
    family, padded, unknown = family_of(content), why_padded(content), why_unknown_memory(content)
    rows = "rows packed" if padded is None else f"rows padded and layers not compiled ({padded})"
    if family is None:
        rows += " if transformers' class allows it" if padded is None else ""
        memory = "memory estimated as a Llama's" if unknown is None else f"memory not estimated ({unknown})"
        return f"{_model_type(content)}, which no test covers: {rows}; {memory}"
    missing = [kind for kind in _LLAMA if kind not in family.cpu]
    layers = f"on CPUs, transformers' own {', '.join(missing)}" if missing else "on CPUs, faster layers"
    memory = "memory estimated" if unknown is None else f"memory not estimated ({unknown})"
    return f"{family.models}: {rows}; {layers}; {memory}"


def _model_type(content: Content) -> str:
    return str(text_part(content).get("model_type") or content.get("model_type") or "llama")
