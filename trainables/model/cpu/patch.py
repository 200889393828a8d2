"""Puts the lean forms in place of a model's own modules, wherever they compute the same.

Architectures differ in what a name does not tell (a norm that adds one to its weight, a rotation of neighbours instead
of halves), so nothing is taken from names alone: each kind of module is tried on random numbers first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from trainables.batching.packing import Packing
from trainables.model.cpu.attention import LONGEST, attend
from trainables.model.cpu.rms_norm import rms_norm
from trainables.model.cpu.swiglu import gated
from trainables.model.cpu.tree_attention import LONGEST as LONGEST_PATH
from trainables.model.cpu.tree_attention import Branches, attend_branches

KEEPS = "_keeps_rows"
"""Marks a model whose last layer takes `kept`: it returns the states at these tokens only."""

BRANCHES = "_reads_branches"
"""How long paths may be that the model reads as `Branches`."""

_TOLERANCE = 1e-5
_ROWS = (5, 3, 2)
Forward = Callable[..., Any]


def patch_for_cpu(model: Any) -> set[str]:
    """Replace what may be replaced, where no GPU is seen (there, layers are compiled). Returns which kinds were:
    "norm", "gate", "attention", "layer".
    """
    if torch.cuda.is_available():
        return set()
    tried: dict[tuple[type, str], bool] = {}
    found, windows = set[str](), list[int]()
    for kind, module in _parts(model):
        key = type(module), kind.name
        if key not in tried:
            tried[key] = _agrees(kind, module)
        if tried[key]:
            module.forward = MethodType(kind.forward, module)
            found.add(kind.name)
            windows += [_window(module)] if kind is ATTENTION else []
    if "layer" in found:
        setattr(model, KEEPS, True)
    if windows and len(windows) == model.config.get_text_config().num_hidden_layers:
        setattr(model, BRANCHES, min(windows))
    return found


def unpatch(model: Any) -> None:
    """Undo it, for code that is compiled."""
    ours = {kind.forward for kind in KINDS}
    for module in model.modules():
        if getattr(module.__dict__.get("forward"), "__func__", None) in ours:
            del module.__dict__["forward"]
    for mark in (KEEPS, BRANCHES):
        if hasattr(model, mark):
            delattr(model, mark)


def trims_last_layer(model: Any) -> bool:
    """Whether `kept` shortens what the last layer does; `model` may be wrapped."""
    return bool(getattr(model, KEEPS, False))


def reads_branches(model: Any, longest: int) -> bool:
    """Whether `packing` may be `Branches`, of paths of up to `longest` tokens; `model` may be wrapped."""
    return longest <= getattr(model, BRANCHES, 0)


def _window(attention: Any) -> int:
    """The longest path of which every token is seen."""
    found = getattr(attention, "sliding_window", None) or getattr(attention.config, "sliding_window", None)
    return min(LONGEST_PATH, found or LONGEST_PATH)


@dataclass(frozen=True)
class _Kind:
    """`children`: the names of the modules inside. `inputs`: random ones for (module, generator); `more`: what only
    the lean form is given.
    """

    name: str
    children: frozenset[str]
    forward: Forward
    inputs: Callable[[Any, torch.Generator], dict[str, Any]]
    more: Mapping[str, Any] | None = None


def _parts(model: Any) -> Iterator[tuple[_Kind, Any]]:
    last = None
    for module in model.modules():
        names = frozenset(name for name, _ in module.named_children())
        for kind in KINDS:
            if names != kind.children or (kind is NORM and not type(module).__name__.endswith("RMSNorm")):
                continue
            if kind is LAYER:
                last = module
            else:
                yield kind, module
    if last is not None:
        yield LAYER, last  # of the layers only the last one leaves tokens out


@torch.no_grad()
def _agrees(kind: _Kind, module: Any) -> bool:
    """Whether both forms give the same on random weights and inputs. A form that does not fit raises anything."""
    trial, chance = copy.deepcopy(module).float().eval(), torch.Generator().manual_seed(0)
    for parameter in trial.parameters():
        parameter.normal_(generator=chance).mul_(0.1).add_(0.05)
    try:
        inputs = kind.inputs(trial, chance)
        expected, found = type(trial).forward(trial, **inputs), kind.forward(trial, **inputs, **(kind.more or {}))
    except Exception:
        return False
    first, second = (each[0] if isinstance(each, tuple) else each for each in (expected, found))
    return first.shape == second.shape and torch.allclose(first, second, rtol=_TOLERANCE, atol=_TOLERANCE)


# ---- the forms


def _norm(self: Any, hidden_states: Tensor) -> Tensor:
    return rms_norm(hidden_states, self.weight, _eps(self))


def _eps(norm: Any) -> float:
    return float(norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps)


def _gate(self: Any, x: Tensor) -> Tensor:
    down: Tensor = self.down_proj(gated(self.gate_proj(x), self.up_proj(x)))
    return down


def _attention(
    self: Any,
    hidden_states: Tensor,
    position_embeddings: tuple[Tensor, Tensor] | None = None,
    attention_mask: Tensor | None = None,
    past_key_values: Any = None,
    packing: Packing | Branches | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """As the module's own; packed rows go the lean way."""
    if packing is None or past_key_values is not None or position_embeddings is None or not _fits(self, packing):
        found: tuple[Tensor, Tensor | None] = type(self).forward(
            self,
            hidden_states=hidden_states,
            position_embeddings=position_embeddings,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            packing=packing,
            **others,
        )
        return found
    query, key, value = (
        project(hidden_states)[0].unflatten(-1, (-1, self.head_dim))
        for project in (self.q_proj, self.k_proj, self.v_proj)
    )
    cosine, sine = (each[0] for each in position_embeddings)
    if isinstance(packing, Branches):
        seen = attend_branches(query, key, value, (cosine, sine), packing, self.scaling)
    else:
        seen = attend(query, key, value, (cosine, sine), packing, self.scaling)
    return self.o_proj(seen.flatten(1)[None]), None


def _fits(attention: Any, packing: Packing | Branches) -> bool:
    """Whether all tokens of every row are seen, rows are short, and nothing is left to chance."""
    if isinstance(packing, Branches):
        return True  # who makes them has asked `reads_branches`
    chance = attention.training and getattr(attention, "attention_dropout", 0.0)
    return not chance and max(packing.lengths) <= min(LONGEST, _window(attention))


def _layer(self: Any, hidden_states: Tensor, *arguments: Any, kept: Tensor | None = None, **others: Any) -> Tensor:
    """The last layer: what comes after attention is computed for the tokens that are looked at alone."""
    if kept is None:
        whole: Tensor = type(self).forward(self, hidden_states, *arguments, **others)
        return whole
    seen, _ = self.self_attn(self.input_layernorm(hidden_states), *arguments, **others)
    residual = hidden_states.index_select(1, kept) + seen.index_select(1, kept)
    found: Tensor = residual + self.mlp(self.post_attention_layernorm(residual))
    return found


# ---- what they are tried on


def _states(module: Any, chance: torch.Generator, width: int) -> Tensor:
    return torch.randn((1, sum(_ROWS), width), generator=chance)


def _of_attention(module: Any, chance: torch.Generator) -> dict[str, Any]:
    half = torch.randn((1, sum(_ROWS), module.head_dim // 2), generator=chance)
    angles = torch.cat([half, half], -1)
    return {
        "hidden_states": _states(module, chance, module.q_proj.in_features),
        "position_embeddings": (angles.cos(), angles.sin()),
        "attention_mask": None,
        "packing": Packing.of(_ROWS, torch.device("cpu")),
    }


def _of_layer(module: Any, chance: torch.Generator) -> dict[str, Any]:
    return _of_attention(module.self_attn, chance)


NORM = _Kind(
    "norm",
    frozenset(),
    _norm,
    lambda module, chance: {"hidden_states": _states(module, chance, module.weight.shape[0])},
)
GATE = _Kind(
    "gate",
    frozenset({"gate_proj", "up_proj", "down_proj", "act_fn"}),
    _gate,
    lambda module, chance: {"x": _states(module, chance, module.gate_proj.in_features)},
)
ATTENTION = _Kind("attention", frozenset({"q_proj", "k_proj", "v_proj", "o_proj"}), _attention, _of_attention)
LAYER = _Kind(
    "layer",
    frozenset({"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}),
    _layer,
    _of_layer,
    {"kept": torch.arange(sum(_ROWS))},
)
KINDS = (NORM, GATE, ATTENTION, LAYER)
