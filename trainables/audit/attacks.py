"""The attacks by name, each on one scene: the model, the rows that it was made to forget, and what the attacker has.

An attack gives its outcome, or says why the data cannot support it. What becomes of the outcomes is not known here.
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
from trainables.audit.measure import Findings, Probe, Subject, everywhere, measure
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
    """`values`: by the last part of a metric's name. `samples`: prompt, answer, generated. `curve`: a point a look."""

    values: Mapping[str, float]
    samples: Sequence[Mapping[str, str]] = ()
    curve: Sequence[Mapping[str, float]] = ()


Result: TypeAlias = Outcome | str
"""An outcome, or why there is none."""


@dataclass
class Scene:
    """What attacks work on.

    `pristine`: the model as it lies on disk, on the CPU in float32. `general`: benign rows where none are retained.
    """

    job: AuditJob
    split: Split
    general: Sequence[Row]
    pristine: Any
    tokenizer: Any
    group: Group
    _whole: Any = field(default=None, repr=False)

    @property
    def config(self) -> AuditConfig:
        return self.job.audit

    @property
    def forget_set(self) -> EvalSet:
        return self.split.evaluation["forget"]

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The forget rows that are attacked."""
        return thin(self.forget_set.rows, self.config.rows)

    @property
    def whole(self) -> Any:
        """The model on the device in the workers' precision, unsharded; made on first use."""
        if self._whole is None:
            model = copy.deepcopy(self.pristine)
            dtype = DTYPES[self.job.workers.precision]
            self._whole = model.to(device=self.group.device, dtype=dtype).eval().requires_grad_(False)
        return self._whole

    def free(self) -> None:
        """Make room on the device for training."""
        self._whole = None
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
        """The attacked rows, asked as they are."""
        return prompts.plain(self.job.template, self.tokenizer, self.rows)

    @cached_property
    def unattacked(self) -> Findings:
        """What the model says to them."""
        return measure(self.subject(self.whole), self.probes)

    def outcome(self, probes: Sequence[Probe], findings: Findings) -> Outcome:
        return Outcome(findings.means(), self.samples(probes, findings.generated))

    def samples(self, probes: Sequence[Probe], generated: Sequence[str]) -> list[dict[str, str]]:
        """The texts of the first rows."""
        pairs = list(zip(probes, generated, strict=True))[:_SAMPLES]
        decode = self.tokenizer.decode
        return [
            {"prompt": str(decode(list(probe.prompt))), "answer": probe.answer, "generated": text}
            for probe, text in pairs
        ]


Run: TypeAlias = Callable[[Scene], Result]


def no_attack(scene: Scene) -> Result:
    """The rows as they are: what attacks are measured against."""
    return scene.outcome(scene.probes, scene.unattacked)


def paraphrase(scene: Scene) -> Result:
    probes = prompts.paraphrased(scene.job.template, scene.tokenizer, scene.rows)
    if not probes:
        return "the forget set has no paraphrased questions"
    return scene.outcome(probes, measure(scene.subject(scene.whole), probes))


def few_shot(scene: Scene) -> Result:
    examples = prompts.pick_examples(scene.split.retain, scene.config.few_shot, scene.config.seed)
    if not examples:
        return "no retained questions that could be examples"
    probes = prompts.few_shot(scene.job.template, scene.tokenizer, scene.rows, examples)
    return _asked(scene, probes)


def prefix(scene: Scene) -> Result:
    probes = prompts.prefixed(scene.job.template, scene.tokenizer, scene.rows, scene.config.prefix)
    return _asked(scene, probes)


def _asked(scene: Scene, probes: Sequence[Probe]) -> Result:
    """Prompts that are longer than the data's own must fit into the model."""
    if not probes:
        return "the forget rows are texts, not questions"
    subject = scene.subject(scene.whole)
    needed = max(len(probe.encoded.input_ids) for probe in probes)
    room = getattr(scene.pristine.config, "max_position_embeddings", None) or needed + subject.max_new_tokens
    if needed > room:
        return f"prompt and answer need {needed} tokens, the model has room for {room}"
    left = room - max(len(probe.prompt) for probe in probes)
    return scene.outcome(probes, measure(replace(subject, max_new_tokens=min(subject.max_new_tokens, left)), probes))


def best_of_n(scene: Scene) -> Result:
    """The best of several sampled answers by ROUGE-L recall: the attacker is granted a judge who knows the truth."""
    config, subject = scene.config, scene.subject(scene.whole)
    # A model without a distribution has nothing to be sampled.
    asked = [i for i, strength in enumerate(scene.unattacked.strength) if not math.isnan(strength)]
    probes = [scene.probes[i] for i in asked]

    def one_batch(numbers: Sequence[int]) -> list[str]:
        draws = [uniforms(config.seed, asked[i], config.best_of, subject.max_new_tokens) for i in numbers]
        found = sample(
            subject.model,
            [probes[i].prompt for i in numbers],
            np.stack(draws),
            config.temperature,
            subject.end,
            scene.group.all,
            scene.group.device,
        )
        return [_best(probes[i], map(subject.text, answers)) for i, answers in zip(numbers, found, strict=True)]

    best = everywhere(subject, [len(probe.prompt) for probe in probes], one_batch, copies=config.best_of)
    texts = [best[i] for i in range(len(probes))]
    leaks = dict(zip(asked, map(_leak, probes, texts), strict=True))
    mean = float(np.mean([leaks.get(i, math.nan) for i in range(len(scene.probes))]))
    return Outcome({"forget_rouge": mean}, scene.samples(probes, texts))


def _leak(probe: Probe, text: str) -> float:
    return rouge_l_recall(probe.answer, text)


def _best(probe: Probe, texts: Iterable[str]) -> str:
    """The first of those with the highest recall."""
    return max(texts, key=lambda text: _leak(probe, text))


def quantized(scene: Scene, scheme: Scheme) -> Result:
    """The rows as they are, asked of the model in 4 bits."""
    if not quantize(scene.whole, scene.pristine, scheme):
        return "the model has no linear layers that 4-bit loading would quantise"
    try:
        return scene.outcome(scene.probes, measure(scene.subject(scene.whole), scene.probes))
    finally:
        restore(scene.whole, scene.pristine)


def relearn_part(scene: Scene) -> Result:
    """Fine-tune on a part of the forget set; measured on the rows that are not in it."""
    forget, config = scene.split.forget, scene.config
    if len(forget) == 1:
        return "one forget row has no part"
    part = [forget[i] for i in part_of(len(forget), config.relearn_share, config.seed)]
    seen = {(row.question, row.answer) for row in part}
    others = [i for i, row in enumerate(scene.rows) if (row.question, row.answer) not in seen]
    if not others:
        return "every attacked row is in the relearned part"
    return _relearned(scene, part, others)


def relearn_benign(scene: Scene) -> Result:
    """Fine-tune on as many rows that are not to be forgotten: retained ones, general facts where none are retained."""
    config = scene.config
    benign = scene.split.retain or tuple(scene.general)
    if not benign:
        return "nothing is retained that could be relearned from"
    count = max(1, round(len(scene.split.forget) * config.relearn_share))
    order = np.random.Generator(np.random.PCG64(np.random.SeedSequence([config.seed, len(benign)])))
    part = [benign[i] for i in order.permutation(len(benign))[:count].tolist()]
    return _relearned(scene, part, range(len(scene.rows)))


def _relearned(scene: Scene, part: Sequence[Row], others: Sequence[int]) -> Result:
    """Fine-tuned on `part`, measured on the attacked rows of the numbers `others`, at the learning rate that is worst
    for them: an attacker would try several. The curve of each rate has all attacked rows too (`whole_…`).
    """
    before = _point(scene.unattacked, others)
    scene.free()
    encoded = [encode_row(scene.job.template, scene.tokenizer, row) for row in part]
    rates = scene.config.relearn_learning_rates or _rates(scene.job.recipe.learning_rate)
    tries = [_relearned_at(scene, rate, encoded, others, before) for rate in rates]
    worst = max(tries, key=lambda outcome: _order(outcome.values["forget_rouge"]))
    return replace(worst, curve=[point for outcome in tries for point in outcome.curve])


def _rates(recipe: float) -> tuple[float, float]:
    """The rate that a base learned the data at can be too much for a model that knows them: a third is tried too."""
    return recipe, recipe / 3


def _order(value: float) -> float:
    """NaN (a model that the attack destroyed) is the weakest."""
    return -math.inf if math.isnan(value) else value


def _relearned_at(
    scene: Scene, rate: float, part: Sequence[Encoded], others: Sequence[int], before: Mapping[str, float]
) -> Outcome:
    config, job, probes = scene.config, scene.job, scene.probes
    curve: list[dict[str, float]] = [{"learning_rate": rate, "step": 0, **before}]
    texts: list[str] = []

    def look(model: Any, step: int, loss: float) -> None:
        findings = measure(scene.subject(model), probes)
        curve.append({"learning_rate": rate, "step": step, "loss": loss, **_point(findings, others)})
        texts[:] = [findings.generated[i] for i in others]

    how = Relearning(
        steps=config.relearn_steps,
        batch_size=config.relearn_batch_size,
        learning_rate=rate,
        checks=config.relearn_checks,
        seed=config.seed,
        lora=job.lora,
    )
    relearn(scene.pristine, part, how, job.recipe, job.workers, scene.group, look)
    values = {name: curve[-1][name] for name in ("forget_rouge", "forget_probability", "extraction_strength")}
    return Outcome(values, scene.samples([probes[i] for i in others], texts), curve)


def _point(findings: Findings, others: Sequence[int]) -> dict[str, float]:
    return {**findings.means(others), **{f"whole_{name}": value for name, value in findings.means().items()}}


RUN: Mapping[Attack, Run] = {
    "paraphrase": paraphrase,
    "few_shot": few_shot,
    "prefix": prefix,
    "best_of_n": best_of_n,
    "nf4": lambda scene: quantized(scene, "nf4"),
    "rtn4": lambda scene: quantized(scene, "rtn4"),
    "relearn": relearn_part,
    "relearn_benign": relearn_benign,
}
