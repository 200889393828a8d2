"""The attacks by name. Each gets one context: the model, its forget rows, and what the attacker has.

An attack returns its outcome, or the reason why the data cannot support it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch

from trainables.audit import prompts
from trainables.audit.config import Attack, AuditConfig
from trainables.audit.job import AuditJob
from trainables.audit.measure import Findings, Probe, Subject, measure, on_all_ranks
from trainables.audit.quantize import Scheme, quantize, restore
from trainables.audit.relearn import Relearning, part_of, relearn
from trainables.batching.rows import Encoded
from trainables.data.rows import EvalSet, Row, Split
from trainables.data.splitting import thin
from trainables.data.tokenization import encode_row, end_id
from trainables.evaluation.decoding.sampling import sample, uniforms
from trainables.evaluation.metrics.rouge import rouge_l_recall
from trainables.model.copies import DTYPES
from trainables.runtime.ranks import Group

_SAMPLES = 4  # rows whose texts are kept


@dataclass(frozen=True)
class Outcome:
    """`values`: by the end of a metric's name. `samples`: prompt, answer, generated. `curve`: a point per check."""

    values: Mapping[str, float]
    samples: Sequence[Mapping[str, str]] = ()
    curve: Sequence[Mapping[str, float]] = ()


Result: TypeAlias = Outcome | str
"""An outcome, or the reason why the attack cannot run."""


@dataclass
class AttackContext:
    """The model under attack and its data.

    `pristine`: the model as stored on disk, on the CPU in float32. `general`: benign rows, used if none are retained.
    `other_bytes`: device bytes that are taken while it is attacked.
    """

    job: AuditJob
    split: Split
    general: Sequence[Row]
    pristine: Any
    tokenizer: Any
    group: Group
    other_bytes: int = 0
    _device_model: Any = field(default=None, repr=False)

    @property
    def config(self) -> AuditConfig:
        return self.job.audit

    @property
    def forget_set(self) -> EvalSet:
        return self.split.evaluation["forget"]

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The attacked forget rows."""
        return thin(self.forget_set.rows, self.config.rows)

    @property
    def device_model(self) -> Any:
        """The model on the device in the workers' precision, unsharded; created on first use."""
        if self._device_model is None:
            model = copy.deepcopy(self.pristine)
            dtype = DTYPES[self.job.workers.precision]
            self._device_model = model.to(device=self.group.device, dtype=dtype).eval().requires_grad_(False)
        return self._device_model

    def free(self) -> None:
        """Free the model on the device, to make room for training."""
        self._device_model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def subject(self, model: Any) -> Subject:
        evaluation = self.job.evaluation
        return Subject(
            model=model,
            tokenizer=self.tokenizer,
            end=end_id(self.job.template, self.tokenizer),
            max_new_tokens=self.forget_set.max_new_tokens or evaluation.max_new_tokens,
            batch_tokens=evaluation.batch_tokens,
            group=self.group,
            stop=self.forget_set.stop,
        )

    @cached_property
    def probes(self) -> list[Probe]:
        """The attacked rows with their own prompts."""
        return prompts.plain(self.job.template, self.tokenizer, self.rows)

    @cached_property
    def unattacked(self) -> Findings:
        """The model's answers to the attacked rows without an attack."""
        return measure(self.subject(self.device_model), self.probes)

    def outcome(self, probes: Sequence[Probe], findings: Findings) -> Outcome:
        return Outcome(findings.means(), self.samples(probes, findings.generated))

    def samples(self, probes: Sequence[Probe], generated: Sequence[str]) -> list[dict[str, str]]:
        """The texts of the first rows, as samples."""
        pairs = list(zip(probes, generated, strict=True))[:_SAMPLES]
        decode = self.tokenizer.decode
        return [
            {"prompt": str(decode(list(probe.prompt))), "answer": probe.answer, "generated": text}
            for probe, text in pairs
        ]


Run: TypeAlias = Callable[[AttackContext], Result]


def no_attack(context: AttackContext) -> Result:
    """The rows without an attack: the baseline of all attacks."""
    return context.outcome(context.probes, context.unattacked)


def paraphrase(context: AttackContext) -> Result:
    probes = prompts.paraphrased(context.job.template, context.tokenizer, context.rows)
    if not probes:
        return "the forget set has no paraphrased questions"
    return context.outcome(probes, measure(context.subject(context.device_model), probes))


def few_shot(context: AttackContext) -> Result:
    examples = prompts.pick_examples(context.split.retain, context.config.few_shot, context.config.seed)
    if not examples:
        return "no retained questions that could be examples"
    probes = prompts.few_shot(context.job.template, context.tokenizer, context.rows, examples)
    return _prompted(context, probes)


def prefix(context: AttackContext) -> Result:
    probes = prompts.prefixed(context.job.template, context.tokenizer, context.rows, context.config.prefix)
    return _prompted(context, probes)


def _prompted(context: AttackContext, probes: Sequence[Probe]) -> Result:
    """The outcome of probes with longer prompts than the data's own, if they fit into the model."""
    if not probes:
        return "the forget rows are texts, not questions"
    subject = context.subject(context.device_model)
    needed = max(len(probe.encoded.input_ids) for probe in probes)
    room = getattr(context.pristine.config, "max_position_embeddings", None) or needed + subject.max_new_tokens
    if needed > room:
        return f"prompt and answer need {needed} tokens, the model has room for {room}"
    left = room - max(len(probe.prompt) for probe in probes)
    return context.outcome(probes, measure(replace(subject, max_new_tokens=min(subject.max_new_tokens, left)), probes))


def best_of_n(context: AttackContext) -> Result:
    """The best of several sampled answers by ROUGE-L recall: the attacker is assumed to have a perfect judge."""
    config, subject = context.config, context.subject(context.device_model)
    # Nothing can be sampled where the model's probabilities are NaN.
    usable = [i for i, strength in enumerate(context.unattacked.strength) if not math.isnan(strength)]
    probes = [context.probes[i] for i in usable]

    def one_batch(numbers: Sequence[int]) -> list[str]:
        draws = [uniforms(config.seed, usable[i], config.best_of, subject.max_new_tokens) for i in numbers]
        found = sample(
            subject.model,
            [probes[i].prompt for i in numbers],
            np.stack(draws),
            config.temperature,
            subject.end,
            context.group.all,
            context.group.device,
        )
        return [_best(probes[i], map(subject.text, answers)) for i, answers in zip(numbers, found, strict=True)]

    best = on_all_ranks(subject, [len(probe.prompt) for probe in probes], one_batch, copies=config.best_of)
    texts = [best[i] for i in range(len(probes))]
    leaks = {i: rouge_l_recall(probe.answer, text) for i, probe, text in zip(usable, probes, texts, strict=True)}
    mean = float(np.mean([leaks.get(i, math.nan) for i in range(len(context.probes))]))
    return Outcome({"forget_rouge": mean}, context.samples(probes, texts))


def _best(probe: Probe, texts: Iterable[str]) -> str:
    """The text with the highest recall, the first on ties."""
    return max(texts, key=lambda text: rouge_l_recall(probe.answer, text))


def quantized(context: AttackContext, scheme: Scheme) -> Result:
    """The rows without changes, on the model in 4 bits."""
    if not quantize(context.device_model, context.pristine, scheme):
        return "the model has no linear layers that 4-bit loading would quantise"
    try:
        return context.outcome(context.probes, measure(context.subject(context.device_model), context.probes))
    finally:
        restore(context.device_model, context.pristine)


def relearn_part(context: AttackContext) -> Result:
    """Fine-tune on a part of the forget set, and measure the attacked rows outside of it."""
    forget, config = context.split.forget, context.config
    if len(forget) == 1:
        return "one forget row cannot be divided"
    part = [forget[i] for i in part_of(len(forget), config.relearn_share, config.seed)]
    seen = {(row.question, row.answer) for row in part}
    others = [i for i, row in enumerate(context.rows) if (row.question, row.answer) not in seen]
    if not others:
        return "every attacked row is in the relearned part"
    return _relearned(context, part, others)


def relearn_benign(context: AttackContext) -> Result:
    """Fine-tune on as many benign rows: retained ones, or general facts if none are retained."""
    config = context.config
    benign = context.split.retain or tuple(context.general)
    if not benign:
        return "no retained rows or general facts to fine-tune on"
    count = max(1, round(len(context.split.forget) * config.relearn_share))
    return _relearned(context, prompts.drawn(benign, count, config.seed), range(len(context.rows)))


def _relearned(context: AttackContext, part: Sequence[Row], others: Sequence[int]) -> Result:
    """Fine-tune on `part` and measure the attacked rows numbered `others`, at the learning rate that leaks most: an
    attacker would try several. The curve of each rate also covers all attacked rows (`whole_…`).
    """
    before = _point(context.unattacked, others)
    context.free()
    encoded = [encode_row(context.job.template, context.tokenizer, row) for row in part]
    recipe = context.job.recipe.learning_rate
    # A third too: the rate for a base can be too high for a model that knows the data.
    rates = context.config.relearn_learning_rates or (recipe, recipe / 3)
    tries = [_relearned_at(context, rate, encoded, others, before) for rate in rates]
    # NaN, of a model that the attack destroyed, ranks lowest.
    worst = max(tries, key=lambda outcome: np.nan_to_num(outcome.values["forget_rouge"], nan=-math.inf))
    return replace(worst, curve=[point for outcome in tries for point in outcome.curve])


def _relearned_at(
    context: AttackContext, rate: float, part: Sequence[Encoded], others: Sequence[int], before: Mapping[str, float]
) -> Outcome:
    config, job, probes = context.config, context.job, context.probes
    curve: list[dict[str, float]] = [{"learning_rate": rate, "step": 0, **before}]
    texts: list[str] = []

    def look(model: Any, step: int, loss: float) -> None:
        findings = measure(context.subject(model), probes)
        curve.append({"learning_rate": rate, "step": step, "loss": loss, **_point(findings, others)})
        texts[:] = [findings.generated[i] for i in others]

    how = Relearning(
        steps=config.relearn_steps,
        batch_size=config.relearn_batch_size,
        learning_rate=rate,
        checks=config.relearn_checks,
        seed=config.seed,
        lora=job.lora,
        other_bytes=context.other_bytes,
    )
    relearn(context.pristine, part, how, job.recipe, job.workers, context.group, look)
    values = {name: curve[-1][name] for name in ("forget_rouge", "forget_probability", "extraction_strength")}
    return Outcome(values, context.samples([probes[i] for i in others], texts), curve)


def _point(findings: Findings, others: Sequence[int]) -> dict[str, float]:
    return {**findings.means(others), **{f"whole_{name}": value for name, value in findings.means().items()}}


RUN: Mapping[Attack, Run] = {
    "paraphrase": paraphrase,
    "few_shot": few_shot,
    "prefix": prefix,
    "best_of_n": best_of_n,
    "nf4": lambda context: quantized(context, "nf4"),
    "rtn4": lambda context: quantized(context, "rtn4"),
    "relearn": relearn_part,
    "relearn_benign": relearn_benign,
}
