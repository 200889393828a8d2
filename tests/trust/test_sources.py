"""No source of Letheon may load pickles, run data as code or pass strings to a shell.

The rules read the syntax tree, so they also cover code that no test runs. `test_loading` tests what libraries do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("platform/letheon", "trainables", "benchmarks")

UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}
SAFE_YAML = {"yaml.safe_load", "yaml.safe_dump", "yaml.parse", "yaml.compose", "yaml.dump"}

ALLOWED = {
    # Names from tables or folders of Letheon itself, never from a user's file.
    "benchmarks/gpu/run.py: importlib.import_module": 1,
    "platform/letheon/__init__.py: importlib.import_module": 1,
    "platform/letheon/api/watch.py: importlib.import_module": 1,
    "trainables/methods/pages.py: importlib.import_module": 1,
    "trainables/data/benchmarks/registry.py: import_module": 1,
    "trainables/evaluation/harness.py: importlib.import_module": 2,
    # DeepSpeed's optimizer shards are pickles. A sweep reads only its own, after it has checked their digests, and
    # neither registers nor pulls them.
    "trainables/training/engine.py: load_checkpoint": 1,
}


def sources() -> list[Path]:
    return sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


def called(node: ast.Call) -> str:
    """`a.b.c` of `a.b.c(…)`."""
    return ast.unparse(node.func)


def argument(node: ast.Call, name: str) -> object:
    """The keyword's value if it is a constant, else its node; None without it."""
    for keyword in node.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else keyword.value
    return None


def complaints(code: str) -> Iterator[str]:
    """The violations in a source."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"import {name}" for name in names if name.partition(".")[0] in UNPICKLERS)
        elif isinstance(node, ast.Call):
            yield from _of_call(node, called(node))


def _of_call(node: ast.Call, name: str) -> Iterator[str]:
    last = name.rpartition(".")[2]
    if name in BUILTINS | SHELLS or name.startswith("os.exec") or last == "import_module":
        yield name
    if last == "load_checkpoint" or name.endswith("Tuner.restore"):
        yield last
    for switch in ("shell", "allow_pickle", "trust_remote_code"):
        if argument(node, switch) not in (None, False):
            yield f"{name}({switch}=…)"
    if name == "torch.load" and argument(node, "weights_only") is not True:
        yield "torch.load without weights_only"
    yield from _of_yaml(node, name)
    if last == "from_pretrained":
        if argument(node, "trust_remote_code") is not False:
            yield f"{name} without trust_remote_code=False"
        if "Model" in name and argument(node, "use_safetensors") is not True:
            yield f"{name} without use_safetensors=True"


def _of_yaml(node: ast.Call, name: str) -> Iterator[str]:
    if name.startswith("yaml.") and name not in SAFE_YAML:
        yield name
    if name in ("yaml.parse", "yaml.compose") and "SafeLoader" not in ast.unparse(node):
        yield f"{name} without SafeLoader"
    if name == "yaml.dump" and "SafeDumper" not in ast.unparse(node):
        yield "yaml.dump without SafeDumper"


def test_nothing_unpickles_or_runs_data_as_code() -> None:
    found: dict[str, int] = {}
    for file in sources():
        for complaint in complaints(file.read_text(encoding="utf-8")):
            key = f"{file.relative_to(ROOT)}: {complaint}"
            found[key] = found.get(key, 0) + 1
    assert found == ALLOWED


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import pickle", "import pickle"),
        ("def f():\n    from cloudpickle import loads", "import cloudpickle"),
        ("eval(text)", "eval"),
        ("os.system(text)", "os.system"),
        ("os.execvp(a, b)", "os.execvp"),
        ("subprocess.run(text, shell=True)", "subprocess.run(shell=…)"),
        ("subprocess.run(text, shell=flag)", "subprocess.run(shell=…)"),
        ("torch.load(path)", "torch.load without weights_only"),
        ("torch.load(path, weights_only=False)", "torch.load without weights_only"),
        ("np.load(path, allow_pickle=True)", "np.load(allow_pickle=…)"),
        ("yaml.load(text, Loader=yaml.Loader)", "yaml.load"),
        ("yaml.compose(text)", "yaml.compose without SafeLoader"),
        ("yaml.dump(data)", "yaml.dump without SafeDumper"),
        ("load_dataset(name, trust_remote_code=True)", "load_dataset(trust_remote_code=…)"),
        ("AutoTokenizer.from_pretrained(name)", "AutoTokenizer.from_pretrained without trust_remote_code=False"),
        (
            "AutoModel.from_pretrained(n, trust_remote_code=False)",
            "AutoModel.from_pretrained without use_safetensors=True",
        ),
        ("importlib.import_module(name)", "importlib.import_module"),
        ("Tuner.restore(path, f)", "restore"),
        ("model.eval(), re.compile(text), np.load(path), subprocess.run([a, b])", None),
        ("torch.load(path, weights_only=True)", None),
        ("yaml.safe_load(text), yaml.parse(text, Loader=yaml.SafeLoader)", None),
        ("AutoModel.from_pretrained(n, trust_remote_code=False, use_safetensors=True)", None),
    ],
)
def test_the_rules_find_violations_and_nothing_else(code: str, complaint: str | None) -> None:
    assert list(complaints(code)) == ([] if complaint is None else [complaint])
