"""open-unlearning's names of our sets and metrics."""

from __future__ import annotations

from trainables.evaluation.metrics.aggregates import MIA_ATTACKS

PREFIXES = {"forget": "forget", "retain": "retain", "real_authors": "ra", "world_facts": "wf"}
"""By set; other sets keep their names."""

SETS = {prefix: name for name, prefix in PREFIXES.items()}

ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "gradnorm", "reference")
MEMORISATION = ("extraction_strength", "exact_memorization")
AGGREGATES = ("model_utility", "forget_quality", "privleak")
TOFU_SETS = tuple(PREFIXES)
UTILITY_PARTS = tuple(
    f"{name}_{part}" for name in TOFU_SETS if name != "forget" for part in ("probability", "rouge", "truth_ratio")
)
"""The nine parts of TOFU's model utility."""

TOFU_METRICS = (
    "model_utility",
    *(f"{name}_{part}" for name in TOFU_SETS for part in ("probability", "rouge", "truth_ratio")),
    *MEMORISATION,
    *(f"mia_{attack}" for attack in ATTACKS),
)
"""The metrics of a complete TOFU log of one model."""

COMPARISON = (
    "forget_quality",
    "log10_forget_quality",
    "ks_distance",
    "loss_quality",
    "log10_loss_quality",
    "loss_ks_distance",
    "privleak",
    "privleak_distance",
    *(f"s_mia_{attack}" for attack in MIA_ATTACKS),
    "privacy_score",
    "unlearning_score",
    "mia_reference",
)
"""The metrics that compare two logs."""


def prefix_of(name: str) -> str:
    """`ra` for `real_authors`."""
    return PREFIXES.get(name, name)


def set_of(prefix: str) -> str:
    """`real_authors` for `ra`."""
    return SETS.get(prefix.lower(), prefix)


def keys_of(metric: str, multiple_choice: bool = False, muse: bool = False) -> tuple[str, ...]:
    """The keys under which open-unlearning stores the aggregate of our metric, the likeliest first."""
    for part, kinds in _KINDS.items():
        if metric.endswith(f"_{part}"):
            name = metric.removesuffix(f"_{part}")
            if part == "rouge" and muse:
                return _MUSE_ROUGE.get(name, ())
            if part == "probability" and multiple_choice:
                return (f"{prefix_of(name)}_Q_A_Prob_normalised",)
            return tuple(f"{prefix_of(name)}_{kind}" for kind in kinds)
    return (metric,)


_KINDS = {"probability": ("Q_A_Prob",), "rouge": ("Q_A_ROUGE",), "truth_ratio": ("Truth_Ratio", "truth_ratio")}
_MUSE_ROUGE = {
    "forget": ("forget_verbmem_ROUGE",),
    "forget_knowledge": ("forget_knowmem_ROUGE",),
    "retain": ("retain_knowmem_ROUGE",),
}
