"""A tiny Llama that computes in float64 from end to end, with the same weights, to 1e-15, under any transformers.

transformers takes norms, rotary angles and the loss through float32; here all of them stay in float64, or numbers made
on one machine would be met by another only to 1e-7. Weights are drawn by numpy, not by torch, whose generators and
initialisations change. Runs with transformers 4.45 (what the published code pins) to 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_outputs import CausalLMOutput

VOCABULARY, WIDTH, LAYERS = 200, 32, 2
SEED, NOISE_SEED = 11, 12
SHARPNESS = 4.0
"""Standard deviation of the logits: a token that the model would say has a probability of some tenths."""
NOISE = 0.08
"""Distance of the model from the reference, as a share of each matrix; it gives log-ratios of some nats per row."""


class ExactRMSNorm(nn.Module):
    """RMSNorm in the type of its input."""

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = weight, eps

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.weight * hidden_states * torch.rsqrt(hidden_states.square().mean(-1, keepdim=True) + self.eps)


class ExactAngles(nn.Module):
    """Rotary angles in float64."""

    def __init__(self, size: int, base: float = 10000.0) -> None:
        super().__init__()
        steps = torch.arange(0, size, 2, dtype=torch.float64) / size
        self.register_buffer("frequencies", base**-steps, persistent=False)

    def forward(self, hidden: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        frequencies = self.frequencies
        assert isinstance(frequencies, Tensor)
        half = position_ids[..., None].to(frequencies) * frequencies
        angles = torch.cat((half, half), dim=-1)
        return angles.cos(), angles.sin()


class ExactLlama(LlamaForCausalLM):  # type: ignore[no-untyped-call]
    """Logits and the labels' mean cross-entropy as `LlamaForCausalLM` gives them, without its casts to float32."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **others: Any,
    ) -> CausalLMOutput:
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, **others)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(found.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits, hidden_states=found.hidden_states)


def exact(model: Any) -> Any:
    """The same Llama in float64, its norms and rotary angles replaced; parameters keep their names."""
    model.to(torch.float64)
    eps, size = float(model.config.rms_norm_eps), model.config.hidden_size // model.config.num_attention_heads
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__ == "LlamaRMSNorm":
                setattr(module, name, ExactRMSNorm(child.weight, eps))
    model.model.rotary_emb = ExactAngles(size)
    return model.train(False)


def exact_model(noise: float = NOISE, noise_seed: int = NOISE_SEED) -> ExactLlama:
    """The model that is trained; without `noise`, the reference that it comes from."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 600,
        "tie_word_embeddings": False,
        "attn_implementation": "sdpa",
        "bos_token_id": None,
        "eos_token_id": None,
    }
    config = LlamaConfig(**settings)
    model = exact(ExactLlama(config))
    parameters = dict(sorted(model.named_parameters()))
    drawn = uniforms(SEED, sum(p.numel() for p in parameters.values()))
    moved = uniforms(noise_seed, len(drawn))
    start = 0
    with torch.no_grad():
        for name, parameter in parameters.items():
            stop = start + parameter.numel()
            base, change = (torch.from_numpy(each[start:stop]).view_as(parameter) for each in (drawn, moved))
            parameter.copy_(_scaled(name, base) + noise * _scaled(name, change, around=0.0))
            start = stop
    model.train(False)
    assert isinstance(model, ExactLlama)
    return model


def reference_model() -> ExactLlama:
    """The target model, which nobody trains."""
    model = exact_model(noise=0.0)
    model.requires_grad_(False)
    return model


def uniforms(seed: int, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`count` numbers in [-sqrt 3, sqrt 3), whose variance is 1. The bits of PCG64 are promised to stay."""
    raw = np.random.PCG64(seed).random_raw(count)
    return np.asarray(((raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0) * np.sqrt(3.0))


def _scaled(name: str, unit: Tensor, around: float = 1.0) -> Tensor:
    """Numbers of variance 1 in the size of this parameter; norms lie around `around`."""
    if unit.dim() == 1:
        return around + 0.1 * unit
    if "embed_tokens" in name:
        return unit
    gain = SHARPNESS if "lm_head" in name else 1.0
    scaled: Tensor = unit * (gain / unit.shape[1] ** 0.5)
    return scaled
