"""How much memory a trial needs, and how many tokens fit into what is free. Pure arithmetic on sizes, without torch.

Counted is what autograd keeps for the backward pass of a Llama-like decoder layer (RMSNorm in float32, rotary
positions, attention whose scores are never stored, gated MLP), and logits of the answer tokens with their gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

FLOAT32 = 4
CPU_TOKENS = 1024
"""On a processor larger passes are no faster, and their temporaries leave its caches."""
LEAST_TOKENS = 256
USEFUL_TOKENS = 8192
"""A pass of so many keeps a GPU busy: more of them are hardly faster."""
DECODED_TOGETHER = 8  # times `evaluation.batch_tokens`, see `evaluation.answering`
USABLE = 0.8  # of free device memory: allocators fragment, and kernels need room of their own


@dataclass(frozen=True)
class Shape:
    """A decoder. `hidden`, `keys` (keys and values together), `inner` (of the MLP): widths."""

    parameters: int
    layers: int
    hidden: int
    keys: int
    inner: int
    vocabulary: int

    @classmethod
    def of(cls, config: Any, parameters: int) -> Shape:
        """Of a Hugging Face configuration."""
        text = config.get_text_config()
        names = (*_WIDTHS, "head_dim", "num_key_value_heads", "intermediate_size")
        return _shape({name: getattr(text, name, None) for name in names}, parameters)

    @classmethod
    def of_file(cls, content: Mapping[str, Any]) -> Shape:
        """Of a `config.json`, parameters counted for a dense decoder with a gated MLP.

        Raises ValueError for mixtures of experts, and when a width is missing: then the model is something else.
        """
        text: Mapping[str, Any] = content.get("text_config") or content
        if experts := next((name for name in _EXPERTS if text.get(name)), None):
            raise ValueError(f"{experts} {text[experts]}: the memory of a mixture of experts is not known beforehand")
        if lacking := [name for name in _WIDTHS if not text.get(name)]:
            raise ValueError(
                f"{', '.join(lacking)} missing: only decoders with Llama's names for their sizes are known"
            )
        shape = _shape(text, 0)
        queries = text["num_attention_heads"] * (text.get("head_dim") or shape.hidden // text["num_attention_heads"])
        layer = shape.hidden * (2 * queries + shape.keys + 3 * shape.inner + 2)
        embeddings = shape.vocabulary * shape.hidden * (1 if content.get("tie_word_embeddings") else 2)
        return replace(shape, parameters=shape.layers * layer + embeddings + shape.hidden)


_WIDTHS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


def _shape(text: Mapping[str, Any], parameters: int) -> Shape:
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    keys = 2 * (text.get("num_key_value_heads") or heads) * (text.get("head_dim") or hidden // heads)
    inner = text.get("intermediate_size") or 4 * hidden
    return Shape(parameters, text["num_hidden_layers"], hidden, keys, inner, text["vocab_size"])


def activation_bytes(shape: Shape, tokens: int, answer_tokens: int, element: int) -> int:
    """Kept between forward and backward pass. `element`: bytes of a number (2 in half precision, 4 in float32)."""
    # Twice a layer: what is normalised in float32, and the normalised in the model's own type before and after weights.
    norms = 2 * shape.hidden * (FLOAT32 + 2 * element)
    attention = (3 * shape.hidden + shape.keys) * element  # queries, output twice, keys and values
    gates = 4 * shape.inner * element
    head = (2 * shape.vocabulary + shape.hidden) * element
    return tokens * shape.layers * (norms + attention + gates) + answer_tokens * head


def adapter_parameters(shape: Shape, rank: int) -> int:
    """Parameters of low-rank adapters on all linear layers of the decoder: at most these where only some have them."""
    attention = 4 * shape.hidden + 2 * shape.hidden + shape.keys  # in and out of queries, output, keys and values
    return rank * shape.layers * (attention + 3 * (shape.hidden + shape.inner))


def state_bytes(
    shape: Shape, element: int, zero_stage: int, workers: int, frozen: bool, trained: int | None = None
) -> Mapping[str, int]:
    """Of one worker: weights, gradients, optimizer, and a frozen copy where there is one. `trained`: how many
    parameters are; None: all.

    In half precision DeepSpeed keeps weights and gradients in float32 too. Stage 1 divides the optimizer among the
    workers, stage 2 gradients too, stage 3 weights too.
    """
    n = shape.parameters
    moved = n if trained is None else trained
    master = moved * FLOAT32 if element < FLOAT32 else 0

    def share(size: int, stage: int) -> int:
        return size // workers if zero_stage >= stage else size

    return {
        "weights": share((n if trained is None else n + trained) * element, 3),
        "gradients": share(moved * element + master, 2),
        "optimizer": share(2 * moved * FLOAT32 + master, 1),
        "frozen": n * element if frozen else 0,
    }


def evaluation_bytes(shape: Shape, element: int, batch_tokens: int) -> int:
    """Beside the states: keys and values of all that is decoded together, or of one teacher-forced pass with its
    logits, whichever is more.
    """
    cached = shape.layers * shape.keys * element
    passing = (2 * shape.vocabulary + 2 * shape.inner + 4 * shape.hidden) * element
    return max(DECODED_TOGETHER * batch_tokens * cached, batch_tokens * (cached + passing))


@dataclass(frozen=True)
class MemoryEstimate:
    """What one worker's part of a trial takes, in bytes. `states` last as long as the trial; of the others one at a
    time is there.
    """

    states: Mapping[str, int]
    activations: int
    evaluation: int

    @property
    def total(self) -> int:
        return sum(self.states.values()) + max(self.activations, self.evaluation)

    def fits(self, room: int) -> bool:
        """Whether `room` bytes hold it, with some to spare for what comes and goes."""
        return max(self.activations, self.evaluation) <= USABLE * (room - sum(self.states.values()))


def tokens_that_fit(shape: Shape, free: int, element: int) -> int:
    """Tokens of one forward pass, all of them answers, in `free` bytes; `LEAST_TOKENS` at least."""
    return max(LEAST_TOKENS, int(USABLE * free) // activation_bytes(shape, 1, 1, element))
