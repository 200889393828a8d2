"""Runs a script of open-unlearning's checkout, unchanged, in its own environment, and notes what its trainer does.

`python run_open_unlearning.py RECORD SCRIPT [hydra overrides]`: RECORD is the JSON file to write. Rows, losses and
rates are noted from outside: around the data set's and the loss's functions, and by a callback of the trainer.
"""

from __future__ import annotations

import json
import runpy
import sys
import types
from pathlib import Path
from typing import Any


def stand_in_for_harness() -> None:
    """lm-evaluation-harness is imported with the evaluators, and none of them here asks for it."""
    names = {"lm_eval": "simple_evaluate", "lm_eval.models.hf_vlms": "HFLM", "lm_eval.tasks": "TaskManager"}
    for name in ("lm_eval.models", *names):
        module: Any = types.ModuleType(name)
        if name in names:
            setattr(module, names[name], object)
        sys.modules[name] = module


class Record:
    """`rows`: numbers of the forget and the retain row of each pair, in the order drawn. `losses`: of micro-batches.
    `encoded`: token ids of every row, and how many are its prompt's. `decayed`: the weights by their weight decay.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] = []
        self.read: list[int] = []
        self.losses: list[float] = []
        self.encoded: dict[str, list[dict[str, Any]]] = {}
        self.steps: list[dict[str, Any]] = []
        self.decayed: dict[str, list[str]] = {}

    def around_data(self) -> None:
        from data.qa import QADataset  # type: ignore[import-not-found,unused-ignore]
        from data.unlearn import ForgetRetainDataset  # type: ignore[import-not-found,unused-ignore]

        of_row, of_pair = QADataset.__getitem__, ForgetRetainDataset.__getitem__

        def row(dataset: Any, number: int) -> Any:
            self.read.append(int(number))
            return of_row(dataset, number)

        def pair(dataset: Any, number: int) -> Any:
            if not self.encoded:
                sides = {"forget": dataset.forget, "retain": dataset.retain}
                self.encoded = {
                    name: [_tokens(of_row(side, i)) for i in range(len(side))] for name, side in sides.items()
                }
            self.read.clear()
            found = of_pair(dataset, number)
            forget, retain = self.read
            self.rows.append((forget, retain))
            return found

        QADataset.__getitem__, ForgetRetainDataset.__getitem__ = row, pair

    def around_loss(self) -> None:
        from trainer.unlearn.npo import NPO  # type: ignore[import-not-found,unused-ignore]

        compute = NPO.compute_loss

        def compute_loss(trainer: Any, model: Any, inputs: Any, return_outputs: bool = False) -> Any:
            found = compute(trainer, model, inputs, return_outputs)
            self.losses.append(float((found[0] if return_outputs else found).detach()))
            self._check(inputs)
            return found

        NPO.compute_loss = compute_loss

    def _check(self, inputs: Any) -> None:
        """That the rows noted are the ones in this micro-batch: the loader draws ahead."""
        for place, name in enumerate(("forget", "retain")):
            ids = inputs[name]["input_ids"].tolist()
            first = (len(self.losses) - 1) * len(ids)
            for pair, row in zip(self.rows[first:], ids, strict=False):
                noted = self.encoded[name][pair[place]]["ids"]
                assert row[: len(noted)] == noted, f"{name} row {pair[place]} is not in micro-batch {len(self.losses)}"

    def around_steps(self) -> None:
        from transformers import TrainerCallback, trainer

        record = self

        class Notes(TrainerCallback):  # type: ignore[misc,unused-ignore]
            def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
                names = {id(parameter): name for name, parameter in given["model"].named_parameters()}
                for group in given["optimizer"].param_groups:
                    found = record.decayed.setdefault(str(group["weight_decay"]), [])
                    found.extend(names[id(parameter)] for parameter in group["params"])

            def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
                record.steps.append({"rate": given["optimizer"].param_groups[0]["lr"]})

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
                if "grad_norm" in logs:
                    record.steps[-1] |= {"loss": logs["loss"], "gradient_norm": float(logs["grad_norm"])}

        settings: Any = trainer
        settings.DEFAULT_CALLBACKS.append(Notes)

    def content(self) -> dict[str, Any]:
        noted = ("rows", "losses", "encoded", "steps", "decayed")
        return {name: getattr(self, name) for name in noted}


def _tokens(item: Any) -> dict[str, Any]:
    ids, labels = item["input_ids"].tolist(), item["labels"].tolist()
    return {"prompt": labels.count(-100), "ids": ids}


def main() -> None:
    file, script = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    sys.argv = [str(script), *sys.argv[3:]]
    sys.path.insert(0, str(script.parent))
    stand_in_for_harness()
    record = Record()
    if script.name == "train.py":
        record.around_data()
        record.around_loss()
        record.around_steps()
    runpy.run_path(str(script), run_name="__main__")
    file.write_text(json.dumps(record.content()))


if __name__ == "__main__":
    main()
