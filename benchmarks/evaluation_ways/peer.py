"""open-unlearning's own evaluation, from a checkout that is given by path, on our model and rows.

Its configuration is composed by hydra as its scripts do; only where rows come from is put in: files written here
instead of the hub. Its tokenisation is made ours by a template without a space before the answer and answers that begin
with one. The lm-evaluation-harness, which its TOFU suite does not use, is left out. Needs hydra-core, hydra-colorlog.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.data.rows import EvalSet

DEFAULT = {
    "forget_truth_ratio": "forget_truth_ratio",
    "forget_Q_A_Prob": "forget_probability",
    "forget_Q_A_ROUGE": "forget_rouge",
    "model_utility": "model_utility",
    "extraction_strength": "extraction_strength",
}
"""Metrics that its TOFU suite has by default, by our names. Forget quality and PrivLeak, which are computed
from others and a retain model's log, are left out on both sides.
"""

ADDED = ("exact_memorization", "mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus")
"""What its suite lists beyond these and needs no second model."""

_FILES = {
    "forget10_perturbed": "forget",
    "retain_perturbed": "retain",
    "real_authors_perturbed": "real_authors",
    "world_facts_perturbed": "world_facts",
    "holdout10": "holdout",
}
_TEMPLATE = {
    "apply_chat_template": False,
    "user_start_tag": "Question: ",
    "user_end_tag": "\n",
    "asst_start_tag": "Answer:",
    "asst_end_tag": "",
}


class Peer:
    """Composed once; `evaluate` may be called for many models."""

    def __init__(self, checkout: Path, sets: Mapping[str, EvalSet]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="letheon-peer-"))
        sys.path.insert(0, str(checkout / "src"))
        left_out: Any = types.ModuleType("evals.lm_eval")
        left_out.LMEvalEvaluator = type("LMEvalEvaluator", (), {})
        sys.modules["evals.lm_eval"] = left_out
        try:
            from hydra import compose, initialize_config_dir  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise SystemExit("--peer needs hydra: pip install hydra-core==1.3.2 hydra-colorlog==1.2.0") from error
        with initialize_config_dir(config_dir=str((checkout / "configs").resolve()), version_base=None):
            config = compose(
                "eval",
                overrides=[
                    "experiment=eval/tofu/default",
                    "model=phi-1_5",
                    "task_name=benchmark",
                    f"+eval/tofu_metrics=[{','.join(ADDED)}]",
                ],
            )
        self._config = self._with_rows(config, sets)

    def evaluate(self, model: Any, tokenizer: Any) -> dict[str, float]:
        """Its summary by Letheon's names, without extraction strength, which is defined otherwise (1 / n, not 0, where
        nothing of n tokens is extracted). What it prints is swallowed.
        """
        from evals.tofu import TOFUEvaluator  # type: ignore[import-not-found,unused-ignore]

        silence = io.StringIO()
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            evaluator = TOFUEvaluator(self._config)
            summary = evaluator.evaluate(
                model=model,
                tokenizer=tokenizer,
                template_args=_TEMPLATE,
                output_dir=str(self._folder / "log"),
                overwrite=True,
            )
        del summary["extraction_strength"]
        return {DEFAULT.get(name, name): float(value) for name, value in summary.items()}

    def _with_rows(self, config: Any, sets: Mapping[str, EvalSet]) -> Any:
        from omegaconf import OmegaConf  # type: ignore[import-not-found,unused-ignore]

        files = {name: self._write(name, sets[ours]) for name, ours in _FILES.items()}
        plain = OmegaConf.to_container(config.eval, resolve=False)["tofu"]
        resolved = OmegaConf.create({"eval": {"tofu": plain}})
        resolved.eval.tofu.output_dir = str(self._folder)
        resolved.eval.tofu.forget_split, resolved.eval.tofu.holdout_split = "forget10", "holdout10"
        resolved.eval.tofu.retain_logs_path = None
        content = OmegaConf.to_container(resolved, resolve=True)["eval"]["tofu"]
        content["metrics"] = {name: content["metrics"][name] for name in (*DEFAULT, *ADDED)}
        _point(content, files)
        return OmegaConf.create(content)

    def _write(self, name: str, of_set: EvalSet) -> str:
        file = self._folder / f"{name}.json"
        with file.open("w") as out:
            for row in of_set.rows:
                content: dict[str, Any] = {"question": row.question, "answer": f" {row.answer}"}
                if row.perturbed_answers:
                    content["perturbed_answer"] = [f" {wrong}" for wrong in row.perturbed_answers]
                    content["paraphrased_answer"] = f" {row.paraphrased_answer or row.answer}"
                out.write(json.dumps(content) + "\n")
        return str(file)


def _point(content: Any, files: Mapping[str, str]) -> None:
    """Every `hf_args` of a configuration at a local file."""
    if isinstance(content, list):
        for part in content:
            _point(part, files)
    elif isinstance(content, dict):
        for key, part in content.items():
            if key == "hf_args":
                content[key] = {"path": "json", "data_files": files[part["name"]], "split": "train"}
            else:
                _point(part, files)
