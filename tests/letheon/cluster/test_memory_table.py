"""The tables of docs/memory.md that follow from the predictor. `python -m tests.letheon.cluster.test_memory_table`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from letheon.cluster.sizing import size, with_recipe
from letheon.spec.load import load_spec
from tests.test_architecture import ROOT
from trainables.model.gpu_share import GIB
from trainables.model.memory import RECIPES, DecoderShape

MIB = 2**20
SHAPES = {
    "1.24 B": DecoderShape(1_235_814_400, layers=16, hidden=2048, keys=1024, inner=8192, vocabulary=128_256),
    "3.2 B": DecoderShape(3_212_749_824, layers=28, hidden=3072, keys=2048, inner=8192, vocabulary=128_256),
    "8 B": DecoderShape(8_030_261_248, layers=32, hidden=4096, keys=2048, inner=14_336, vocabulary=128_256),
}
"""Llama-3.2-1B, Llama-3.2-3B, Llama-3.1-8B."""
CARDS = {"12 GB": 12_288 * MIB, "24 GB": 24_564 * MIB, "48 GB": 49_140 * MIB, "80 GB": 81_559 * MIB}
"""Memory of an RTX 3060, RTX 4090, L40 and H100 as nvidia-smi reports it."""
SPEC = load_spec(
    "quickstart",
    [
        "trial.precision=bf16",
        "trial.gpus_per_worker=1",
        "trial.batch_size=32",
        "search={method: npo_rt, forget_fraction: 0.1, beta: 0.1, learning_rate: 1.0e-5}",
    ],
)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def needs() -> Iterator[str]:
    """GiB per worker, with passes of at most 8,192 tokens."""
    yield row("model", *RECIPES)
    yield row(*["---"] * (1 + len(RECIPES)))
    for name, shape in SHAPES.items():
        found = size(SPEC, shape, CARDS["80 GB"]).recipes
        yield row(name, *(f"{need.predicted / GIB:.1f}" for need in found.values()))


def choices() -> Iterator[str]:
    """What `trial.memory: auto` takes."""
    yield row("model", *CARDS)
    yield row(*["---"] * (1 + len(CARDS)))
    for name, shape in SHAPES.items():
        found = [size(SPEC, shape, card) for card in CARDS.values()]
        yield row(name, *(one.recipe if one.recipes[one.recipe].fits else "none fits" for one in found))


@pytest.mark.parametrize("table", [needs, choices])
def test_the_page_has_the_predictors_table(table: object) -> None:
    assert callable(table)
    assert "\n".join(table()) in (ROOT / "docs" / "memory.md").read_text(encoding="utf-8")


def test_larger_cards_never_get_a_less_exact_recipe_and_what_is_taken_fits() -> None:
    order = list(RECIPES)
    for shape in SHAPES.values():
        found = [size(SPEC, shape, GIB * gib) for gib in range(4, 192, 4)]
        places = [order.index(one.recipe) for one in found]
        assert places == sorted(places, reverse=True)
        assert places[-1] == 0 and places[0] == len(order) - 1
        for one, place in zip(found, places, strict=True):
            fits = [need.fits for need in one.recipes.values()]
            assert not any(fits[:place]) and (fits[place] or place == len(order) - 1)
            asked = size(with_recipe(SPEC, one.recipe), shape, one.card)
            assert (asked.need, asked.share) == (one.need, one.share)


if __name__ == "__main__":
    print(*needs(), "", *choices(), sep="\n")
