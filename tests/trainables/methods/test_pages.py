"""The pages of the methods are current."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.methods import METHODS
from trainables.methods.ga import GA
from trainables.methods.pages import declared_in, main, pages

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "methods"
COVERAGE = "coverage.md"
"""Written by hand: which paper is covered by what."""


def test_the_pages_are_current() -> None:
    """After a change of a method: `python -m trainables.methods.pages`, and remove the page of a method that
    is gone."""
    written = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.md") if file.name != COVERAGE}
    expected = pages()
    assert sorted(written) == sorted(expected)
    assert [name for name, text in expected.items() if written[name] != text] == []


def test_a_method_that_no_file_declares_is_an_error() -> None:
    with pytest.raises(LookupError, match="no file has it"):
        declared_in(GA.with_retain("ga_new", "nll"))


def test_the_command_writes_every_page(tmp_path: Path) -> None:
    main(tmp_path / "cards")
    assert {file.name for file in (tmp_path / "cards").iterdir()} == set(pages())


def test_every_method_is_on_the_page_of_the_papers() -> None:
    text = (FOLDER / COVERAGE).read_text(encoding="utf-8")
    assert [name for name in METHODS if f"[`{name}`]({name}.md)" not in text] == []
