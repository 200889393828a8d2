"""Hidden packages look absent, and garbage collection pauses, only within their blocks."""

from __future__ import annotations

import gc
import sys

import pytest

from trainables.runtime.imports import gc_paused, hide_packages


def test_hidden_packages_cannot_be_imported_but_imported_ones_stay() -> None:
    with hide_packages("tabnanny"), pytest.raises(ImportError):
        import tabnanny
    import tabnanny

    with hide_packages("tabnanny"):
        assert sys.modules["tabnanny"] is tabnanny


def test_garbage_collection_pauses_within_the_block_and_is_then_restored() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError), gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            pass
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
