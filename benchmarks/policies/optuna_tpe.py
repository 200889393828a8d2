"""Optuna's multi-objective TPE (Ozaki et al., 2022), without pruning, as its documentation recommends it.

`multivariate` with `group` is the documented way for conditional spaces; without, TPE draws one parameter at a time.
`constant_liar` keeps workers that run side by side apart.
"""

from __future__ import annotations

import warnings

from benchmarks.policies.optuna_study import OptunaSuggester
from benchmarks.policies.outside import Patient, Problem


def parts(problem: Problem, startup: int = 10, joint: bool = False) -> tuple[OptunaSuggester, Patient]:
    """`startup`: random trials of each study, 10 in Optuna. `joint`: one density for all parameters of a method."""
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joint densities are experimental
        sampler = TPESampler(
            seed=problem.seed, n_startup_trials=startup, constant_liar=True, multivariate=joint, group=joint
        )
    return OptunaSuggester(problem, sampler, flat=False), Patient()
