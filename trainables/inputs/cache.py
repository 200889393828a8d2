"""What a worker process keeps between trials: models, encoded rows, reference tables.

Every entry is a pure function of its key, so a trial in a used worker sees the same as in a fresh one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from trainables.batching.rows import Encoded, hiding_matters
from trainables.config import BenchmarkConfig, Compat, EvaluationConfig, TrialConfig, WorkersConfig
from trainables.data.benchmarks.registry import Benchmark, Row, Split, load_benchmark
from trainables.data.tokenization import encode_row
from trainables.inputs.reference_log_probs import (
    ReferenceKey,
    ReferenceTable,
    compute_reference,
    load_or_compute,
    rows_digest,
)
from trainables.model.copies import DTYPES, cast_parameters, pin_memory
from trainables.model.gpu_share import WeightPlace
from trainables.model.load import load_model


@dataclass(frozen=True)
class Loaded:
    """A model as stored on disk, in float32 on the CPU. Never trained: engines copy it."""

    model: Any
    tokenizer: Any


@dataclass(frozen=True)
class Rows:
    """One forget fraction, as text and tokenised. `retain_rows`: all other rows that the target was trained on."""

    split: Split
    retain_rows: tuple[Row, ...]
    forget: tuple[Encoded, ...]
    retain: tuple[Encoded, ...]


def encode_rows(template: str, tokenizer: Any, rows: Sequence[Row], code: Compat = "none") -> tuple[Encoded, ...]:
    return tuple(encode_row(template, tokenizer, row, code) for row in rows)


class ReferenceSource(Protocol):
    """The fields of a job that the reference table depends on: of a trial's configuration or a baseline job."""

    @property
    def target(self) -> str: ...
    @property
    def target_digest(self) -> str: ...
    @property
    def template(self) -> str: ...
    @property
    def workers(self) -> WorkersConfig: ...
    @property
    def evaluation(self) -> EvaluationConfig: ...
    @property
    def reference_cache(self) -> str: ...
    @property
    def compat(self) -> Compat: ...


class WorkerCache:
    """A cache with at most `keep` entries of each kind; the oldest is dropped first."""

    def __init__(self, keep: int = 8) -> None:
        self._keep = keep
        self._entries: dict[tuple[str, Hashable], Any] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """The entry, made on first use."""
        if (kind, key) not in self._entries:
            same = [entry for entry in self._entries if entry[0] == kind]
            if len(same) >= self._keep:
                del self._entries[same[0]]
            self._entries[kind, key] = make()
        return self._entries[kind, key]

    def drop(self, kind: str, key: Hashable = None) -> None:
        """Free the entry of this key, or all of the kind; `get` makes it again when needed."""
        for entry in [entry for entry in self._entries if entry[0] == kind and key in (None, entry[1])]:
            del self._entries[entry]

    def model(self, folder: str) -> Loaded:
        loaded: Loaded = self.get("model", folder, lambda: Loaded(*load_model(folder)))
        return loaded

    def frozen_model(self, folder: str, precision: str, device: str) -> Any:
        """A model on the device that is never trained: engines copy it, some losses read its logits."""

        def make() -> Any:
            model = cast_parameters(copy.deepcopy(self.model(folder).model).to(device=device), DTYPES[precision])
            return model.eval().requires_grad_(False)

        return self.get("frozen", (folder, precision, device), make)

    def clear_device(self) -> None:
        """Free the models on the device, before something that plans with the device's whole memory."""
        self.drop("frozen")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def weights(self, folder: str, precision: str, place: WeightPlace, device: str) -> Any:
        """The model that engines copy weights from: on the device, in pageable or in pinned host memory."""
        if place == "device":
            return self.frozen_model(folder, precision, device)
        if place == "host":
            return self.model(folder).model

        def make() -> Any:
            loaded = self.model(folder).model
            same = DTYPES[precision] == next(loaded.parameters()).dtype
            return pin_memory(loaded if same else cast_parameters(copy.deepcopy(loaded), DTYPES[precision]))

        return self.get("pinned", (folder, precision), make)

    def benchmark(self, config: BenchmarkConfig) -> Benchmark:
        benchmark: Benchmark = self.get("benchmark", config.digest(), lambda: load_benchmark(config))
        return benchmark

    def split(self, benchmark: BenchmarkConfig, fraction: float) -> Split:
        key = (benchmark.digest(), fraction)
        split: Split = self.get("split", key, lambda: self.benchmark(benchmark).split(fraction))
        return split

    def rows(self, config: TrialConfig) -> Rows:
        """Split and tokenised training rows of a trial: the forget rows, and all others the target was trained on."""
        fraction = config.hyperparameters.forget_fraction

        def make() -> Rows:
            split = self.split(config.benchmark, fraction)
            tokenizer = self.model(config.target).tokenizer

            def encoded(rows: Sequence[Row]) -> tuple[Encoded, ...]:
                return encode_rows(config.template, tokenizer, rows, config.compat)

            general = self.benchmark(config.benchmark).general if config.with_general else ()
            kept = (*split.retain, *general)
            return Rows(split, kept, encoded(split.forget), encoded(kept))

        key = (config.benchmark.digest(), config.with_general, fraction, config.target, config.template, config.compat)
        rows: Rows = self.get("rows", key, make)
        return rows

    def baseline(self, path: str) -> dict[str, Any]:
        """Evaluations of target and retain model: `{"target": …, "retain": …}`."""
        content: dict[str, Any] = self.get("baseline", path, lambda: json.loads(Path(path).read_text()))
        return content

    def reference_table(self, source: ReferenceSource, rows: Sequence[Encoded], device: str) -> ReferenceTable:
        """Log-probs of the rows' answers under the target: from memory, the cache folder or one forward pass."""
        loaded, precision = self.model(source.target), source.workers.precision
        pad_id, budget = int(loaded.tokenizer.pad_token_id), source.evaluation.batch_tokens
        hidden = pad_id if source.compat == "open_unlearning" and hiding_matters(rows, pad_id) else None
        key = ReferenceKey(
            model=source.target_digest,
            rows=rows_digest(rows),
            template=source.template,
            tokenizer=source.target_digest,
            dtype=precision,
            hidden=hidden,
        )

        def compute() -> ReferenceTable:
            frozen = self.frozen_model(source.target, precision, device)
            return compute_reference(frozen, rows, pad_id, budget, device, hidden)

        cache = Path(source.reference_cache)
        table: ReferenceTable = self.get("reference", key.digest(), lambda: load_or_compute(cache, key, compute))
        return table
