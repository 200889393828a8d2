"""The page of faults names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[^`:]+)?(?:::(\w+))?`")


def test_every_test_that_the_page_names_exists() -> None:
    text = (ROOT / "docs" / "faults.md").read_text()
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == [str(number) for number in range(1, 36)]
    file, count = "", 0
    for found in NAMED.finditer(text):
        file = found[1] or file
        if found[1] or found[2]:
            count += 1
            assert f"def {found[2] or 'test_'}" in (ROOT / file).read_text(), found[0]
    assert count > 50
