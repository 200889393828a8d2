"""The pages of the methods: current, complete, and made without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.cards import INDEX, card, declared_in, facts, main, pages
from trainables.methods import METHODS, Method
from trainables.methods.ga import GA

ROOT = Path(__file__).resolve().parents[2]
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)


def test_the_pages_are_current() -> None:
    """After a change of a method: `python -m trainables.cards`, and remove the page of a method that is gone."""
    written = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "docs" / "methods").glob("*.md")}
    expected = pages()
    assert sorted(written) == sorted(expected)
    assert [name for name, text in expected.items() if written[name] != text] == []


@every_method
def test_a_page_says_all_that_is_declared(method: Method) -> None:
    page = card(method)
    assert page.startswith(f"# {method.name}\n")
    assert "\n    " in page, "an equation, as an indented block"
    assert method.source in page
    for name, each in method.hyperparameters.items():
        row = re.search(rf"^\| `{name}` \| (\S+) \| (\S+) to ([^ ,]+)(, log)? \| (.+) \|$", page, re.MULTILINE)
        assert row is not None, name
        assert [float(value) for value in row.groups()[:3]] == [each.default, each.low, each.high]
        assert bool(row[4]) == each.log
        assert row[5].strip()


@every_method
def test_a_method_has_one_file(method: Method) -> None:
    module = declared_in(method)
    assert any(value is method for value in vars(module).values())
    assert module.__name__ != "trainables.methods.method"


def test_facts_differ_where_methods_do() -> None:
    assert facts(METHODS["npo"])["Reads of the target model"].startswith("log-probabilities")
    assert facts(METHODS["undial"])["Reads of the target model"].startswith("logits")
    assert "ZeRO" in facts(METHODS["gru"])
    assert "ZeRO" not in facts(METHODS["npo"])
    assert facts(METHODS["idk_rt"])["Mean over"].startswith("the answer tokens of the other answers")


def test_markdown_sees_no_tags_or_emphasis_in_prose() -> None:
    for method in METHODS.values():
        for line in card(method).splitlines():
            if not line.startswith("    "):
                prose = "".join(line.split("`")[::2])
                assert not re.search(r"(?<!\\)[<*]", prose), line


def test_the_index_links_every_page() -> None:
    linked = re.findall(r"\]\((\S+)\)", pages()[INDEX])
    assert linked == [f"{name}.md" for name in METHODS]


def test_a_method_of_no_file_is_said() -> None:
    with pytest.raises(LookupError, match="no file has it"):
        declared_in(GA.with_retain("ga_new", "nll"))


def test_the_command_writes_every_page(tmp_path: Path) -> None:
    main(tmp_path / "cards")
    assert {file.name for file in (tmp_path / "cards").iterdir()} == set(pages())


def test_making_the_pages_loads_no_torch() -> None:
    code = "import sys; from trainables.cards import pages; pages(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
