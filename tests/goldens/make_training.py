"""A golden training: twenty optimizer steps of NPO by open-unlearning's own trainer, and its own evaluation of them.

    python -m tests.goldens.make_training --open-unlearning DIR --python PYTHON --out tests/goldens/training.json

DIR is a checkout, PYTHON an interpreter with what the checkout pins. Its `src/train.py` and `src/eval.py` run unchanged
in processes of their own, with its configuration of TOFU; `run_open_unlearning` records rows, losses and rates. Next to
the JSON, a folder of the same name gets their inputs, for Letheon to start from too (start weights, tokenizer, rows),
and the evaluations of the unlearned model and of one that never saw the forgotten rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.goldens.training_material import (
    EVALUATED,
    material,
    taught,
    tokenizer_texts,
    write_data,
    write_model,
    write_tokenizer,
)

RUNNER = Path(__file__).with_name("run_open_unlearning.py")
TAUGHT_STEPS = 300
MICRO, ACCUMULATED, EPOCHS, FORGET, RETAIN = 4, 2, 4, 40, 80
RATE, WARMUP_STEPS = 4e-4, 5
"""One epoch of warm-up, as its configuration says; its own count of the steps divides by the number of GPUs, here 0."""
ENTRIES = 16
"""Entries recorded per weight, evenly spaced."""

ON_A_CPU = ("model.model_args.attn_implementation=sdpa", "model.model_args.torch_dtype=float32")
PLAIN_LOGGING = ("hydra/hydra_logging=default", "hydra/job_logging=default")
TRAINING = (
    "--config-name=unlearn.yaml",
    "experiment=unlearn/tofu/default",
    "trainer=NPO",
    "forget_split=forget33",
    "retain_split=retain67",
    f"trainer.args.per_device_train_batch_size={MICRO}",
    f"trainer.args.gradient_accumulation_steps={ACCUMULATED}",
    f"trainer.args.num_train_epochs={EPOCHS}",
    f"trainer.args.learning_rate={RATE}",
    "trainer.args.warmup_epochs=null",
    f"+trainer.args.warmup_steps={WARMUP_STEPS}",
    "trainer.args.optim=adamw_torch",
    "trainer.args.bf16=false",
    "trainer.args.bf16_full_eval=false",
    "trainer.args.logging_steps=1",
    "trainer.args.report_to=none",
    "trainer.args.do_eval=false",
    "trainer.args.eval_on_start=false",
    "trainer.args.eval_strategy=no",
)
EVALUATION = (
    "--config-name=eval.yaml",
    "experiment=eval/tofu/default",
    "forget_split=forget33",
    "model.model_args.device_map=cpu",
    "+eval/tofu_metrics=[exact_memorization,mia_loss,mia_zlib,mia_min_k,mia_min_k_plus_plus,mia_gradnorm]",
)


@dataclass(frozen=True)
class Peer:
    """A checkout, the interpreter that runs it, and a working folder with its data set."""

    checkout: Path
    python: Path
    work: Path

    def run(self, script: str, model: Path, output: Path, settings: Sequence[str]) -> Path:
        """Returns the file of what was noted."""
        record = output.with_suffix(".record.json")
        paths = [f"model.{part}_args.pretrained_model_name_or_path={model}" for part in ("model", "tokenizer")]
        given = [*settings, *ON_A_CPU, *PLAIN_LOGGING, *paths, f"paths.output_dir={output}", "task_name=golden"]
        command = [str(self.python), str(RUNNER), str(record), str(self.checkout / "src" / script), *given]
        quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(self.work / "cache"), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=self.work, env=os.environ | quiet | {"CUDA_VISIBLE_DEVICES": ""}, check=True)
        return record

    def evaluate(self, model: Path, output: Path, retain_log: Path | None) -> Path:
        """Returns the file of its evaluation."""
        log = "null" if retain_log is None else str(retain_log)
        self.run("eval.py", model, output, [*EVALUATION, f"retain_logs_path={log}"])
        return output / "TOFU_EVAL.json"

    def made_by(self) -> dict[str, Any]:
        git = ["git", "-C", str(self.checkout), "rev-parse", "HEAD"]
        ask = "import json, torch, transformers as t; print(json.dumps([t.__version__, torch.__version__]))"
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
        answer = subprocess.run([str(self.python), "-c", ask], capture_output=True, text=True, check=True).stdout
        library, torch_version = json.loads(answer.splitlines()[-1])
        return {
            "repository": "locuslab/open-unlearning",
            "commit": commit,
            "transformers": library,
            "torch": torch_version,
            "training": TRAINING,
            "evaluation": EVALUATION,
        }


def lay_out(data: Path, hub: Path) -> None:
    """The data set as open-unlearning asks for it, where `load_dataset` looks before it asks the hub."""
    full, perturbed = _lines(data / "full.json"), _lines(data / "forget10_perturbed.json")
    tables = {"forget33": full[RETAIN:], "retain67": full[:RETAIN], "forget33_perturbed": perturbed[EVALUATED:]}
    same = ("retain_perturbed", "real_authors_perturbed", "world_facts_perturbed", "holdout10")
    tables |= {name: _lines(data / f"{name}.json") for name in same}
    hub.mkdir(parents=True)
    for name, lines in tables.items():
        (hub / f"{name}.json").write_text("".join(lines), encoding="utf-8")
    configs = "".join(f"- config_name: {name}\n  data_files: {name}.json\n" for name in tables)
    (hub / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def steps_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was noted, by optimizer step. `losses`: of its micro-batches; `gradient_norm`: before it was clipped."""
    size = MICRO * ACCUMULATED
    steps = []
    for number, noted in enumerate(record["steps"]):
        pairs = record["rows"][number * size : (number + 1) * size]
        steps.append(
            {
                "forget": [forget for forget, _ in pairs],
                "retain": [retain for _, retain in pairs],
                "rate": noted["rate"],
                "losses": record["losses"][number * ACCUMULATED : (number + 1) * ACCUMULATED],
                "gradient_norm": noted["gradient_norm"],
            }
        )
    assert len(record["rows"]) == len(steps) * size == EPOCHS * FORGET
    assert len(record["losses"]) == len(steps) * ACCUMULATED
    return steps


def facts_of(weights: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> dict[str, Any]:
    """What is said of the weights in the end: of each its length, how far it moved, and a few entries."""
    digest = hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights)))
    return {
        "sha256": digest.hexdigest(),
        "tensors": {name: fact_of(weights[name], start[name]) for name in sorted(weights)},
    }


def fact_of(tensor: Tensor, start: Tensor) -> dict[str, Any]:
    places = torch.linspace(0, tensor.numel() - 1, ENTRIES).round().long()
    moved = tensor.double() - start.double()
    return {
        "norm": float(tensor.double().norm()),
        "moved": float(moved.norm()),
        "entries": tensor.flatten()[places].tolist(),
    }


def compact(content: Any, path: Path) -> None:
    """One line for each of the outermost keys and each step: small, and still to be compared by eye."""
    parts = [f"{json.dumps(key)}: {_spread(value)}" for key, value in content.items()]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _spread(value: Any) -> str:
    if isinstance(value, list):
        return "[\n" + ",\n".join(json.dumps(each) for each in value) + "\n]"
    return json.dumps(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--open-unlearning", type=Path, required=True, help="a checkout")
    parser.add_argument("--python", type=Path, required=True, help="an interpreter with what the checkout pins")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    folder = asked.out.with_suffix("").absolute()
    split = material()
    write_data(folder / "data", split)
    start = folder / "start"
    tokenizer = write_tokenizer(start, tokenizer_texts(split))
    known = [row for name in ("real_authors", "world_facts") for row in split.evaluation[name].rows]
    write_model(start, taught(tokenizer, [*split.forget, *split.retain, *known], TAUGHT_STEPS), tokenizer)
    with tempfile.TemporaryDirectory() as work:
        peer = Peer(asked.open_unlearning.absolute(), asked.python.absolute(), Path(work))
        lay_out(folder / "data", peer.work / "locuslab" / "TOFU")
        retain, unlearned = peer.work / "retain", peer.work / "unlearned"
        write_tokenizer(retain, tokenizer_texts(split))
        write_model(retain, taught(tokenizer, [*split.retain, *known], TAUGHT_STEPS), tokenizer)
        record = json.loads(peer.run("train.py", start, unlearned, TRAINING).read_text())
        retain_log = peer.evaluate(retain, peer.work / "retain-evaluation", None)
        log = peer.evaluate(unlearned, peer.work / "evaluation", retain_log)
        for name, file in (("retain", retain_log), ("unlearned", log)):
            compact(json.loads(file.read_text()), folder / f"{name}_TOFU_EVAL.json")
        weights, before = load_file(unlearned / "model.safetensors"), load_file(start / "model.safetensors")
        content = {
            "made_by": peer.made_by(),
            "decayed": record["decayed"],
            "rows": record["encoded"],
            "steps": steps_of(record),
            "weights": facts_of(weights, before),
        }
        compact(content, asked.out)


if __name__ == "__main__":
    main()
