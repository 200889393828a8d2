"""Ray's ordinary pattern over given trials: a Tune function that starts a Train run for each of them.

    python benchmarks/starting/plain.py CONFIGS.json

As the documentation of Ray Train and Ray Tune shows it ("Hyperparameter tuning with Ray Tune"), with Ray's defaults.
What a trial trains, evaluates and writes is the same code as in a sweep: only who starts it differs. The file is a list
of trial configurations. Prints one JSON line: seconds, and when each trial made its first report.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


class _Reports:
    """The channel of a trial that receives no commands and reports through Ray Train."""

    def may_run(self, epoch: int) -> bool:
        return True

    def report(self, epoch: int, metrics: dict[str, Any]) -> None:
        import ray.train

        ray.train.report({**metrics, "reported": time.time()})


def train(config: dict[str, Any]) -> None:
    """What Ray Train runs in its worker."""
    import ray.train.torch
    import torch

    from trainables.config import TrialConfig
    from trainables.inputs.cache import WorkerCache
    from trainables.runtime.ranks import Group
    from trainables.training.trial import run_trial

    torch.set_num_threads(1)
    trial = TrialConfig.model_validate(config)
    run_trial(trial, WorkerCache(), Group(0, 1, ray.train.torch.get_device()), _Reports())


def tune_function(config: dict[str, Any]) -> None:
    """What Ray Tune runs for a trial."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    TorchTrainer(
        train,
        train_loop_config=config["trial"],
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(
            name=f"train-{config['trial']['trial']}",
            storage_path=config["storage"],
            callbacks=[TuneReportCallback()],
        ),
    ).fit()


def main() -> None:
    began = time.time()
    configs = json.loads(Path(sys.argv[1]).read_text())
    import ray
    from ray import tune

    os.environ |= {"DS_ACCELERATOR": "cpu", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory(prefix="letheon-plain-") as storage:
        ray.init(log_to_driver=False, logging_level="ERROR")
        cpus = int(ray.cluster_resources()["CPU"])
        tuner = tune.Tuner(
            tune.with_resources(tune_function, {"node:__internal_head__": 0.001}),
            param_space={"trial": tune.grid_search(configs), "storage": storage},
            tune_config=tune.TuneConfig(max_concurrent_trials=cpus),
            run_config=tune.RunConfig(name="plain", storage_path=storage, verbose=0),
        )
        results = tuner.fit()
        if results.num_errors:
            raise SystemExit(str(results.errors[0]))
        searched = time.time()
        ray.shutdown()
    first = min(row["reported"] for result in results for row in result.metrics_dataframe.to_dict("records"))
    print(json.dumps({"seconds": searched - began, "first_report": first - began, "trials": len(configs)}))


if __name__ == "__main__":
    main()
