"""Turns pydantic's errors into plain text: what is wrong with a setting, and what to write instead.

Every fix shows something that can be copied as it is. Independent of the file and its lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from letheon.common.errors import close_to, did_you_mean
from letheon.spec.model import DOMAIN_KINDS
from letheon.spec.source import KeyPath, dotted, flow

EXAMPLES: Mapping[str, str] = {
    "audit": "true, false or {attacks: [nf4, relearn]}",
    "benchmark": "{name: tofu}",
    "budget": "{trials: 16}",
    "constraints": "{forget_rouge: {max: 0.4}}",
    "evaluation": "{max_new_tokens: 32}",
    "evaluation.harness": "[hellaswag]",
    "model": "{base: tiny}",
    "model.recipe": "{epochs: 16}",
    "model.retain": "{0.1: path/to/a/model}",
    "model.retain_log": "{0.1: path/to/TOFU_EVAL.json}",
    "objectives": "{log10_forget_quality: max, model_utility: max}",
    "scheduler": "{name: asha, max_epochs: 6}",
    "scheduler.collapse": "{floor: 0.8, patience: 3}",
    "scheduler.probe": "{attacks: [relearn]}",
    "search": "{method: npo_rt, forget_fraction: 0.1, learning_rate: 1e-4}",
    "searcher": "{name: random}",
    "searcher.warm_start": "[name-of-a-sweep]",
    "seeds": "[0, 1, 2]",
    "trial": "{workers: 1, batch_size: 8}",
    "trial.deepspeed": "{zero_optimization: {stage: 2}}",
    "trial.gpus_per_worker": "0.25, 1 or auto",
    "trial.lora": "{rank: 16, alpha: 32}",
}
_CONSTRAINT = "{max: 0.4}"
_KINDS = {
    "model": ("is not a mapping of keys", "write it as {key: value}"),
    "dict": ("is not a mapping of keys", "write it as {key: value}"),
    "tuple": ("is not a list", "write it in brackets: [first, second]"),
    "list": ("is not a list", "write it in brackets: [first, second]"),
    "float": ("is not a number", "write a number such as 0.5 or 1e-5, without quotes"),
    "int": ("is not a whole number", "write a whole number such as 8, without quotes and leading zeros"),
    "bool": ("is neither true nor false", "write true or false"),
    "string": ("is not text", "write text, in quotes if it looks like a number"),
}
_SIGNS = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}
_PERCENT = 100


def rule_and_fix(detail: Mapping[str, Any], path: KeyPath, keys: list[str]) -> tuple[str, str]:
    """The rule and the fix for one pydantic error at `path`. `keys`: the known keys of the same section."""
    kind, value = detail["type"], detail["input"]
    if kind == "value_error":  # raised by a validator of ours, as `rule; fix`
        rule, _, fix = str(detail["ctx"]["error"]).partition("; ")
        return rule, fix or "correct this value"
    if kind == "extra_forbidden":
        return "unknown key", did_you_mean(str(path[-1]), keys)
    if kind == "union_tag_not_found":
        return _not_a_domain(value, str(path[-1]))
    if kind in _SIGNS:
        return _out_of_bounds(kind, next(iter(detail["ctx"].values())), path, value)
    return _by_type(detail, path)


def _by_type(detail: Mapping[str, Any], path: KeyPath) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    match kind:
        case "missing" if isinstance(detail["loc"][-1], int):
            return "has too few values", "give two: [first, second]"
        case "missing":
            return "is missing", f"add `{path[-1]}: …`"
        case "literal_error":
            options = re.findall(r"'([^']*)'", context["expected"])
            near = close_to(str(detail["input"]), options)
            return f"must be one of {', '.join(options)}", did_you_mean(near, [near]) if near else "write one of these"
        case "too_short" if context.get("actual_length") == 0:
            return "is an empty list", "list at least one value"
        case "too_short" | "too_long":
            return f"has {context['actual_length']} values", "give as many as the setting takes: [first, second]"
    rule, fix = _KINDS.get(kind.partition("_")[0], (_plain(str(detail["msg"])), "correct this value"))
    example = _CONSTRAINT if path[:1] == ("constraints",) and len(path) > 1 else EXAMPLES.get(dotted(path))
    return rule, f"write {example}" if example else fix


def _plain(message: str) -> str:
    """Pydantic's own message as `must …`."""
    text = message.replace("Input should", "must", 1)
    return text[:1].lower() + text[1:]


def _out_of_bounds(kind: str, bound: float, path: KeyPath, value: object) -> tuple[str, str]:
    sign = _SIGNS[kind]
    if "forget_fraction" in path and isinstance(value, int | float):
        share = f"{value / _PERCENT:g} for {value:g}%" if 1 < value < _PERCENT else "0.1 for 10%"
        return f"is a share of the data: must be {sign} {bound:g}", f"write {share}"
    if isinstance(value, int | float) and value < 0 <= bound:
        return f"must be {sign} {bound:g}", f"did you mean {-value:g}?"
    return f"must be {sign} {bound:g}", f"give a value {sign} {bound:g}"


def _not_a_domain(value: object, name: str) -> tuple[str, str]:
    """Why the value cannot be searched, and the closest one that can."""
    kinds = ", ".join(f"{{{kind}: […]}}" for kind in DOMAIN_KINDS)
    if value is None:
        return "is empty", f"give {name} a value or one of {kinds}"
    if isinstance(value, list | tuple):
        listed = {"choice": list(value)} if len(value) != 1 else value[0]
        return "is a list without a kind of domain", f"write {flow(listed)}"
    if isinstance(value, dict):
        if len(given := [key for key in value if key in DOMAIN_KINDS]) > 1:
            return f"has several kinds at once: {', '.join(given)}", f"keep exactly one of {kinds}"
        if meant := _probably_meant(value):
            return "is not a kind of domain", f"did you mean {meant}?"
    return "is not a kind of domain", f"give one value or exactly one of {kinds}"


def _probably_meant(value: Mapping[str, Any]) -> str | None:
    """The domain that was probably meant: misspelt, or as other sweep tools write it (`min`, `max`, `distribution`)."""
    if {"min", "max"} <= value.keys():
        kind = "loguniform" if "log" in str(value.get("distribution", "")) else "uniform"
        return flow({kind: [value["min"], value["max"]]})
    if isinstance(values := value.get("values"), list):
        return flow({"choice": values})
    if len(value) == 1:
        key, inner = next(iter(value.items()))
        near = close_to(str(key), DOMAIN_KINDS)
        return flow({near: inner}) if near else flow(inner) if key == "value" else None
    return None
