"""Planted models and data sets are loaded for real; their code must not run, whatever their files say."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jinja2 import Template

from trainables.model.load import load_model, save_model, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    tokenizer = tiny_tokenizer(["What is remembered? Nothing."])
    save_model(folder, tiny_model(tokenizer, seed=0), tokenizer)
    return folder


@pytest.fixture
def folder(honest: Path, tmp_path: Path) -> Path:
    """A copy to tamper with, with code that creates a file `ran` next to it when it is imported."""
    copy = tmp_path / "model"
    copy.mkdir()
    for file in honest.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    code = (
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "from transformers import LlamaConfig as Evil, LlamaForCausalLM, PreTrainedTokenizerFast\n"
    )
    (copy / "evil.py").write_text(code)
    return copy


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path) -> Iterator[None]:
    """At the end of every test."""
    yield
    assert not (tmp_path / "ran").exists()


def change(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **values}))


AUTO_MAP = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.LlamaForCausalLM"}
TOKENIZER_MAP = {"AutoTokenizer": ["evil.PreTrainedTokenizerFast", "evil.PreTrainedTokenizerFast"]}


def test_code_in_the_folder_of_a_known_model_is_ignored(folder: Path, tmp_path: Path) -> None:
    change(folder / "config.json", auto_map=AUTO_MAP)
    change(folder / "tokenizer_config.json", auto_map=TOKENIZER_MAP)
    model, tokenizer = load_model(str(folder))
    assert type(model).__module__.startswith("transformers.") and type(tokenizer).__module__.startswith("transformers.")


def test_a_model_that_is_only_code_is_refused(folder: Path, tmp_path: Path) -> None:
    change(folder / "config.json", auto_map=AUTO_MAP, model_type="evil")
    with pytest.raises(ValueError, match=r"custom code|trust_remote_code|does not recognize"):
        load_model(str(folder))


def test_a_tokenizer_that_is_only_code_is_not_run(folder: Path, tmp_path: Path) -> None:
    change(folder / "tokenizer_config.json", auto_map=TOKENIZER_MAP, tokenizer_class="EvilTokenizer")
    try:
        _, tokenizer = load_model(str(folder))
        assert type(tokenizer).__module__.startswith("transformers.")
    except ValueError:
        pass  # refused is as good


class Bomb:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_the_bomb_works_when_it_is_loaded(tmp_path: Path) -> None:
    torch.save(Bomb(tmp_path / "ran"), tmp_path / "bomb.pt")
    torch.load(tmp_path / "bomb.pt", weights_only=False)
    (tmp_path / "ran").unlink()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_are_refused_unread(name: str, folder: Path, tmp_path: Path) -> None:
    torch.save({"weight": Bomb(tmp_path / "ran")}, folder / name)
    load_model(str(folder))  # ignored if there are safetensors
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=f"{name}, pickled weights"):
        load_model(str(folder))


def test_a_pickle_renamed_to_safetensors_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(Exception, match=r"(?i)header|safetensor"):
        load_model(str(folder))


def test_a_chat_template_cannot_reach_python(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    escape = "{{ cycler.__init__.__globals__.os.system('touch " + str(mark) + "') }}"
    Template(escape).render()  # without a sandbox it works
    mark.unlink()
    (folder / "chat_template.jinja").write_text(escape)
    _, tokenizer = load_model(str(folder))
    with pytest.raises(Exception, match=r"(?i)unsafe|undefined"):
        tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)


def test_a_script_in_a_folder_of_data_is_not_run(tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(Exception, match=r"(?i)script|data ?files|supported"):
        load_dataset(str(folder))
    with pytest.raises(Exception, match=r"(?i)script|data ?files|supported"):
        load_dataset(str(folder / "evil.py"))


def test_objects_in_yaml_are_not_created(tmp_path: Path) -> None:
    from letheon.common.errors import SpecErrors
    from letheon.spec.load import load_spec

    space = tmp_path / "space.yaml"
    space.write_text(f"name: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'ran'}]\n")
    with pytest.raises(SpecErrors, match="not allowed"):
        load_spec(space)
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(space.read_text())
