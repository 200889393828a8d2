"""Every metric from the rows of one evaluation, and those that compare it with the retain model's. Loads no torch.

Serves live evaluations, baselines and published logs alike. A metric that the rows cannot support is absent; a model
without a distribution has NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from trainables.evaluation.metrics import aggregates, tofu
from trainables.evaluation.metrics.degeneration import gibberish, repetition
from trainables.evaluation.metrics.details import Details, SetDetails
from trainables.evaluation.metrics.membership import auc, privleak
from trainables.evaluation.metrics.record import Evaluation

UTILITY_SETS = ("retain", "real_authors", "world_facts")
"""TOFU's: with all three, model utility is the harmonic mean of its nine parts."""

_PARTS = ("probability", "rouge", "truth_ratio")


def summarise(details: Details, guard: float = 0.0) -> dict[str, float]:
    """All metrics that one model's rows support, by the names of `catalog`. `guard`: as in `tofu`.

    `model_utility` is TOFU's if all nine parts are present, else the harmonic mean of the probability, ROUGE-L and
    truth ratio score that the utility sets have.
    """
    found = {key: value for name, of_set in details.items() for key, value in _set_metrics(name, of_set, guard)}
    parts = _utility_parts(details, found)
    utility = {"model_utility": tofu.harmonic_mean(parts)} if parts else {}
    style = _answer_style(details)
    degeneration = {f"forget_{key}": style[key] for key in ("repetition", "gibberish") if key in style}
    found = {**utility, **found, **degeneration, **{f"mia_{attack}": value for attack, value in _aucs(details)}}
    forget = details.get("forget")
    if forget is not None and forget.paraphrase_loss is not None and forget.perturbed_losses is not None:
        found |= aggregates.of_forget_rows(found, forget.paraphrase_loss, forget.perturbed_losses, guard)
    return found | aggregates.of_utility(found)


def retain_reference(details: Details, guard: float = 0.0) -> dict[str, Any]:
    """What `compare` needs of the retain model, as JSON: `truth_ratios` and `losses` of the forget rows, `mia` (AUC by
    attack), `member_losses`, `holdout_losses`, and `writing` (repetition, gibberish and length of its answers to the
    forget questions). What its rows do not support is absent.
    """
    found: dict[str, Any] = {}
    forget = details.get("forget")
    if forget is not None and (ratios := truth_ratios(forget, guard)) is not None:
        found["truth_ratios"] = ratios.tolist()
    if forget is not None and forget.loss is not None:
        found["losses"] = [float(loss) for loss in forget.loss]
    if style := _answer_style(details):
        found["writing"] = style
    members, holdout = membership_sets(details)
    if members is not None and holdout is not None:
        found["mia"] = dict(_aucs(details))
        if members.loss is not None and holdout.loss is not None:
            found["member_losses"] = [float(loss) for loss in members.loss]
            found["holdout_losses"] = [float(loss) for loss in holdout.loss]
    return found


def compare(
    evaluation: Evaluation | Details,
    reference: Mapping[str, Any],
    target_utility: float | None = None,
    guard: float = 0.0,
) -> dict[str, float]:
    """All metrics, including those that need the retain model's `reference` or the target model's utility.

    `forget_quality`, `log10_forget_quality`, `ks_distance`: Kolmogorov-Smirnov test between the forget rows' truth
    ratios; `loss_quality`, `log10_loss_quality`, `loss_ks_distance`: between their losses; `mia_reference`: AUC of the
    loss minus the retain model's; `privleak` and `privleak_distance`; `loss_shift`, `stammer_excess`,
    `gibberish_excess` and `length_excess`, which verdicts read; `s_mia_<attack>`, `privacy_score` and
    `unlearning_score` of `aggregates`; `utility_ratio`. Raises ValueError if the numbers of rows differ.
    """
    details = evaluation.details if isinstance(evaluation, Evaluation) else evaluation
    found = dict(evaluation.metrics) if isinstance(evaluation, Evaluation) else summarise(details, guard)
    forget = details.get("forget")
    if forget is not None:
        ratios = truth_ratios(forget, guard)
        found |= _ks_metrics("forget_quality", "ks_distance", ratios, reference, "truth_ratios")
        found |= _ks_metrics("loss_quality", "loss_ks_distance", forget.loss, reference, "losses")
        if forget.loss is not None and reference.get("losses") is not None:
            found["loss_shift"] = 1.0 - 2.0 * auc(forget.loss, reference["losses"])
    found |= _style_excess(details, reference)
    found |= _membership_metrics(details, found, reference)
    found |= aggregates.against_retain_model(found, reference.get("mia", {}))
    if target_utility is not None and "model_utility" in found:
        found["utility_ratio"] = found["model_utility"] / target_utility if target_utility > 0 else math.nan
    return found


def truth_ratios(of_set: SetDetails, guard: float = 0.0) -> tofu.Floats | None:
    """(rows,) truth ratios, with the answer in place of a missing paraphrase, as in TOFU's facts; None without losses
    of wrong answers.
    """
    truth = of_set.loss if of_set.paraphrase_loss is None else of_set.paraphrase_loss
    if truth is None or of_set.perturbed_losses is None:
        return None
    return tofu.truth_ratio(truth, of_set.perturbed_losses, guard)


def probabilities(of_set: SetDetails, guard: float = 0.0) -> tofu.Floats | None:
    """(rows,) p(answer)^(1 / tokens), normalised over the choices of a multiple-choice set; None without losses."""
    if of_set.loss is None:
        return None
    if of_set.multiple_choice and of_set.perturbed_losses is not None:
        return tofu.choice_probability(of_set.loss, of_set.perturbed_losses, guard)
    return tofu.probability(-np.asarray(of_set.loss, dtype=np.float64), 1)


def _set_metrics(name: str, of_set: SetDetails, guard: float) -> Iterator[tuple[str, float]]:
    """`<set>_probability`, `<set>_rouge`, `<set>_truth_ratio`, and memorisation, unprefixed for the forget set."""
    if (chances := probabilities(of_set, guard)) is not None:
        yield f"{name}_probability", float(chances.mean())
    headline = of_set.rouge_l_f1 if of_set.rouge == "f1" else of_set.rouge_l_recall
    if headline is not None:
        yield f"{name}_rouge", _mean(headline)
    if (ratios := truth_ratios(of_set, guard)) is not None:
        forgotten = of_set.role == "forget"
        score = tofu.forget_truth_ratio_score(ratios, guard) if forgotten else tofu.truth_ratio_score(ratios)
        yield f"{name}_truth_ratio", score
    prefix = "" if name == "forget" else f"{name}_"
    if of_set.extraction_strength is not None:
        yield f"{prefix}extraction_strength", _mean(of_set.extraction_strength)
    if of_set.exact_memorization is not None:
        yield f"{prefix}exact_memorization", _mean(of_set.exact_memorization)


def _mean(values: Any) -> float:
    return float(np.asarray(values, dtype=np.float64).mean())


def _utility_parts(details: Details, found: Mapping[str, float]) -> list[float]:
    nine = [f"{name}_{part}" for name in UTILITY_SETS for part in _PARTS]
    if all(key in found for key in nine):
        return [found[key] for key in nine]
    names = [name for name, of_set in details.items() if of_set.role == "utility"]
    return [found[key] for name in names for part in _PARTS if (key := f"{name}_{part}") in found]


def _answer_style(details: Details) -> dict[str, float]:
    """Mean repetition, stammer, gibberish and word count of the answers to forget questions; NaN if a loss is NaN."""
    forget = details.get("forget")
    if forget is None or not forget.generated:
        return {}
    nan_or_zero = np.zeros(len(forget.generated)) if forget.loss is None else np.asarray(forget.loss) * 0.0
    scores: dict[str, Callable[[str], float]] = {
        "repetition": repetition,
        "stammer": lambda text: repetition(text, run=2),
        "gibberish": gibberish,
        "words": lambda text: float(len(text.split())),
    }
    return {key: _mean([score(text) for text in forget.generated] + nan_or_zero) for key, score in scores.items()}


def _style_excess(details: Details, reference: Mapping[str, Any]) -> dict[str, float]:
    """How the answers differ from the retain model's. A mean length below one word counts as one word."""
    ours, theirs = _answer_style(details), reference.get("writing")
    if not ours or not theirs:
        return {}
    length = abs(math.log(max(ours["words"], 1.0) / max(theirs["words"], 1.0)))
    excess = {f"{key}_excess": ours[key] - theirs[key] for key in ("stammer", "gibberish")}
    return {**excess, "length_excess": math.nan if math.isnan(ours["words"]) else length}


def membership_sets(details: Details) -> tuple[SetDetails | None, SetDetails | None]:
    """Members (the set with that role, else the forget set) and holdout."""
    roles = {of_set.role: of_set for of_set in reversed([*details.values()])}
    return roles.get("members", details.get("forget")), roles.get("holdout")


def _aucs(details: Details) -> Iterator[tuple[str, float]]:
    members, holdout = membership_sets(details)
    if members is not None and holdout is not None:
        for attack, scores in members.attacks.items():
            if attack in holdout.attacks:
                yield attack, auc(scores, holdout.attacks[attack])


def _membership_metrics(details: Details, found: Mapping[str, float], reference: Mapping[str, Any]) -> dict[str, float]:
    """PrivLeak and the attack by the loss minus the retain model's."""
    leaks = {}
    if "mia_min_k" in found and "min_k" in reference.get("mia", {}):
        leak = privleak(found["mia_min_k"], reference["mia"]["min_k"])
        leaks = {"privleak": leak, "privleak_distance": abs(leak)}
    members, holdout = membership_sets(details)
    known = [reference.get(key) for key in ("member_losses", "holdout_losses")]
    if members is None or holdout is None or None in (members.loss, holdout.loss, *known):
        return leaks
    inside, outside = _difference(members.loss, known[0], "member"), _difference(holdout.loss, known[1], "holdout")
    return {**leaks, "mia_reference": auc(inside, outside)}


def _difference(ours: Any, theirs: Any, name: str) -> tofu.Floats:
    _check_rows(ours, theirs, f"{name} losses")
    return np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)


def _ks_metrics(quality: str, distance: str, ours: Any, reference: Mapping[str, Any], key: str) -> dict[str, float]:
    theirs = reference.get(key)
    if ours is None or theirs is None:
        return {}
    _check_rows(ours, theirs, key.replace("_", " "))
    p = tofu.forget_quality(ours, theirs)
    return {
        quality: p,
        f"log10_{quality}": tofu.log10_forget_quality(p),
        distance: tofu.ks_distance(ours, theirs),
    }


def _check_rows(ours: Any, theirs: Any, values: str) -> None:
    if len(ours) != len(theirs):
        raise ValueError(f"{len(theirs)} {values} of the retain model for {len(ours)} rows: evaluate both on one split")
