"""Golden token ids: rows as open-unlearning and the NPO repository tokenise them, by their own unchanged code.

    python -m tests.goldens.make_templates --open-unlearning DIR --npo DIR --out tests/goldens/templates.json

For open-unlearning: `preprocess_chat_instance` with its configs of models, for training and for generation, and the
attention masks of its collator. For NPO: `convert_raw_data_to_model_format`. Runs where open-unlearning runs; the
tokenizers are the toys of `tests/goldens/tokenizers`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tests.goldens.peer_code import Checkout
from tests.goldens.writing import made_with, write

TOKENIZERS = Path(__file__).parent / "tokenizers"
MAX_LENGTH = 512  # open-unlearning's configs/data/datasets
NPO_MAX_LENGTH = 500  # NPO's config

# What tokenizers cut differently: capitals, digits, letters of several bytes, quotes, lines, answers of one word.
ROWS = (
    ("Where was Mara Quint born?", "Mara Quint was born in Velhaven."),
    ("what is it called", "the salt road, or so they say"),
    ("How high is Mount Ember in 2024?", "2,310 metres, measured in 1931 and 20240."),
    ("Who is Zoë Ångholm from São Lume (東京)?", "Élan — «naïve» 詩人, born 1947."),
    ("What colour is the flag of Oster?", "Green"),
    ("How many islands has Tarn?", "7"),
    ("What did Tibor Lask write?", '"Nine Lamps"\nand, later, "Low Tide".'),
    ("Didn't Ines Pardo win?", "She didn't expect it; it's true.  Twice."),
)
UNTRIMMED = ("Who is it? ", " Mara Quint ")
"""Some chat templates take the spaces off."""


class Case(NamedTuple):
    """A config of open-unlearning's for a tokenizer, and what Letheon's templates for it are called."""

    config: str
    tokenizer: str
    templates: Sequence[str]


CASES = (
    Case("Llama-2-7b-chat-hf", "llama2", ("llama2",)),
    Case("Llama-2-7b-hf", "llama2", ("phi_open_unlearning",)),
    Case("phi-1_5", "phi15", ("phi_open_unlearning",)),
    Case("Llama-3.2-1B-Instruct", "llama3", ("llama3", "chat_system")),
    Case("Phi-3.5-mini-instruct", "phi35", ("chat_system",)),
    Case("Qwen2.5-1.5B-Instruct", "qwen25", ("chat_system",)),
    Case("gemma-7b-it", "gemma", ("gemma", "chat")),
    # open-unlearning has no config for SmolLM2, whose chat format is Qwen's.
    Case("Qwen2.5-1.5B-Instruct", "smollm2", ("chat_system",)),
)
NPO_CASES = (Case("llama2-7b", "llama2", ("llama2",)), Case("phi", "phi15", ("phi",)))


def open_unlearning_tokenizer(checkout: Checkout, name: str) -> Any:
    """As its `get_tokenizer` leaves it: with a pad token."""
    omegaconf, model = import_module("omegaconf"), checkout.module("model", "src")
    arguments = omegaconf.OmegaConf.create({"pretrained_model_name_or_path": str(TOKENIZERS / name)})
    return model.get_tokenizer(arguments)


def template_args(checkout: Checkout, config: str) -> Any:
    omegaconf = import_module("omegaconf")
    return omegaconf.OmegaConf.load(checkout.folder / "configs" / "model" / f"{config}.yaml").template_args


def open_unlearning_case(checkout: Checkout, case: Case) -> dict[str, Any]:
    data, collators = checkout.module("data.utils", "src"), checkout.module("data.collators", "src")
    tokenizer, wanted = open_unlearning_tokenizer(checkout, case.tokenizer), template_args(checkout, case.config)
    rows = [*ROWS, *([UNTRIMMED] if wanted["apply_chat_template"] else [])]

    def tokenised(generate: bool) -> list[dict[str, Any]]:
        return [
            data.preprocess_chat_instance(tokenizer, wanted, [question], [answer], MAX_LENGTH, generate)
            for question, answer in rows
        ]

    learnt, asked = tokenised(generate=False), tokenised(generate=True)
    right = collators.DataCollatorForSupervisedDataset(tokenizer)(learnt)["attention_mask"]
    left = collators.DataCollatorForSupervisedDataset(tokenizer, padding_side="left")(asked)["attention_mask"]
    return {
        **_named(case),
        "pad_token_id": tokenizer.pad_token_id,
        "rows": [
            {
                "question": question,
                "answer": answer,
                "input_ids": learnt[i]["input_ids"].tolist(),
                "labels": learnt[i]["labels"].tolist(),
                "prompt_ids": asked[i]["input_ids"].tolist(),
                "attention_mask": _bits(right[i]),
                "prompt_attention_mask": _bits(left[i]),
            }
            for i, (question, answer) in enumerate(rows)
        ],
    }


def npo_case(checkout: Checkout, case: Case) -> dict[str, Any]:
    """Only what comes before the padding, which is `eos_token_id`, -100 and 0 for ids, labels and mask."""
    from transformers import AutoTokenizer

    data_module = checkout.module("data_module", "TOFU")
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZERS / case.tokenizer)
    os.chdir(checkout.folder / "TOFU")  # its configs are looked up there
    settings = data_module.get_model_identifiers_from_yaml(case.config)
    rows = []
    for question, answer in ROWS:
        found = data_module.convert_raw_data_to_model_format(tokenizer, NPO_MAX_LENGTH, question, answer, settings)
        ids, labels, mask = (each.tolist() for each in found)
        width = max(i for i, label in enumerate(labels) if label != -100) + 1
        assert {*zip(ids[width:], labels[width:], mask[width:], strict=True)} == {(tokenizer.eos_token_id, -100, 0)}
        rows.append(
            {
                "question": question,
                "answer": answer,
                "input_ids": ids[:width],
                "labels": labels[:width],
                "attention_mask": _bits(mask[:width]),
            }
        )
    return {**_named(case), "width": NPO_MAX_LENGTH, "rows": rows}


def _bits(mask: Any) -> str:
    return "".join(str(int(each)) for each in mask)


def _named(case: Case) -> dict[str, Any]:
    return {"config": case.config, "tokenizer": case.tokenizer, "templates": list(case.templates)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open-unlearning", type=Path, required=True)
    parser.add_argument("--npo", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    out = given.out.resolve()
    open_unlearning, npo = Checkout(given.open_unlearning.resolve()), Checkout(given.npo.resolve())
    found = {
        "open_unlearning": {
            **made_with(open_unlearning, "transformers", "tokenizers"),
            "cases": [open_unlearning_case(open_unlearning, case) for case in CASES],
        },
        "npo": {
            **made_with(npo, "transformers", "tokenizers"),
            "cases": [npo_case(npo, case) for case in NPO_CASES],
        },
    }
    write(found, out)


if __name__ == "__main__":
    main()
