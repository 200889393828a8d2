"""Collects the inputs of a trial's steps: tokenised rows, alternatives, reference tables, a frozen model.

Everything comes from the worker's cache, so a method's second trial costs nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from trainables.batching.goldfish import goldfish
from trainables.batching.rows import Encoded
from trainables.config import TrialConfig
from trainables.data.benchmarks.registry import Row
from trainables.data.refusals import load_refusals
from trainables.inputs.alternatives import refusal_choices
from trainables.inputs.cache import Rows, WorkerCache, encode_rows
from trainables.inputs.generated_answers import generated_answers
from trainables.inputs.micro_batches import StepData
from trainables.methods.base import Method
from trainables.methods.retain_terms import RETAIN_TERMS

Alternatives = tuple[tuple[Encoded, ...], ...]


def step_data(config: TrialConfig, method: Method, cache: WorkerCache, device: str) -> StepData:
    """Only what the method declares that it needs."""
    rows, hyper = cache.rows(config), config.hyperparameters
    forget, retain = goldfish(rows.forget, hyper.goldfish_forget), goldfish(rows.retain, hyper.goldfish_retain)
    alternatives = _forget_alternatives(config, method, cache, rows, device)
    table = method.needs_reference_table
    flat = tuple(chain.from_iterable(alternatives))
    tokenizer = cache.model(config.target).tokenizer
    return StepData(
        forget=forget,
        retain=retain,
        pad_id=int(tokenizer.pad_token_id),
        end_id=tokenizer.eos_token_id,
        seed=hyper.seed,
        alternatives=alternatives,
        retain_alternatives=_retain_alternatives(config, method, cache, rows),
        reference=cache.reference_table(config, forget, device) if table else None,
        alternative_reference=cache.reference_table(config, flat, device) if table and flat else None,
        frozen=(
            cache.frozen_model(config.target, config.workers.precision, device)
            if method.needs_reference_model
            else None
        ),
    )


def _forget_alternatives(
    config: TrialConfig, method: Method, cache: WorkerCache, rows: Rows, device: str
) -> Alternatives:
    if method.alternative == "none":
        return ()
    if method.alternative == "refusal":
        return _refusals(config, cache, rows.split.forget, "forget")
    key = (_key(config), config.target_digest)

    def make() -> Alternatives:
        answers = generated_answers(config, cache, rows.split.forget, device)
        return _encoded(config, cache, rows.split.forget, answers)

    found: Alternatives = cache.get("generated", key, make)
    return found


def _retain_alternatives(config: TrialConfig, method: Method, cache: WorkerCache, rows: Rows) -> Alternatives:
    term = RETAIN_TERMS.get(method.retain)
    if term is None or not term.needs_alternative:
        return ()
    return _refusals(config, cache, rows.retain_rows, "retain")


def _refusals(config: TrialConfig, cache: WorkerCache, rows: Sequence[Row], kind: str) -> Alternatives:
    def make() -> Alternatives:
        refusals = load_refusals(config.refusals)
        choices = refusal_choices(len(rows), len(refusals))
        answers = [[refusals[i] for i in of_row] for of_row in choices]
        return _encoded(config, cache, rows, answers)

    found: Alternatives = cache.get("refusals", (kind, config.refusals, _key(config)), make)
    return found


def _encoded(
    config: TrialConfig, cache: WorkerCache, rows: Sequence[Row], answers: Sequence[Sequence[str]]
) -> Alternatives:
    tokenizer = cache.model(config.target).tokenizer
    return tuple(
        encode_rows(config.template, tokenizer, [replace(row, answer=answer) for answer in of_row], config.compat)
        for row, of_row in zip(rows, answers, strict=True)
    )


def _key(config: TrialConfig) -> tuple[object, ...]:
    fraction = config.hyperparameters.forget_fraction
    return config.benchmark.digest(), config.with_general, fraction, config.target, config.template, config.compat
