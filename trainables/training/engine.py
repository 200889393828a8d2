"""One DeepSpeed engine over a copy of a model: optimizer steps, checkpoints, full weights at any ZeRO stage.

The optimizer is a client one, because DeepSpeed's own are compiled at first use: `torch.optim.AdamW`, or, for
half-precision weights that are not sharded, `Bf16AdamW`, which DeepSpeed takes as it is from a module that is in bf16
already. Where `Bf16AdamW` proves wrong, DeepSpeed's masters do for the recipe `exact`.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.batching.packing import Layout, Packed
from trainables.batching.rows import Batch
from trainables.config import LoraConfig, WorkersConfig
from trainables.model.compile import compile_layers, eager_mode, should_compile
from trainables.model.copies import DTYPES, cast_parameters, copy_to_device, share_weights
from trainables.model.gpu_share import usable_bytes
from trainables.model.lora import add_adapters, merged, plain_state
from trainables.model.memory import CPU_TOKENS, RECIPES, DecoderShape, state_bytes, tokens_that_fit
from trainables.model.packed_attention import takes_packed
from trainables.runtime.fast_paths import states
from trainables.runtime.ranks import Group
from trainables.self_check.compiled_layers import prove_compiled
from trainables.storage.engine_state import StateFiles
from trainables.training.bf16_adamw import Bf16AdamW, is_right
from trainables.training.state_formats import as_deepspeed, as_own

STATE_TAG = "state"
_MATRIX = 2  # dimensions
SHARDED_WEIGHTS = 3  # the ZeRO stage at which no rank holds all weights


def deepspeed_config(workers: WorkersConfig, gradient_clip: float, own_masters: bool = True) -> dict[str, Any]:
    """The user's DeepSpeed JSON with what the trial owns: batch sizes, precision, clipping.

    `own_masters`: whether `Bf16AdamW` may be used where it fits.
    `Engine.step` accumulates gradients itself, so DeepSpeed's accumulation is 1.
    """
    config: dict[str, Any] = copy.deepcopy(workers.deepspeed)
    config |= {
        "train_micro_batch_size_per_gpu": workers.micro_batch_size or 1,  # only checked for consistency
        "gradient_accumulation_steps": 1,
        "gradient_clipping": gradient_clip,
        "steps_per_print": 10**9,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
    config.setdefault("timers", {"throughput": {"enabled": False}})  # else every forward pass waits for the device
    if own_masters and _keeps_own_masters(workers):
        config["gradient_clipping"] = 0.0  # the optimizer clips
        config.setdefault("communication_data_type", "bf16")
    elif workers.precision == "bf16":
        config["bf16"] = {"enabled": True}
    if workers.zero_stage == SHARDED_WEIGHTS:
        config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    return config


def _keeps_own_masters(workers: WorkersConfig) -> bool:
    """Whether the optimizer, not DeepSpeed, has what half precision needs beside the weights."""
    return workers.precision == "bf16" and workers.zero_stage == 0


def _import_deepspeed() -> Any:
    """DeepSpeed without its just-in-time build of a shared-memory all-reduce (33 s, needs a compiler); gloo is used."""
    import deepspeed
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__ = {**deepspeed.ops.__compatible_ops__, "deepspeed_shm_comm": False}
    return deepspeed


def _gathered(parameters: Sequence[Tensor]) -> AbstractContextManager[Any]:
    """Whole parameters instead of ZeRO-3's shards; rank 0's changes to them are kept."""
    context: AbstractContextManager[Any] = _import_deepspeed().zero.GatheredParameters(
        list(parameters), modifier_rank=0
    )
    return context


def _groups(trained: Sequence[Tensor], decay_norms: bool) -> list[dict[str, Any]]:
    """AdamW's parameter groups; norms and biases (one dimension) are separate if they must not decay."""
    apart = [each for each in trained if not decay_norms and len(getattr(each, "ds_shape", each.shape)) < _MATRIX]
    known = {id(each) for each in apart}
    groups: list[dict[str, Any]] = [{"params": [each for each in trained if id(each) not in known]}]
    return groups + ([{"params": apart, "weight_decay": 0.0}] if apart else [])


class Engine:
    """A model in training.

    Args:
        pristine: the model to start from, on the CPU; copied, never changed (a ZeRO-3 module cannot be loaded twice).
        weights: the same model to copy the weights from, possibly on the device and in the workers' precision; None:
            `pristine` itself.
        other_bytes: device bytes that this process needs besides the engine.
        betas, weight_decay: of AdamW. decay_norms: whether norms and biases decay too; with Hugging Face's trainer, and
            so in published code, they do not. gradient_clip: largest norm of the gradient.
        lora: train adapters instead of the weights. seed: of the adapters' initial values and stochastic rounding.
    """

    def __init__(  # noqa: PLR0913 (all but three by name)
        self,
        pristine: Any,
        workers: WorkersConfig,
        group: Group,
        *,
        weights: Any = None,
        other_bytes: int = 0,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float,
        decay_norms: bool = True,
        gradient_clip: float = 1.0,
        lora: LoraConfig | None = None,
        seed: int = 0,
    ) -> None:
        weights = pristine if weights is None else weights
        sharded = workers.zero_stage == SHARDED_WEIGHTS
        if sharded:
            module = share_weights(pristine, weights, DTYPES[workers.precision], group.device)
        else:
            module = copy_to_device(pristine, weights, group.device)
        if lora is not None:
            add_adapters(module, lora, seed)
        self._recipe = RECIPES[workers.memory]
        if self._recipe.recompute:
            recompute = getattr(module, "activation_checkpointing_enable", None)  # since transformers 5.20 or so
            (recompute or module.gradient_checkpointing_enable)({"use_reentrant": False})
        self.compiled = self._unproved = should_compile(workers.compile, group.device, sharded, takes_packed(module))
        if self.compiled:
            compile_layers(module)
        self._pristine, self._lora = weights, lora
        self._group, self._workers, self._other_bytes = group, workers, other_bytes
        own = _keeps_own_masters(workers) and self._proved(module, betas, weight_decay, gradient_clip)
        self._stage, config = workers.zero_stage, deepspeed_config(workers, gradient_clip, own)
        deepspeed = _import_deepspeed()
        if sharded:
            deepspeed.zero.Init(module=module, config_dict_or_path=config)
        if own:
            cast_parameters(module, DTYPES["bf16"])
        trained = [parameter for parameter in module.to(group.device).parameters() if parameter.requires_grad]
        groups = _groups(trained, decay_norms)
        optimizer: torch.optim.Optimizer
        if own:
            optimizer = Bf16AdamW(
                groups, self._recipe, betas=betas, weight_decay=weight_decay, clip=gradient_clip, seed=seed
            )
        else:
            optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, weight_decay=weight_decay, fused=True)
        self.deepspeed, _, _, _ = deepspeed.initialize(
            model=module, optimizer=optimizer, config=config, dist_init_required=False
        )
        translated = as_own if own else None
        if not own and _keeps_own_masters(workers):
            for state in optimizer.state.values():  # DeepSpeed creates it by a step, which Adam counts
                state["step"].zero_()
            translated = partial(as_deepspeed, fresh=self.deepspeed.optimizer.state_dict())
        self._files = StateFiles(self.deepspeed, translated)
        if group.size == 1 and workers.zero_stage == 0:
            self.deepspeed.enable_backward_allreduce = False  # it copies all gradients even for one worker

    def _proved(self, module: Any, betas: tuple[float, float], weight_decay: float, clip: float) -> bool:
        """Whether `Bf16AdamW` is right; if not, DeepSpeed's optimizer takes its place under the recipe `exact`. Raises
        RuntimeError under any other.
        """
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        settings = {"betas": betas, "weight_decay": weight_decay}
        if is_right(trained, self._recipe, settings, clip, self._group):
            return True
        if self._recipe != RECIPES["exact"]:
            raise RuntimeError(
                f"trial.memory {self._workers.memory!r} needs Letheon's own optimizer step, which differs from AdamW "
                f"here ({states()['own optimizer step']}); set trial.memory: exact"
            )
        return False

    @property
    def layout(self) -> Layout:
        """How the model takes the rows of a batch: packed, filled or padded."""
        if not takes_packed(self.model):
            return "padded"
        # In half precision oneDNN generates code for each matrix size, so sizes are rounded up on a CPU too.
        half = next(self.model.parameters()).element_size() < torch.float32.itemsize
        return "filled" if self.compiled or half else "packed"

    @property
    def micro_batch_tokens(self) -> int:
        """Tokens per forward pass that fit into the worker's share of the device; the same on every rank."""
        device = torch.device(self._group.device)
        if device.type != "cuda":
            return CPU_TOKENS
        total = torch.cuda.get_device_properties(device).total_memory
        return min(self._group.gather([self._tokens_that_fit(total)]))

    def _tokens_that_fit(self, total: int) -> int:
        """Tokens per forward pass on a device of `total` bytes."""
        parameters = list(self.model.parameters())
        sizes = [getattr(each, "ds_numel", each.numel()) for each in parameters]  # ZeRO-3 leaves empty tensors behind
        adapters = sum(size for each, size in zip(parameters, sizes, strict=True) if each.requires_grad)
        trained = None if self._lora is None else adapters
        shape, element = DecoderShape.of(self.model.config, sum(sizes) - (trained or 0)), parameters[0].element_size()
        states = state_bytes(shape, element, self._stage, self._group.size, False, trained, self._recipe)
        free = usable_bytes(total, self._workers) - sum(states.values()) - self._other_bytes
        return tokens_that_fit(shape, free, element, self.compiled, self._recipe.recompute)

    @property
    def model(self) -> Any:
        """The Hugging Face module. Under ZeRO-3 its weights are gathered by hooks during forward passes."""
        return self.deepspeed.module

    def prove(self, batch: Batch | Packed) -> None:
        """Before each forward pass of training: compiled layers prove themselves on the first batch."""
        if self._unproved:
            self.compiled, self._unproved = prove_compiled(self.model, batch, self._group), False

    def step(self, losses: Iterable[Tensor], learning_rate: float, count: int) -> None:
        """One optimizer step over `count` micro-batches.

        The losses of all micro-batches of all workers must sum to the loss of the whole batch. DeepSpeed averages
        gradients over workers, hence the factor. Losses are consumed one by one, so only one graph is alive at a time.
        """
        for group in self.deepspeed.optimizer.param_groups:
            group["lr"] = learning_rate
        for i, loss in enumerate(losses):
            self.deepspeed.set_gradient_accumulation_boundary(i == count - 1)
            self.deepspeed.backward(loss * self._group.size)
            self.deepspeed.step()

    def save_state(self, folder: Path, saved: Path | None = None) -> dict[str, dict[str, Any]]:
        """Save optimizer and weights of all ranks, for resuming on this storage only (pickles: never published).

        `saved`: a folder to which `weights()` has just been saved, whose files the state then shares. Returns digest
        and size of the files of this rank, by name. Every rank must call it.
        """
        self._files.begin(folder, saved if self._lora is None else None)
        frozen = self._lora is not None
        self.deepspeed.save_checkpoint(str(folder), tag=STATE_TAG, save_latest=False, exclude_frozen_parameters=frozen)
        return self._files.finish()

    @property
    def state_bytes(self) -> int:
        """Bytes that saving the state of all ranks takes, roughly: float32 masters and both moments."""
        sizes = (getattr(each, "ds_numel", each.numel()) for each in self.model.parameters() if each.requires_grad)
        return 12 * int(sum(sizes))

    def load_state(self, folder: Path) -> None:
        """Raises FileNotFoundError if the folder has no usable state, ValueError if it is of another optimizer."""
        path, _ = self.deepspeed.load_checkpoint(str(folder), tag=STATE_TAG, load_module_strict=self._lora is None)
        if path is None:
            raise FileNotFoundError(
                f"no DeepSpeed state in {folder}: `save_state` must have finished; use an earlier epoch"
            )

    @contextmanager
    def as_saved(self) -> Iterator[None]:
        """Within it, `model` computes with the weights that `weights` returns: adapters are merged. Every rank enters.

        Merging in bf16 can round a small adapter away, so evaluate the merged weights, not the adapters.
        """
        with eager_mode() if self.compiled else nullcontext():
            if self._lora is None:
                yield
                return
            sharded = self._stage == SHARDED_WEIGHTS
            with merged(self.model, self._pristine, *([_gathered] if sharded else [])):
                yield

    def weights(self) -> Mapping[str, Tensor] | None:
        """Full weights on rank 0 (None elsewhere) at any ZeRO stage, adapters merged. Every rank must call it."""
        with self.as_saved():
            state = (
                self.deepspeed._zero3_consolidated_16bit_state_dict()
                if self._stage == SHARDED_WEIGHTS
                else self.deepspeed.module.state_dict()
            )
            if self._group.rank != 0:
                return None
            return state if self._lora is None else plain_state(state)

    def copy_weights_to(self, model: Any) -> Any:
        """Give a model of the same kind the weights that `weights` returns, on every rank; returns the model.

        Raises ValueError under ZeRO-3, where no rank has all weights.
        """
        if self._stage == SHARDED_WEIGHTS:
            raise ValueError("ZeRO stage 3: no worker has all weights to copy; use stage 2 or lower")
        with self.as_saved():
            state = self.deepspeed.module.state_dict()
            model.load_state_dict(state if self._lora is None else plain_state(state))
        return model

    def close(self) -> None:
        """Free the engine's memory; the process group stays. The engine cannot be used afterwards."""
        self.deepspeed.destroy()
        del self.deepspeed, self._files
        # DeepSpeed, the module and their hooks refer to each other and stay until a garbage collection. On a device
        # their memory is needed now; host memory is collected between two jobs.
        if torch.device(self._group.device).type == "cuda":
            gc.collect()
