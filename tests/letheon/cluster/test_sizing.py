"""`trial.gpus_per_worker: auto`: the predicted memory and the share that follows from it. No test needs a GPU."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from letheon.cli.plan import plan_lines
from letheon.cluster import sizing
from letheon.cluster.capacity import DoesNotFit
from letheon.cluster.gpus import UnknownGpu, card_bytes
from letheon.cluster.sizing import (
    SHARES,
    UnknownModel,
    local_card,
    resolve_auto,
    shape_of,
    size,
    with_gpus,
    with_recipe,
)
from letheon.common.errors import SpecErrors
from letheon.preparation.layout import layout
from letheon.spec.load import dump_spec, load_spec
from letheon.spec.model import SweepSpec
from letheon.sweep.plan import make_plan
from trainables.model.gpu_share import CUDA_CONTEXT, GIB
from trainables.model.memory import DecoderShape

LLAMA_1B = DecoderShape(parameters=1_235_814_400, layers=16, hidden=2048, keys=1024, inner=8192, vocabulary=128_256)
LLAMA_8B = DecoderShape(parameters=8_030_261_248, layers=32, hidden=4096, keys=2048, inner=14_336, vocabulary=128_256)
H100 = 80 * GIB


SEARCH = "{method: npo_rt, forget_fraction: {choice: [0.1, 0.2]}, learning_rate: 1.0e-4, beta: 0.05}"


def auto(*overrides: str) -> SweepSpec:
    return load_spec("quickstart", ["trial.gpus_per_worker=auto", f"search={SEARCH}", *overrides])


def test_auto_is_written_and_read_back_and_has_no_number_before_it_is_computed(tmp_path: Path) -> None:
    spec = auto()
    (tmp_path / "written.yaml").write_text(dump_spec(spec))
    assert load_spec(tmp_path / "written.yaml") == spec
    with pytest.raises(ValueError, match=r"gpus_per_worker auto.*not computed"):
        _ = spec.trial.workers_config
    assert with_gpus(spec, 0.25).trial.workers_config.gpus_per_worker == 0.25


def test_other_words_are_refused_with_a_place() -> None:
    with pytest.raises(SpecErrors) as error:
        load_spec("quickstart", ["trial.gpus_per_worker=some"])
    assert len(error.value.problems) == 1
    assert error.value.problems[0].startswith("--set trial.gpus_per_worker=some")


def test_larger_models_get_larger_shares_and_each_share_holds_the_predicted_memory() -> None:
    spec = auto("trial.precision=bf16")
    found = {name: size(spec, shape, H100) for name, shape in (("tiny", shape_of(spec)), ("1b", LLAMA_1B))}
    assert found["tiny"].gpus == 1 / 8
    assert found["1b"].share is not None
    assert found["1b"].recipe == "exact"
    assert SHARES[0] < found["1b"].share < 1
    for one in found.values():
        assert one.share is not None
        assert one.predicted == one.need.total + CUDA_CONTEXT < one.share * H100
        smaller = [share for share in SHARES if share < one.share]
        assert not any(one.need.fits(int(share * H100) - CUDA_CONTEXT) for share in smaller)
    assert size(with_recipe(spec, "exact"), LLAMA_1B, 16 * GIB).share is None


def test_a_worker_that_fits_on_no_gpu_is_refused_with_value_rule_and_fix() -> None:
    with pytest.raises(DoesNotFit) as error:
        _ = size(auto("trial.precision=bf16", "trial.memory=exact"), LLAMA_8B, H100).gpus
    text = str(error.value)
    assert "would take 12" in text and "memory: auto" in text and "one GPU of 80.0 GiB" in text
    assert "trial.workers" in text and "stage: 3" in text
    sharded = auto("trial.precision=bf16", "trial.workers=4", "trial.deepspeed={zero_optimization: {stage: 3}}")
    assert size(sharded, LLAMA_8B, H100).gpus == 1


def test_a_card_that_is_too_small_for_the_exact_recipe_gets_the_most_exact_that_fits() -> None:
    spec = auto("trial.precision=bf16")
    found = {gib: size(spec, LLAMA_8B, gib * GIB) for gib in (160, 100, 80, 64, 48)}
    assert [found[gib].recipe for gib in found] == ["exact", "moments8", "remainder", "stochastic", "recompute"]
    assert all(one.gpus == 1 for one in found.values())
    for sharded in ("trial.deepspeed={zero_optimization: {stage: 1}}", "trial.precision=fp32"):
        assert list(size(auto("trial.precision=bf16", sharded), LLAMA_1B, H100).recipes) == ["exact"]
    assert size(spec, LLAMA_8B, None).recipe == "exact"  # no GPU


def test_a_recipe_is_written_down_and_counts_only_once_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec("quickstart", ["trial.precision=bf16", "trial.gpus_per_worker=1"])
    assert spec.trial.memory == "auto" and spec.trial.workers_config.memory == "exact"
    lines: list[str] = []
    monkeypatch.setattr(sizing, "local_card", lambda: 80 * GIB)
    monkeypatch.setattr(sizing, "shape_of", lambda spec: LLAMA_8B)
    chosen = resolve_auto(spec, None, lines.append)
    assert chosen.trial.workers_config.memory == "remainder"
    assert len(lines) == 1 and lines[0].startswith("trial.memory auto: remainder, the most exact recipe that fits")
    assert resolve_auto(chosen, None, lines.append) is chosen
    on_cpus = load_spec("quickstart", ["trial.precision=bf16"])
    assert resolve_auto(on_cpus, None, lines.append).trial.memory == "exact"

    def unknown(spec: SweepSpec) -> DecoderShape:
        raise UnknownModel("no sizes")

    monkeypatch.setattr(sizing, "shape_of", unknown)
    assert resolve_auto(spec, None, lines.append).trial.memory == "exact"
    assert lines[1:] == ["trial.memory auto: exact, because the need for memory is unknown: no sizes"]


def test_models_that_were_fine_tuned_under_other_recipes_have_other_names(tmp_path: Path) -> None:
    half = "trial.precision=bf16"
    keys = {
        memory: layout(load_spec("quickstart", [half, f"trial.memory={memory}"]), tmp_path).target.key
        for memory in ("auto", "exact", "remainder", "stochastic")
    }
    assert keys["auto"] == keys["exact"] and len(set(keys.values())) == 3


def test_workers_of_one_trial_never_share_a_gpu() -> None:
    assert size(auto("trial.workers=2"), shape_of(auto()), H100).gpus == 1


def test_a_frozen_model_counts_if_a_method_reads_it_and_fine_tuning_counts_if_it_is_needed(tmp_path: Path) -> None:
    plain = size(auto("search.method=npo_rt"), LLAMA_1B, H100)
    frozen = size(auto("search.method={choice: [npo_rt, npo_kl]}"), LLAMA_1B, H100)
    assert frozen.predicted - plain.predicted == 4 * LLAMA_1B.parameters
    adapters = "trial.lora={rank: 8}"
    assert size(auto("search.method=npo_rt", adapters), LLAMA_1B, H100).predicted == plain.predicted
    (tmp_path / "config.json").write_text("{}")
    folders = f"model={{target: {tmp_path}, retain: {{0.1: {tmp_path}, 0.2: {tmp_path}, 0.3: {tmp_path}}}}}"
    finished = auto("search.method=npo_rt", adapters, "search.forget_fraction={choice: [0.1, 0.2, 0.3]}", folders)
    assert size(finished, LLAMA_1B, H100).predicted < plain.predicted / 2


def test_without_a_gpu_the_share_is_0_and_a_budget_of_gpu_hours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    lines: list[str] = []
    assert resolve_auto(auto(), None, lines.append).trial.gpus == 0
    assert len(lines) == 1 and lines[0].startswith("trial.gpus_per_worker auto: 0, for ")
    number = load_spec("quickstart", ["trial.gpus_per_worker=0.5"])
    assert resolve_auto(number, None, lines.append).trial == number.trial.model_copy(update={"memory": "exact"})
    with pytest.raises(SpecErrors, match="never used up"):
        resolve_auto(auto("budget.gpu_hours=1"), None, lines.append)


def test_the_plan_shows_the_prediction_and_why(tmp_path: Path) -> None:
    node = {"CPU": 8.0, "GPU": 1.0}
    plan = make_plan(auto(), tmp_path, [node], card=lambda: H100)
    memory = plan.resources["memory"]
    assert (plan.errors, plan.resources["gpus_per_worker"], plan.resources["slots"]) == ([], 0.125, 8)
    assert memory["share"] == 0.125 and memory["why"] == "1/8 of a GPU of 80.0 GiB holds it"
    passing = ("activations", "evaluation", "update")
    largest = max(memory["parts"].get(name, 0) for name in passing)
    states = sum(bytes_ for name, bytes_ in memory["parts"].items() if name not in passing)
    assert memory["predicted_bytes"] == states + largest + CUDA_CONTEXT
    json.dumps(plan.to_json(), allow_nan=False)
    lines = " ".join(" ".join(plan_lines(plan)).split())
    assert "MiB per worker = weights and optimizer" in lines and "; 1/8 of a GPU of 80.0 GiB holds it" in lines
    assert "recipes" not in lines  # of float32 there is one
    half = make_plan(auto("trial.precision=bf16"), tmp_path, [node], card=lambda: H100)
    lines = " ".join(" ".join(plan_lines(half)).split())
    assert "recipes trial.memory exact; exact 16 B/parameter, " in lines and "; stochastic 6.1 B/parameter, " in lines
    on_cpus = make_plan(load_spec("quickstart", ["trial.precision=bf16"]), tmp_path, [{"CPU": 2.0}])
    assert "CUDA" not in " ".join(plan_lines(on_cpus))
    assert half.resources["memory"]["recipes"][0]["fits"] is True
    small = make_plan(auto(), tmp_path, [node], card=lambda: GIB // 2)
    assert len(small.errors) == 1 and small.errors[0].startswith("trial.gpus_per_worker auto: a worker would take")
    without = make_plan(load_spec("quickstart"), tmp_path, [{"CPU": 2.0}])
    assert without.resources["memory"]["why"] == "no GPU"


def test_sizes_come_from_the_models_configuration(tmp_path: Path) -> None:
    config = {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8}
    config |= {"head_dim": 64, "intermediate_size": 8192, "vocab_size": 128_256, "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert shape_of(auto(f"model.base={tmp_path}")) == LLAMA_1B
    for change, word in (({"num_local_experts": 8}, "mixture of experts"), ({"hidden_size": None}, "hidden_size")):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(UnknownModel, match=word):
            shape_of(auto(f"model.base={tmp_path}"))


def test_the_smallest_visible_gpu_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a script in place of nvidia-smi, which this machine may not have; it records its arguments."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nprintf "81559\\n40960\\n"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert local_card() == card_bytes() == 40 * GIB
    assert "--id=0,3" in (tmp_path / "asked").read_text()
    program.write_text("#!/bin/sh\necho '[N/A]'\n")
    with pytest.raises(UnknownGpu, match=r"nvidia-smi must say .*; write a number"):
        card_bytes()
