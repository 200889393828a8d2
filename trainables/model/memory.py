"""Estimates a trial's memory, and how many tokens fit in free memory. Pure arithmetic on sizes, without torch.

Activations are what autograd keeps for the backward pass of a Llama-like decoder layer (RMSNorm in float32, rotary
positions, attention without stored scores, gated MLP), plus the logits of answer tokens and their gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainables.config import MemoryRecipe
from trainables.model.families import family_of, text_part, ties_embeddings, why_unknown_memory

FLOAT32 = 4
HALF = 2
BLOCK = 128
"""Numbers that share a scale in 8-bit moments."""
UPDATE_NUMBERS = 2**20
"""Numbers that an uncompiled update of half-precision weights works on at a time."""
_UPDATE_TENSORS = 18  # float32 tensors of UPDATE_NUMBERS that it has at once
CPU_TOKENS = 1024
"""Tokens per pass on a CPU: larger passes are no faster, and their temporaries no longer fit in its caches."""
LEAST_TOKENS = 256
ENOUGH_TOKENS = 1024
"""Tokens per pass for which a memory recipe is worth taking: with fewer, reading the weights bounds a GPU's step."""
USEFUL_TOKENS = 8192
"""Tokens per pass that keep a GPU busy: larger passes are hardly faster."""
_DECODED_TOGETHER = 8  # times `evaluation.batch_tokens`, see `evaluation.decoding.answers`
USABLE = 0.8  # share of free device memory: allocators fragment, and kernels need workspace


@dataclass(frozen=True)
class Recipe:
    """What training in half precision without sharding keeps per trained parameter, besides weights and gradients.

    `masters`: where the bits are that bfloat16 lacks. `small_moments`: moments in blocks of 8 bits instead of float32.
    `recompute`: layers keep only their input and run again in the backward pass. Loss of exactness: `docs/memory.md`.
    """

    masters: Literal["float32", "remainder", "none"]
    small_moments: bool
    recompute: bool = False

    @property
    def optimizer_bytes(self) -> float:
        """Bytes of masters and moments per parameter."""
        moments = 2 * (1 + FLOAT32 / BLOCK) if self.small_moments else 2 * FLOAT32
        return {"float32": FLOAT32, "remainder": 2, "none": 0}[self.masters] + moments

    @property
    def parameter_bytes(self) -> float:
        """Bytes per parameter in all, with the weight and its gradient."""
        return 2 * HALF + self.optimizer_bytes


RECIPES: Mapping[MemoryRecipe, Recipe] = {
    "exact": Recipe("float32", small_moments=False),
    "moments8": Recipe("float32", small_moments=True),
    "remainder": Recipe("remainder", small_moments=True),
    "stochastic": Recipe("none", small_moments=True),
    "recompute": Recipe("none", small_moments=True, recompute=True),
}
"""By the names of `trial.memory`, the most exact first."""


@dataclass(frozen=True)
class DecoderShape:
    """The sizes of a decoder. `hidden`, `keys` (keys and values together), `inner` (of the MLP) and `queries` (0: as
    `hidden`) are widths. `normed`: whether queries and keys have norms.
    """

    parameters: int
    layers: int
    hidden: int
    keys: int
    inner: int
    vocabulary: int
    queries: int = 0
    normed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "queries", self.queries or self.hidden)

    @classmethod
    def of(cls, config: Any, parameters: int) -> DecoderShape:
        """From a Hugging Face configuration."""
        text = config.get_text_config()
        names = (*_WIDTHS, "head_dim", "num_key_value_heads", "intermediate_size", "model_type")
        return _shape({name: getattr(text, name, None) for name in names}, parameters)

    @classmethod
    def of_file(cls, content: Mapping[str, Any]) -> DecoderShape:
        """From a `config.json`, counting the parameters of a dense decoder with a gated MLP.

        Raises ValueError for a family that it is wrong for, or if a width is missing, as for other kinds of models.
        """
        text = text_part(content)
        if unknown := why_unknown_memory(content):
            raise ValueError(unknown)
        if missing := [name for name in _WIDTHS if not text.get(name)]:
            raise ValueError(
                f"{', '.join(missing)} missing: memory can be estimated only for decoders with Llama's names for sizes"
            )
        shape = _shape(text, 0)
        layer = shape.hidden * (2 * shape.queries + shape.keys + 3 * shape.inner + 2)
        embeddings = shape.vocabulary * shape.hidden * (1 if ties_embeddings(content) else 2)
        return replace(shape, parameters=shape.layers * layer + embeddings + shape.hidden)


_WIDTHS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


def _shape(text: Mapping[str, Any], parameters: int) -> DecoderShape:
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    head, family = text.get("head_dim") or hidden // heads, family_of(text)
    keys = 2 * (text.get("num_key_value_heads") or heads) * head
    inner = text.get("intermediate_size") or 4 * hidden
    normed = family is not None and family.normed
    layers, vocabulary = text["num_hidden_layers"], text["vocab_size"]
    return DecoderShape(parameters, layers, hidden, keys, inner, vocabulary, heads * head, normed)


def activation_bytes(
    shape: DecoderShape, tokens: int, answer_tokens: int, element: int, compiled: bool = False, recompute: bool = False
) -> int:
    """Bytes kept between forward and backward pass.

    Args:
        element: bytes per number (2 in half precision, 4 in float32).
        compiled: layers are compiled: what is cheap to compute again is not kept, nor anything in float32.
        recompute: layers keep only their input; one of them at a time has the rest.
    """
    if compiled:
        normed = shape.queries + shape.keys // 2 if shape.normed else 0
        layer = (4 * shape.hidden + 2 * shape.queries + normed + 3 * shape.inner + shape.keys) * element
    else:
        # Twice per layer: the input in float32, and the normalised input in the model's dtype before and after the
        # weight.
        norms = 2 * shape.hidden * (FLOAT32 + 2 * element)
        attention = (3 * shape.queries + shape.keys) * element  # queries, output twice, keys and values
        if shape.normed:
            norms += (shape.queries + shape.keys // 2) * (FLOAT32 + element)
        layer = norms + attention + 4 * shape.inner * element
    head = (2 * shape.vocabulary + shape.hidden) * element
    layers = shape.layers * shape.hidden * element + layer if recompute else shape.layers * layer
    return tokens * layers + answer_tokens * head


def adapter_parameters(shape: DecoderShape, rank: int) -> int:
    """Parameters of low-rank adapters on all linear layers of the decoder; an upper bound if only some have them."""
    # Inputs and outputs of the query, output, key and value layers.
    attention = 4 * shape.hidden + 2 * shape.queries + shape.keys
    return rank * shape.layers * (attention + 3 * (shape.hidden + shape.inner))


def state_bytes(
    shape: DecoderShape,
    element: int,
    zero_stage: int,
    workers: int,
    frozen: bool,
    trained: int | None = None,
    recipe: Recipe = RECIPES["exact"],
) -> Mapping[str, int]:
    """Bytes per worker of weights, gradients, optimizer and, if `frozen`, a frozen copy of the weights.

    `trained`: number of trained parameters (adapters); None: all. `recipe`: in half precision without sharding. ZeRO
    stage 1 shards the optimizer over the workers, stage 2 also gradients, stage 3 also weights.
    """
    n = shape.parameters
    updated = n if trained is None else trained

    def share(size: float, stage: int) -> int:
        return int(size) // workers if zero_stage >= stage else int(size)

    exact = RECIPES["exact"] if zero_stage else recipe
    return {
        "weights": share((n if trained is None else n + trained) * element, 3),
        "gradients": share(updated * element, 2),
        "optimizer": share(updated * (exact.optimizer_bytes if element < FLOAT32 else 2 * FLOAT32), 1),
        "frozen": n * element if frozen else 0,
    }


def update_bytes(shape: DecoderShape, updated: int, element: int, zero_stage: int, workers: int, compiled: bool) -> int:
    """Bytes that an optimizer step takes besides the states, when the activations are gone. `updated`: parameters.

    DeepSpeed's sharded optimizers copy the gradients to a flat vector, and that to float32. Ours has temporaries for a
    part of one parameter at a time, or none if compiled.
    """
    if element == FLOAT32:
        return 0
    if zero_stage:
        return updated * (element + FLOAT32) // workers
    largest = shape.hidden * max(shape.vocabulary, shape.inner)
    return 0 if compiled else _UPDATE_TENSORS * FLOAT32 * min(updated, largest, UPDATE_NUMBERS)


def evaluation_bytes(shape: DecoderShape, element: int, batch_tokens: int) -> int:
    """Bytes of an evaluation on top of the states: keys and values of the rows decoded together, or one teacher-forced
    pass with its logits, whichever is more.
    """
    cached = shape.layers * shape.keys * element
    forward = (2 * shape.vocabulary + 2 * shape.inner + 4 * shape.hidden) * element
    return max(_DECODED_TOGETHER * batch_tokens * cached, batch_tokens * (cached + forward))


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a trial takes in one worker. `states` last all the time; the others come one after another.

    `evaluation` is what an evaluation takes beyond the gradients, if these do not exist meanwhile. `update`: see
    `update_bytes`.
    """

    states: Mapping[str, int]
    activations: int
    evaluation: int
    update: int = 0

    @property
    def passing(self) -> int:
        """The largest of what comes and goes."""
        return max(self.activations, self.evaluation, self.update)

    @property
    def total(self) -> int:
        return sum(self.states.values()) + self.passing

    def fits(self, available: int) -> bool:
        """Whether it fits in `available` bytes, with a margin for temporaries."""
        return self.passing <= USABLE * (available - sum(self.states.values()))


def tokens_that_fit(
    shape: DecoderShape, free: int, element: int, compiled: bool = False, recompute: bool = False
) -> int:
    """Tokens of one training pass, all of them answer tokens, that fit in `free` bytes; at least `LEAST_TOKENS`."""
    each = activation_bytes(shape, 1, 1, element, compiled, recompute)
    return max(LEAST_TOKENS, int(USABLE * free) // each)
