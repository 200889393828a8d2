"""Every module over 100 lines has a test module of its name in the mirrored folder, or this table names its tests."""

from __future__ import annotations

from tests.test_architecture import ROOT
from tests.test_layers import FILES

LONG = 100
TESTED_ELSEWHERE = {
    "letheon.analysis.importance": "letheon/dashboard/test_sweep_view.py",
    "letheon.api.frames": "letheon/api/test_run.py",
    "letheon.api.plan": "letheon/sweep/test_plan.py",
    "letheon.api.trial": "letheon/api/test_run.py",
    "letheon.cli.cluster": "letheon/cluster/test_jobs.py",
    "letheon.cli.methods": "test_plugins_page.py",
    "letheon.cli.tables": "letheon/cli/test_inspect.py",
    "letheon.monitor.sections": "letheon/monitor/test_screen.py",
    "letheon.monitor.sweep_list": "letheon/cli/test_watch.py",
    "letheon.preparation.speed_test": "letheon/preparation/test_measured.py",
    "letheon.preparation.seconds": "letheon/sweep/test_plan_time.py",
    "letheon.search.controller": "letheon/search/test_simulator.py",
    "letheon.searchers.history": "letheon/searchers/test_optuna_tpe.py",
    "letheon.spec.model": "letheon/spec/test_load.py",
    "letheon.spec.rules_search": "letheon/spec/test_validate.py",
    "letheon.sweep.finish": "letheon/sweep/test_run.py",
    "letheon.tracking.environment": "letheon/tracking/test_run_records.py",
    "letheon.tracking.reader.browse": "letheon/dashboard/test_catalog.py",
    "letheon.tracking.reader.partial": "letheon/tracking/reader/test_pull.py",
    "letheon.tracking.reader.sweeps": "letheon/tracking/reader/test_pull.py",
    "letheon.tracking.store.artifact_readers": "letheon/tracking/store/test_lying_server.py",
    "letheon.tracking.store.artifacts": "letheon/tracking/store/test_connection.py",
    "letheon.tune.slot": "letheon/sweep/test_run.py",
    "trainables.audit.attacks": "trainables/audit/test_run.py",
    "trainables.audit.relearn": "trainables/audit/test_run.py",
    "trainables.data.benchmarks.muse_files": "trainables/data/benchmarks/test_muse.py",
    "trainables.data.forget_retain": "trainables/data/benchmarks/test_user_files.py",
    "trainables.data.jsonl": "trainables/data/benchmarks/test_user_files.py",
    "trainables.data.prompt_templates": "trainables/data/test_tokenization.py",
    "trainables.evaluation.decoding.answers": "trainables/evaluation/test_evaluate.py",
    "trainables.evaluation.decoding.dynamic": "trainables/evaluation/decoding/test_greedy.py",
    "trainables.evaluation.decoding.static_cache": "trainables/evaluation/decoding/test_static.py",
    "trainables.evaluation.decoding.static_cache_pool": "trainables/evaluation/decoding/test_static.py",
    "trainables.evaluation.logs.adapt": "trainables/evaluation/logs/test_compare.py",
    "trainables.evaluation.logs.check": "trainables/evaluation/logs/test_compare.py",
    "trainables.evaluation.logs.open_unlearning": "trainables/evaluation/logs/test_compare.py",
    "trainables.evaluation.logs.pair": "trainables/evaluation/logs/test_compare.py",
    "trainables.evaluation.logs.tofu": "trainables/evaluation/logs/test_compare.py",
    "trainables.evaluation.logs.values": "trainables/evaluation/logs/test_hostile.py",
    "trainables.evaluation.scoring.evaluator": "trainables/evaluation/test_evaluate.py",
    "trainables.evaluation.scoring.queries": "trainables/evaluation/test_evaluate.py",
    "trainables.evaluation.scoring.read": "trainables/evaluation/scoring/test_token_stats.py",
    "trainables.inputs.cache": "trainables/training/test_trial.py",
    "trainables.inputs.generated_answers": "trainables/training/test_every_method_resident.py",
    "trainables.inputs.micro_batches": "trainables/training/test_step.py",
    "trainables.jobs.prepare": "trainables/training/test_trial.py",
    "trainables.jobs.specs": "letheon/preparation/test_layout.py",
    "trainables.model.load": "trust/test_loading.py",
    "trainables.plugins.cases": "trainables/plugins/test_contract.py",
    "trainables.ray_train": "letheon/workers/test_worker_group.py",
    "trainables.training.gradients": "trainables/training/test_step.py",
}


def test_every_long_module_has_a_test_of_its_name_or_a_stated_place() -> None:
    untested = []
    for module, file in FILES.items():
        path = module.replace(".", "/").rpartition("/")
        own = ROOT / "tests" / path[0] / f"test_{path[2]}.py"
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > LONG and file.name != "__init__.py" and not own.exists() and module not in TESTED_ELSEWHERE:
            untested.append(f"{module}: {lines} lines")
    assert untested == []


def test_stated_places_exist_and_are_needed() -> None:
    for module, place in TESTED_ELSEWHERE.items():
        path = module.replace(".", "/").rpartition("/")
        assert (ROOT / "tests" / place).exists(), place
        assert not (ROOT / "tests" / path[0] / f"test_{path[2]}.py").exists(), f"{module} has a test of its name now"
        assert module in FILES, f"{module} is gone"
