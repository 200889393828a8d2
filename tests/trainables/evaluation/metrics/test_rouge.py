"""ROUGE is the reference package's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from trainables.evaluation.metrics.rouge import lcs_length, rouge, rouge_l_recall

SCORER = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
words = st.sampled_from(["the", "author's", "Running", "runs", "ran,", "novels", "1957", "—", "é", "", "novel", "\n"])
texts = st.lists(words, max_size=80).map(" ".join) | st.text(max_size=60)


@given(texts, texts)
def test_equals_the_package(reference: str, generated: str) -> None:
    expected = SCORER.score(reference, generated)
    found = rouge(reference, generated)
    assert found.rouge_1_recall == pytest.approx(expected["rouge1"].recall, abs=1e-12)
    assert found.rouge_l_recall == pytest.approx(expected["rougeL"].recall, abs=1e-12)
    assert found.rouge_l_f1 == pytest.approx(expected["rougeL"].fmeasure, abs=1e-12)
    assert rouge_l_recall(reference, generated) == found.rouge_l_recall


@given(st.text("abc", max_size=100), st.text("abc", max_size=100))
def test_lcs_length_is_the_textbook_recursion(first: str, second: str) -> None:
    row = [0] * (len(second) + 1)
    for a in first:
        above = row
        row = [0]
        for j, b in enumerate(second):
            row.append(above[j] + 1 if a == b else max(row[j], above[j + 1]))
    assert lcs_length(first, second) == row[-1]
