"""Golden metrics: small models evaluated by open-unlearning's own unchanged code, TOFU's metrics and the attacks.

    python -m tests.goldens.make_metrics --open-unlearning DIR --out tests/goldens/metrics.json

Its evaluator runs with its own configs, composed by hydra; only where the rows lie, the batch size and the length of
answers are given. The models compute in float64 (`exact_model`), which its casts to float32 leave alone (`doubles`), so
that numbers are exact to 1e-14. Missing weights are trained first (`metrics/*.safetensors`, in float16, which float64
holds exactly): remove a file to train it again. Run it with the interpreter that runs open-unlearning.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch

from tests.goldens.doubles import doubles
from tests.goldens.made_up import MadeUp, made_up_sets
from tests.goldens.make_templates import open_unlearning_tokenizer, template_args
from tests.goldens.metric_models import FAMILIES, MAX_NEW_TOKENS, Family, Variant, blank_model, load_model
from tests.goldens.peer_code import Checkout
from tests.goldens.writing import made_with, write

_FILES = {
    "forget": "forget10_perturbed",
    "retain": "retain_perturbed",
    "real_authors": "real_authors_perturbed",
    "world_facts": "world_facts_perturbed",
    "holdout": "holdout10",
}
_METRICS = (
    "forget_Q_A_Prob",
    "forget_Q_A_ROUGE",
    "forget_Truth_Ratio",
    "forget_quality",
    "model_utility",
    "extraction_strength",
    "exact_memorization",
    "mia_loss",
    "mia_zlib",
    "mia_min_k",
    "mia_min_k_plus_plus",
    "mia_gradnorm",
    "mia_reference",
    "privleak",
)
_OF_RETAIN = ("forget_Truth_Ratio", "mia_min_k")
_STEPS, _RATE = 260, 4e-3


class Evaluator:
    """open-unlearning's TOFU evaluation of one family's models. `rows`: the made-up ones, as files in `folder`."""

    def __init__(self, checkout: Checkout, family: Family, rows: Mapping[str, Sequence[MadeUp]], folder: Path) -> None:
        self._checkout, self._family, self._folder = checkout, family, folder
        for name, of_set in rows.items():
            lines = [json.dumps(row, ensure_ascii=False) for row in of_set]
            (folder / f"{_FILES[name]}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.tokenizer = open_unlearning_tokenizer(checkout, family.name)
        self._template = template_args(checkout, family.config)
        for name in ("lm_eval", "lm_eval.models", "lm_eval.models.hf_vlms", "lm_eval.tasks"):
            sys.modules.setdefault(name, MagicMock())  # imported by its package of evaluators, and not used here
        self._evals: Any = checkout.module("evals", "src")

    def logs(self, variant: Variant, metrics: Sequence[str], retain_logs: Path | None = None) -> dict[str, Any]:
        """What its evaluator writes to TOFU_EVAL.json."""
        out = self._out(variant)
        config = self._config(metrics, retain_logs, out)
        # The one thing that is not its own: the reference model has to compute in float64 too.
        self._evals.metrics.mia.AutoModelForCausalLM = _Loads(load_model(self._family, self.tokenizer, "retain"))
        evaluator = self._evals.get_evaluators(import_module("omegaconf").OmegaConf.create({"tofu": config}))["tofu"]
        with doubles():
            model = load_model(self._family, self.tokenizer, variant)
            evaluator.evaluate(model=model, tokenizer=self.tokenizer, template_args=self._template)
        return dict(json.loads(self.log_file(variant).read_text(encoding="utf-8")))

    def log_file(self, variant: Variant) -> Path:
        return self._out(variant) / "TOFU_EVAL.json"

    def _out(self, variant: Variant) -> Path:
        return self._folder / variant

    def _config(self, metrics: Sequence[str], retain_logs: Path | None, out: Path) -> Any:
        hydra, omegaconf = import_module("hydra"), import_module("omegaconf")
        overrides = [
            "task_name=golden",
            "hydra/job_logging=disabled",
            "hydra/hydra_logging=disabled",
            f"model={self._family.config}",
            f"eval/tofu_metrics@eval.tofu.tofu_metrics=[{','.join(metrics)}]",
            f"paths.output_dir={out}",
            "eval.tofu.overwrite=true",
            "eval.tofu.batch_size=8",
            f"eval.tofu.retain_logs_path={retain_logs or 'null'}",
            *(["eval.tofu.metrics.mia_reference.reference_model_path=retain"] if "mia_reference" in metrics else []),
        ]
        with hydra.initialize_config_dir(str(self._checkout.folder / "configs"), version_base=None):
            config = hydra.compose("eval", overrides)
        found = omegaconf.OmegaConf.create(omegaconf.OmegaConf.to_container(config.eval.tofu, resolve=True))
        self._localise(found)
        return found

    def _localise(self, node: Any) -> None:
        """The rows of the hub come from here, and answers are short."""
        if not hasattr(node, "items"):
            return
        for key, value in list(node.items()):
            if key == "hf_args":
                node[key] = {
                    "path": "json",
                    "data_files": str(self._folder / f"{value['name']}.json"),
                    "split": "train",
                    "cache_dir": str(self._folder / "cache"),
                }
            elif key == "generation_args":
                value["max_new_tokens"] = MAX_NEW_TOKENS
            else:
                self._localise(value)


class _Loads:
    """Stands in for the class that loads models."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def from_pretrained(self, *_: Any, **__: Any) -> Any:
        return self._model


def train(checkout: Checkout, family: Family, rows: Mapping[str, Sequence[MadeUp]]) -> None:
    """Write the family's weights: a model trained with open-unlearning's tokens, labels and masks.

    It learns half of the rows of every set except the holdout; some rows have two answers, equally likely in the end.
    """
    from safetensors.torch import save_file

    data, collators = checkout.module("data.utils", "src"), checkout.module("data.collators", "src")
    tokenizer, template = open_unlearning_tokenizer(checkout, family.name), template_args(checkout, family.config)
    examples = [
        data.preprocess_chat_instance(tokenizer, template, [question], [answer], 512)
        for question, answer in _known(rows)
    ]
    if family.other_end is not None:
        for example in examples[::3]:
            example["input_ids"][-1] = example["labels"][-1] = tokenizer.convert_tokens_to_ids(family.other_end)
    batch = collators.DataCollatorForSupervisedDataset(tokenizer)(examples)
    torch.manual_seed(0)
    model = blank_model(len(tokenizer), [tokenizer.eos_token_id])
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, _STEPS)
    for step in range(_STEPS):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        rates.step()
        if step % 20 == 0 or step == _STEPS - 1:
            print(family.name, step, loss.item(), flush=True)
    weights = {name: each.detach().half().clone() for name, each in model.named_parameters()}
    family.weights.parent.mkdir(exist_ok=True)
    save_file(weights, family.weights)


def _known(rows: Mapping[str, Sequence[MadeUp]]) -> Iterator[tuple[str, str]]:
    for name, of_set in rows.items():
        for i, row in enumerate(of_set):
            if name != "holdout" and (i + i // 6) % 2 == 0:
                yield row["question"], row["answer"]
                if i % 5 == 0 and "paraphrased_answer" in row:
                    yield row["question"], row["paraphrased_answer"]


# ---- what is kept of the logs


def kept(logs: Mapping[str, Any], only: Sequence[str] = ()) -> dict[str, Any]:
    """By metric: `value`, and a list for every figure of its rows, in their order."""
    return {name: _kept(log) for name, log in sorted(logs.items()) if not only or name in only}


def _kept(log: Mapping[str, Any]) -> dict[str, Any]:
    if "auc" in log:
        scores = {part: _columns(log[part]["value_by_index"])["score"] for part in ("forget", "holdout")}
        return {"value": log["agg_value"], **scores}
    rows = _columns(log.get("value_by_index", {}))
    left_out = {"prob", "input", "ground_truth"}  # exp(-avg_loss), and texts that the rows have
    return {"value": log["agg_value"], **{key: value for key, value in rows.items() if key not in left_out}}


def _columns(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Any]]:
    ordered = [rows[index] for index in sorted(rows, key=int)]
    return {key: [row[key] for row in ordered] for key in (ordered[0] if ordered else ())}


def of_family(checkout: Checkout, family: Family, rows: Mapping[str, Sequence[MadeUp]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        evaluator = Evaluator(checkout, family, rows, Path(folder))
        retain = evaluator.logs("retain", _OF_RETAIN)
        found: dict[str, Any] = {"retain": kept(retain, ("forget_truth_ratio", "mia_min_k"))}
        for variant in ("memorised", "collapsed"):
            found[variant] = kept(evaluator.logs(variant, _METRICS, evaluator.log_file("retain")))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open-unlearning", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--families", nargs="*", default=[family.name for family in FAMILIES])
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows, checkout = made_up_sets(), Checkout(given.open_unlearning.resolve())
    families = [family for family in FAMILIES if family.name in given.families]
    for family in families:
        if not family.weights.exists():
            train(checkout, family, rows)
    found = {
        **made_with(checkout, "transformers", "torch", "scipy", "rouge-score", "scikit-learn"),
        "max_new_tokens": MAX_NEW_TOKENS,
        "rows": rows,
        "families": {family.name: of_family(checkout, family, rows) for family in families},
    }
    write(found, given.out)


if __name__ == "__main__":
    main()
