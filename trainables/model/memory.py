"""Estimates a trial's memory, and how many tokens fit in free memory. Pure arithmetic on sizes, without torch.

Activations are what autograd keeps for the backward pass of a Llama-like decoder layer (RMSNorm in float32, rotary
positions, attention without stored scores, gated MLP), plus the logits of answer tokens and their gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainables.model.families import family_of, text_part, ties_embeddings, why_unknown_memory

FLOAT32 = 4
CPU_TOKENS = 1024
"""Tokens per pass on a CPU: larger passes are no faster, and their temporaries no longer fit in its caches."""
LEAST_TOKENS = 256
USEFUL_TOKENS = 8192
"""Tokens per pass that keep a GPU busy: larger passes are hardly faster."""
_DECODED_TOGETHER = 8  # times `evaluation.batch_tokens`, see `evaluation.decoding.answers`
USABLE = 0.8  # share of free device memory: allocators fragment, and kernels need workspace


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


def activation_bytes(shape: DecoderShape, tokens: int, answer_tokens: int, element: int) -> int:
    """Bytes kept between forward and backward pass. `element`: bytes per number (2 in half precision, 4 in float32)."""
    # Twice per layer: the input in float32, and the normalised input in the model's dtype before and after the weight.
    norms = 2 * shape.hidden * (FLOAT32 + 2 * element)
    attention = (3 * shape.queries + shape.keys) * element  # queries, output twice, keys and values
    if shape.normed:
        norms += (shape.queries + shape.keys // 2) * (FLOAT32 + element)
    gates = 4 * shape.inner * element
    head = (2 * shape.vocabulary + shape.hidden) * element
    return tokens * shape.layers * (norms + attention + gates) + answer_tokens * head


def adapter_parameters(shape: DecoderShape, rank: int) -> int:
    """Parameters of low-rank adapters on all linear layers of the decoder; an upper bound if only some have them."""
    # Inputs and outputs of the query, output, key and value layers.
    attention = 4 * shape.hidden + 2 * shape.queries + shape.keys
    return rank * shape.layers * (attention + 3 * (shape.hidden + shape.inner))


def state_bytes(
    shape: DecoderShape, element: int, zero_stage: int, workers: int, frozen: bool, trained: int | None = None
) -> Mapping[str, int]:
    """Bytes per worker of weights, gradients, optimizer and, if `frozen`, a frozen copy of the weights.

    `trained`: number of trained parameters (adapters); None: all. In half precision DeepSpeed also keeps weights and
    gradients in float32. ZeRO stage 1 shards the optimizer over the workers, stage 2 also gradients, stage 3 also
    weights.
    """
    n = shape.parameters
    updated = n if trained is None else trained
    master = updated * FLOAT32 if element < FLOAT32 else 0

    def share(size: int, stage: int) -> int:
        return size // workers if zero_stage >= stage else size

    return {
        "weights": share((n if trained is None else n + trained) * element, 3),
        "gradients": share(updated * element + master, 2),
        "optimizer": share(2 * updated * FLOAT32 + master, 1),
        "frozen": n * element if frozen else 0,
    }


def evaluation_bytes(shape: DecoderShape, element: int, batch_tokens: int) -> int:
    """Bytes of an evaluation on top of the states: keys and values of the rows decoded together, or one teacher-forced
    pass with its logits, whichever is more.
    """
    cached = shape.layers * shape.keys * element
    forward = (2 * shape.vocabulary + 2 * shape.inner + 4 * shape.hidden) * element
    return max(_DECODED_TOGETHER * batch_tokens * cached, batch_tokens * (cached + forward))


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a trial takes in one worker. `states` last all the time; activations and evaluation alternate."""

    states: Mapping[str, int]
    activations: int
    evaluation: int

    @property
    def total(self) -> int:
        return sum(self.states.values()) + max(self.activations, self.evaluation)

    def fits(self, available: int) -> bool:
        """Whether it fits in `available` bytes, with a margin for temporaries."""
        return max(self.activations, self.evaluation) <= USABLE * (available - sum(self.states.values()))


def tokens_that_fit(shape: DecoderShape, free: int, element: int) -> int:
    """Tokens of one training pass, all of them answer tokens, that fit in `free` bytes; at least `LEAST_TOKENS`."""
    return max(LEAST_TOKENS, int(USABLE * free) // activation_bytes(shape, 1, 1, element))
