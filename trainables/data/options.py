"""Which options each benchmark has; others are refused, never ignored. Reads no data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trainables.config import BenchmarkConfig

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "fictional": ("people", "seed", "evaluation_rows"),
    "tofu": ("path", "revision", "people", "evaluation_rows"),
    "lume": ("path", "revision", "tasks", "evaluation_rows"),
    "muse": ("path", "revision", "corpus", "evaluation_rows"),
    "qa": ("forget", "retain", "utility", "holdout", "evaluation_rows"),
    "text": ("forget", "retain", "utility", "holdout", "evaluation_rows"),
    "synthetic": ("alpha",),
}
REQUIRED: Mapping[str, tuple[str, ...]] = {"qa": ("forget", "retain"), "text": ("forget", "retain")}


def option_problems(config: BenchmarkConfig) -> Iterator[str]:
    """Problems of the options themselves, one sentence each: `option=value: rule; fix`."""
    mine = OPTIONS[config.name]
    for option, field in BenchmarkConfig.model_fields.items():
        value = getattr(config, option)
        if option == "name" or option in mine or value == field.default:
            continue
        others = ", ".join(name for name, options in OPTIONS.items() if option in options)
        yield f"{option}={value!r}: {config.name} has no such option, only {others}; leave it out"
    for option in REQUIRED.get(config.name, ()):
        if getattr(config, option) is None:
            yield f"{option}=None: {config.name} needs a JSONL file here; give its path"
    if config.path is not None and config.revision is not None and "revision" in mine:
        yield f"revision={config.revision!r}: only the hub has revisions, a folder does not; leave out revision or path"
    if config.tasks == ():
        yield "tasks=(): at least one task is needed; list one, or leave tasks out for all"
