"""The models whose metrics are compared: small Llamas that know half of the made-up rows by heart, and their variants.

Weights are in `metrics/*.safetensors`; everything else follows from them exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from safetensors.torch import load_file

from tests.goldens.exact_model import exact, uniforms

FOLDER = Path(__file__).parent
MAX_NEW_TOKENS = 40
_SEED = 7
_FORGOTTEN, _BROKEN = 0.25, 0.35
"""Noise, as a share of the weights."""
_SHARPER = 12.0

Variant: TypeAlias = Literal["memorised", "retain", "collapsed"]
VARIANTS: Sequence[Variant] = get_args(Variant)


@dataclass(frozen=True)
class Family:
    """`config`: of open-unlearning's, by name. `template`: Letheon's. `ends`: the tokens at which generation stops
    (`generation_config`). `other_end`: what some of the learnt answers end with instead.
    """

    name: str
    config: str
    template: str
    ends: Sequence[str]
    other_end: str | None = None

    @property
    def weights(self) -> Path:
        return FOLDER / "metrics" / f"{self.name}.safetensors"


FAMILIES = (
    # Both codes read the same tokens, and nothing of a row is hidden.
    Family("llama2", "Llama-2-7b-chat-hf", "llama2", ("</s>",)),
    # Padding is the end of a turn, which stands inside the prompt too. Three tokens end an answer.
    Family(
        "llama3",
        "Llama-3.2-1B-Instruct",
        "chat_system",
        ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        other_end="<|end_of_text|>",
    ),
    # The same, and behind an answer come the end of the turn, a new line and the end of the turn again.
    Family("smollm2", "Qwen2.5-1.5B-Instruct", "chat_system", ("<|im_end|>",)),
    # That tail with padding of its own.
    Family("qwen25", "Qwen2.5-1.5B-Instruct", "chat_system", ("<|im_end|>", "<|endoftext|>")),
    # The prompt ends in a space, so an answer loses its first token to it.
    Family("phi15", "phi-1_5", "phi_open_unlearning", ("<|endoftext|>",)),
)


def load_tokenizer(name: str) -> Any:
    """A toy of `tokenizers`, padded as both codes pad: with the end of sequence, where it has no padding."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "tokenizers" / name)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def blank_model(tokens: int, ends: Sequence[int]) -> Any:
    """Before training."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.08,
        tie_word_embeddings=True,
        bos_token_id=None,
        pad_token_id=None,
        eos_token_id=list(ends),
    )
    config._attn_implementation = "sdpa"
    return LlamaForCausalLM(config)


def load_model(family: Family, tokenizer: Any, variant: Variant) -> Any:
    """In float64. `retain`: noise has made it forget something. `collapsed`: broken, and so sure of itself that what
    it does not say has no probability left, as after too much ascent.
    """
    model = blank_model(len(tokenizer), tokenizer.convert_tokens_to_ids(list(family.ends)))
    model.load_state_dict(load_file(family.weights), strict=False)
    exact(model)
    if variant == "retain":
        add_noise(model, _FORGOTTEN)
    if variant == "collapsed":
        add_noise(model, _BROKEN)
        with torch.no_grad():
            model.model.norm.weight.mul_(_SHARPER)
    return model


@torch.no_grad()
def add_noise(model: Any, share: float) -> None:
    """Every matrix with uniform noise, `share` of its own root mean square; norms stay as they are."""
    matrices = [each for _, each in sorted(model.named_parameters()) if each.dim() > 1]
    noise = uniforms(_SEED, sum(each.numel() for each in matrices))
    start = 0
    for each in matrices:
        part = torch.from_numpy(noise[start : start + each.numel()]).view_as(each)
        each.add_(part * (share * each.square().mean().sqrt()))
        start += each.numel()
