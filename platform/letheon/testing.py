"""Contract tests for your own code, as classes that pytest collects from a file of yours: `docs/plugins.md`.

    class TestMyNpo(MethodContract):
        method = MY_NPO

The built-in methods pass the same checks, which `trainables.plugins.contract` has as functions.
"""

from __future__ import annotations

from typing import ClassVar

from letheon.methods import Method


class MethodContract:
    """What every method promises. Set `method`; pytest runs one test per promise."""

    method: ClassVar[Method]

    def test_declarations_agree(self) -> None:
        """What a mechanism reads is declared, and defaults and both ends of every range make a trial."""
        _check("declarations_agree", self.method)

    def test_loss_is_one_number_per_row(self) -> None:
        """A float tensor (rows,), finite and with finite gradients, at defaults and both ends of every range."""
        _check("loss_is_one_number_per_row", self.method)

    def test_loss_moves_the_model(self) -> None:
        """Some score of the model in training has a gradient."""
        _check("loss_moves_the_model", self.method)

    def test_rows_are_independent(self) -> None:
        """Workers and micro-batches may split the rows as they like."""
        _check("rows_are_independent", self.method)

    def test_no_rows_are_a_valid_part(self) -> None:
        """A worker may have none of a batch."""
        _check("no_rows_are_a_valid_part", self.method)

    def test_only_answers_count(self) -> None:
        """Positions outside of the answers change nothing."""
        _check("only_answers_count", self.method)

    def test_the_reference_is_frozen(self) -> None:
        """No gradient reaches the target model."""
        _check("the_reference_is_frozen", self.method)

    def test_float32_survives_certainty(self) -> None:
        """Finite where probabilities are 0 or 1 to the last bit."""
        _check("float32_survives_certainty", self.method)

    def test_broken_models_are_not_hidden(self) -> None:
        """NaN stays NaN."""
        _check("broken_models_are_not_hidden", self.method)

    def test_other_functions_return_numbers(self) -> None:
        """`combine` and `multiplier` return finite numbers."""
        _check("other_functions_return_numbers", self.method)


def _check(name: str, method: Method) -> None:
    from trainables.plugins import contract  # imports torch

    getattr(contract, name)(method)
