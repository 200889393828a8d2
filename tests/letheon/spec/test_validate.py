"""Invalid sweep files are refused with all of their errors, each with its line and a fix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import LONGEST_PROBLEM
from tests.letheon.spec.sweep_file import GOOD, errors_of, write

Expected = list[tuple[int, tuple[str, ...]]]


def replaced(key: str, line: str) -> str:
    """GOOD with the line of a key (at any depth) replaced; the line is appended if there is no such key."""
    lines = GOOD.splitlines()
    for i, old in enumerate(lines):
        if old.strip().startswith(f"{key}:"):
            indent = old[: len(old) - len(old.lstrip())]
            lines[i] = indent + line
            return "\n".join(lines) + "\n"
    return GOOD + line + "\n"


# Each: the text of a file, and (line, fragments) of every expected error.
BAD: dict[str, tuple[str, Expected]] = {
    "unknown key": (replaced("serach", "serach: {}"), [(10, ("serach", "unknown key", "did you mean 'search'?"))]),
    "unknown nested key": (
        replaced("scheduler", "scheduler: {max_epochs: 4, grace_epoch: 1, collapse: {flor: 0.5}}"),
        [(8, ("scheduler.grace_epoch", "'grace_epochs'")), (8, ("scheduler.collapse.flor", "'floor'"))],
    ),
    "misspelt method": (
        replaced("method", "method: {choice: [ga, npo_tr]}"),
        [(4, ("search.method.choice[1] = 'npo_tr'", "did you mean 'npo_rt'?"))],
    ),
    "misspelt hyper-parameter": (
        replaced("beta", "bta: 0.1"),
        [(7, ("search.bta = 0.1", "did you mean 'beta'?"))],
    ),
    "negative beta": (replaced("beta", "beta: -0.1"), [(7, ("search.beta = -0.1", "must be > 0", "mean 0.1?"))]),
    "log range from zero": (
        replaced("learning_rate", "learning_rate: {loguniform: [0, 1.0e-3]}"),
        [(6, ("search.learning_rate.loguniform[0] = 0", "must be > 0 in a log range"))],
    ),
    "min above max": (
        replaced("beta", "beta: {uniform: [0.5, 0.05]}"),
        [(7, ("search.beta.uniform", "0.5 must be < the upper end 0.05", "write [0.05, 0.5]"))],
    ),
    "half a range": (replaced("beta", "beta: {uniform: [0.5]}"), [(7, ("search.beta.uniform", "too few values"))]),
    "empty choice": (
        replaced("method", "method: {choice: []}"),
        [(4, ("search.method.choice = []", "empty list", "at least one"))],
    ),
    "value listed twice": (
        replaced("forget_fraction", "forget_fraction: {choice: [0.1, 0.10]}"),
        [(5, ("search.forget_fraction.choice[1]", "listed twice"))],
    ),
    "two kinds of domain": (
        replaced("beta", "beta: {uniform: [0.1, 0.2], choice: [0.1]}"),
        [(7, ("search.beta", "has several kinds at once: uniform, choice", "exactly one of"))],
    ),
    "unknown kind of domain": (
        replaced("beta", "beta: {normal: [0, 1]}"),
        [(7, ("search.beta", "is not a kind of domain"))],
    ),
    "eta of one": (
        replaced("scheduler", "scheduler: {max_epochs: 4, reduction_factor: 1}"),
        [(8, ("scheduler.reduction_factor = 1", "must be > 1"))],
    ),
    "fraction that does not split the people": (
        replaced("forget_fraction", "forget_fraction: {choice: [0.1, 0.33]}"),
        [(5, ("search.forget_fraction.choice[1] = 0.33", "must be a whole number"))],
    ),
    "fraction that TOFU is not split at": (
        replaced("benchmark", "benchmark: {name: tofu}"),
        [(5, ("search.forget_fraction.choice[1] = 0.25", "TOFU is split at"))],
    ),
    "fractions outside (0, 1)": (
        replaced("forget_fraction", "forget_fraction: {choice: [0, 1.5]}"),
        [(5, ("choice[0] = 0", "must be > 0")), (5, ("choice[1] = 1.5", "must be <= 1"))],
    ),
    "range of fractions": (
        replaced("forget_fraction", "forget_fraction: {uniform: [0.1, 0.3]}"),
        [(5, ("search.forget_fraction.uniform", "cannot be a range", "choice"))],
    ),
    "duplicate key": (
        GOOD + "name: other\n",
        [(10, ("name: this key is written twice", "line 1"))],
    ),
    "duplicate nested key": (
        replaced("beta", "beta: 0.1\n  beta: 0.2"),
        [(8, ("search.beta: this key is written twice", "line 7"))],
    ),
    "not finite": (
        replaced("beta", "beta: {choice: [.nan, .inf]}"),
        [(7, ("choice[0] = '.nan': is not a number",)), (7, ("choice[1] = '.inf': is not a number",))],
    ),
    "octal": (replaced("budget", "budget: {trials: 010}"), [(9, ("'010': is not a whole number", "leading zeros"))]),
    "python tag": (
        replaced("name", "name: !!python/object/apply:os.system [id]"),
        [(1, ("YAML tag", "not allowed"))],
    ),
    "anchor and alias": (
        replaced("beta", "beta: &x 0.1\n  retain_weight: *x"),
        [(7, ("anchor &x is not allowed",)), (8, ("alias *x is not allowed",))],
    ),
    "not a mapping": ("- a\n- b\n", [(1, ("is not a mapping of keys",))]),
    "empty file": ("", [(0, ("is not a mapping of keys",))]),
    "broken syntax": (
        "name: [\nsearch: {\n",
        [(3, ("not valid YAML", "close the bracket or the quote that is still open"))],
    ),
    "two documents": (GOOD + "---\nname: other\n", [(10, ("found another document", "one file holds one sweep"))]),
    "deep nesting": ("x: " + "[" * 5000, [(1, ("nested deeper",))]),
    "nothing but a name": (
        "name: x\n",
        [(1, ("search: is missing",)), (1, ("budget.trials: is missing", "`trials: 16`"))],
    ),
    "long names of refused constructs": (
        f"a: !{'t' * 5000} x\nb: &{'a' * 5000} x\nc: *{'a' * 5000}\n",
        [(1, ("YAML tag '!ttt", "…")), (2, ("anchor &aaa", "…")), (3, ("alias *aaa", "…"))],
    ),
    "long invalid tag": (f"a: !{'t' * 5000}!x\n", [(1, ("not valid YAML", "…"))]),
    "long path": (
        GOOD + "trial:\n deepspeed:\n" + "".join(f"{' ' * i}{'k' * 99}:\n" for i in range(2, 27)) + f"{' ' * 27}? []\n",
        [(37, ("trial.deepspeed.kkk", "a key must be plain text"))],
    ),
    "missing hyper-parameters": (
        "name: x\nbudget: {trials: 1}\nsearch:\n  method: ga\n",
        [(3, ("search.forget_fraction: is missing",)), (3, ("search.learning_rate: is missing",))],
    ),
    "grid with a range": (
        GOOD + "searcher: {name: grid}\n",
        [(6, ("search.learning_rate", "grid cannot enumerate")), (7, ("search.beta", "grid cannot enumerate"))],
    ),
    "bad name": (
        replaced("name", "name: ../Über Sweep"),
        [(1, ("name = '../Über Sweep'", "a-z, 0-9", "write ber-sweep"))],
    ),
    "DeepSpeed keys of the sweep": (
        GOOD
        + "trial:\n  deepspeed:\n    train_batch_size: 8\n    bf16: {enabled: true}\n    optimizer: {type: Adam}\n",
        [
            (12, ("trial.deepspeed.train_batch_size", "set by the sweep", "trial.batch_size")),
            (13, ("trial.deepspeed.bf16", "trial.precision: bf16")),
            (14, ("trial.deepspeed.optimizer", "search.learning_rate")),
        ],
    ),
    "DeepSpeed values": (
        GOOD + "trial: {deepspeed: {zero_optimization: {stage: 4}}}\n",
        [(10, ("zero_optimization.stage = 4", "0, 1, 2 or 3"))],
    ),
    "searched and fixed": (
        replaced("beta", "batch_size: {choice: [8, 16]}") + "trial: {batch_size: 8}\n",
        [(10, ("trial.batch_size", "also searched"))],
    ),
    "seeds": (GOOD + "seeds: [0, 0]\n", [(10, ("seeds", "listed twice"))]),
    "searched seed": (replaced("beta", "seed: 3"), [(7, ("search.seed", "seeds: [0, 1]"))]),
    "model": (
        GOOD + "model: {base: tny, template: plane, target: /nowhere, recipe: {epochs: 0}}\n",
        [
            (10, ("model.recipe.epochs = 0", "must be >= 1")),
            (10, ("model.base = 'tny'", "'tiny'")),
            (10, ("model.template = 'plane'", "'plain'")),
            (10, ("model.target", "config.json")),
        ],
    ),
    "size of another model": (
        GOOD + "model: {base: smollm2, size: {hidden: 64}}\n",
        [(10, ("model.size", "only the base tiny has a size", "model.base: tiny"))],
    ),
    "impossible size": (
        GOOD + "model: {size: {hidden: 100, heads: 4}}\n",
        [(10, ("model.size", "hidden = 100", "multiple of twice the 4 heads", "use 96"))],
    ),
    "everything at once": (
        "name: A\nbenchmark: {nme: tofu}\nsearch: {method: nop, learning_rate: -1e-5, forget_fraction: 2}\nseeds: []\n",
        [
            (1, ("name = 'A'",)),
            (1, ("budget.trials: is missing",)),
            (2, ("benchmark.nme", "did you mean 'name'?")),
            (3, ("search.method = 'nop'", "did you mean 'npo'?")),
            (3, ("search.learning_rate = -1e-05", "must be > 0")),
            (3, ("search.forget_fraction = 2", "must be <= 1")),
            (4, ("seeds = []", "empty list")),
        ],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_all_of_its_errors(case: str, tmp_path: Path) -> None:
    text, expected = BAD[case]
    file = write(tmp_path, text)
    problems = list(errors_of(file))
    assert all("\n" not in problem and "; " in problem and len(problem) < LONGEST_PROBLEM for problem in problems)
    for line, fragments in expected:
        place = f"{file}:{line}: " if line else f"{file}: "
        matching = [p for p in problems if p.startswith(place) and all(f in p for f in fragments)]
        assert matching, f"line {line} with {fragments} not among\n" + "\n".join(problems)
        problems.remove(matching[0])
    assert problems == []


def test_a_bad_file_is_refused_before_ray_is_loaded(tmp_path: Path) -> None:
    file = write(tmp_path, BAD["everything at once"][0])
    code = (
        "import sys\nfrom letheon.cli import app\n"
        f"try: app(['sweep', {str(file)!r}])\n"
        "except SystemExit as end: print(end.code, *sorted({'ray', 'torch', 'mlflow', 'deepspeed'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "2", done.stderr
    assert len(done.stderr.splitlines()) == len(BAD["everything at once"][1])
    assert "Traceback" not in done.stderr
