"""Replaces a model's modules with faster CPU versions, wherever both compute the same.

Module names do not tell how architectures differ (a norm that adds one to its weight, a rotation of neighbours instead
of halves), so each kind of module is first compared with its replacement on random inputs.
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
from trainables.model.cpu.attention import LONGEST_ROW, attend
from trainables.model.cpu.rms_norm import rms_norm
from trainables.model.cpu.swiglu import gated
from trainables.model.cpu.tree_attention import LONGEST_PATH, Branches, attend_branches
from trainables.runtime.fast_paths import Outcome, allowed, difference

_TRIMS = "_trims_last_layer"  # set on a model whose last layer takes `kept` and returns only these tokens' states
_PATHS = "_longest_path"  # set on a model that takes `Branches`: the longest path it may be given
_TOLERANCE = 1e-5
_ROWS = (5, 3, 2)  # lengths of the rows for the comparison
Forward = Callable[..., Any]


def patch_for_cpu(model: Any) -> set[str]:
    """Replace modules in place, unless there is a GPU (there, layers are compiled). Returns the kinds replaced, of
    "norm", "gate", "attention" and "layer".
    """
    if torch.cuda.is_available():
        return set()
    agrees: dict[tuple[Any, ...], bool] = {}
    found, windows = set[str](), list[int]()
    for kind, module in _candidates(model):
        key = kind.name, type(module), _settings(module)
        if key not in agrees:
            agrees[key] = _agrees(kind, module)
        if agrees[key]:
            module.forward = MethodType(_FORWARDS[kind.name], module)
            found.add(kind.name)
            windows += [_window(module)] if kind is _ATTENTION else []
    if "layer" in found:
        setattr(model, _TRIMS, True)
    if windows and len(windows) == model.config.get_text_config().num_hidden_layers:
        setattr(model, _PATHS, min(windows))
    return found


def unpatch(model: Any) -> None:
    """Restore the model's own modules, before layers are compiled."""
    for module in model.modules():
        if _is_replaced(module):
            del module.__dict__["forward"]
    for mark in (_TRIMS, _PATHS):
        if hasattr(model, mark):
            delattr(model, mark)


def is_patched(model: Any) -> bool:
    """Whether any module of the model was replaced."""
    return any(map(_is_replaced, model.modules()))


def _is_replaced(module: Any) -> bool:
    return getattr(module.__dict__.get("forward"), "__func__", None) in _FORWARDS.values()


def trims_last_layer(model: Any) -> bool:
    """Whether the last layer takes `kept`; `model` may be wrapped."""
    return bool(getattr(model, _TRIMS, False)) and allowed("lean layers")


def reads_branches(model: Any, longest: int) -> bool:
    """Whether `packing` may be `Branches` with paths of up to `longest` tokens; `model` may be wrapped."""
    return longest <= getattr(model, _PATHS, 0) and allowed("lean layers")


def _settings(module: Any) -> frozenset[tuple[str, Any]]:
    """What layers of one class can differ in, as those with and without rotary positions of SmolLM3 do."""
    return frozenset(
        (name, value)
        for name, value in vars(module).items()
        if name != "layer_idx" and isinstance(value, int | float | str | None)
    )


def _window(attention: Any) -> int:
    """The longest path in which every token sees all earlier ones."""
    found = getattr(attention, "sliding_window", None) or getattr(attention.config, "sliding_window", None)
    return min(LONGEST_PATH, found or LONGEST_PATH)


@dataclass(frozen=True)
class _Kind:
    """A kind of module and its replacement. `children`: names of its submodules. `inputs`: random inputs from (module,
    generator); `extra`: further inputs for the replacement only.
    """

    name: str
    children: frozenset[str]
    forward: Forward
    inputs: Callable[[Any, torch.Generator], dict[str, Any]]
    extra: Mapping[str, Any] | None = None


def _candidates(model: Any) -> Iterator[tuple[_Kind, Any]]:
    last = None
    for module in model.modules():
        names = frozenset(name for name, _ in module.named_children())
        for kind in _KINDS:
            if names != kind.children or (kind is _NORM and not type(module).__name__.endswith("RMSNorm")):
                continue
            if kind is _LAYER:
                last = module
            else:
                yield kind, module
    if last is not None:
        yield _LAYER, last  # only the last layer may leave out tokens


@torch.enable_grad()
def _agrees(kind: _Kind, module: Any) -> bool:
    """Whether the replacement gives the same results and gradients on random weights and inputs. One that does not fit
    may raise any exception.
    """
    trial, generator = copy.deepcopy(module).float().eval().requires_grad_(), torch.Generator().manual_seed(0)
    for parameter in trial.parameters():
        parameter.data.normal_(generator=generator).mul_(0.1).add_(0.05)
    try:
        inputs = kind.inputs(trial, generator)
        wanted = [next(iter(inputs.values())).requires_grad_(), *trial.parameters()]
        plain = _outcome(type(trial).forward(trial, **inputs), wanted)
        fast = _outcome(kind.forward(trial, **inputs, **(kind.extra or {})), wanted)
    except Exception:
        return False
    found = difference(fast, plain)
    return max(found.values, found.gradients or 0.0) <= _TOLERANCE


def _outcome(output: Tensor | tuple[Tensor, ...], wanted: list[Tensor]) -> Outcome:
    values = output[0] if isinstance(output, tuple) else output
    outer = torch.linspace(-1.0, 1.0, values.numel()).view(values.shape)
    return Outcome([values], torch.autograd.grad(values, wanted, outer))


# ---- the replacements


def _norm(self: Any, hidden_states: Tensor) -> Tensor:
    return rms_norm(
        hidden_states, self.weight, self.variance_epsilon if hasattr(self, "variance_epsilon") else self.eps
    )


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
    """The module's own forward, except for packed rows."""
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
    """Whether rows are short, no window cuts them and there is no dropout."""
    if isinstance(packing, Branches):
        return True  # the caller has checked `reads_branches`
    dropout = attention.training and getattr(attention, "attention_dropout", 0.0)
    return not dropout and max(packing.lengths) <= min(LONGEST_ROW, _window(attention))


def _layer(self: Any, hidden_states: Tensor, *arguments: Any, kept: Tensor | None = None, **others: Any) -> Tensor:
    """The last layer: everything after attention is computed for the tokens in `kept` only."""
    if kept is None:
        whole: Tensor = type(self).forward(self, hidden_states, *arguments, **others)
        return whole
    seen, _ = self.self_attn(self.input_layernorm(hidden_states), *arguments, **others)
    residual = hidden_states.index_select(1, kept) + seen.index_select(1, kept)
    found: Tensor = residual + self.mlp(self.post_attention_layernorm(residual))
    return found


# ---- random inputs


def _states(generator: torch.Generator, width: int) -> Tensor:
    return torch.randn((1, sum(_ROWS), width), generator=generator)


def _attention_inputs(module: Any, generator: torch.Generator) -> dict[str, Any]:
    half = torch.randn((1, sum(_ROWS), module.head_dim // 2), generator=generator)
    angles = torch.cat([half, half], -1)
    return {
        "hidden_states": _states(generator, module.q_proj.in_features),
        "position_embeddings": (angles.cos(), angles.sin()),
        "attention_mask": None,
        "packing": Packing.of(_ROWS, torch.device("cpu")),
    }


_NORM = _Kind("norm", frozenset(), _norm, lambda norm, rng: {"hidden_states": _states(rng, len(norm.weight))})
_GATE = _Kind(
    "gate",
    frozenset({"gate_proj", "up_proj", "down_proj", "act_fn"}),
    _gate,
    lambda gate, rng: {"x": _states(rng, gate.gate_proj.in_features)},
)
_ATTENTION = _Kind("attention", frozenset({"q_proj", "k_proj", "v_proj", "o_proj"}), _attention, _attention_inputs)
_LAYER = _Kind(
    "layer",
    frozenset({"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}),
    _layer,
    lambda layer, rng: _attention_inputs(layer.self_attn, rng),
    {"kept": torch.arange(sum(_ROWS))},
)
_KINDS = (_NORM, _GATE, _ATTENTION, _LAYER)


def _while_allowed(forward: Forward) -> Forward:
    """The replacement, or the module's own forward if this process may not use replacements."""

    def call(self: Any, *arguments: Any, **others: Any) -> Any:
        chosen = forward if allowed("lean layers") else type(self).forward
        return chosen(self, *arguments, **others)

    return call


_FORWARDS = {kind.name: _while_allowed(kind.forward) for kind in _KINDS}
