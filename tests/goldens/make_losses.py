"""Runs the losses of published code on fixed rows and writes the results: `losses.json`, which tests compare with.

    python -m tests.goldens.make_losses --peers FOLDER --out tests/goldens/losses.json

FOLDER has checkouts of the repositories that `tests.goldens.peer_code` names, none of them changed. They are run with
the versions that open-unlearning pins (transformers 4.45.1, accelerate 0.34.2, deepspeed), in float64 throughout.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.goldens import exact_model, peer_npo, peer_open_unlearning, peer_others
from tests.goldens.loss_rows import PARTITIONS, Tokenization, tokenizations
from tests.goldens.measured import DIRECTIONS, Case, Found, step
from tests.goldens.peer_code import REPOSITORIES, Checkout


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peers", type=Path, required=True, help="folder of the checkouts")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    checkouts = {name: Checkout(given.peers / name) for name in REPOSITORIES}
    commits = {name: checkout.commit for name, checkout in checkouts.items()}
    cases = [
        *peer_open_unlearning.cases(checkouts[peer_open_unlearning.PEER]),
        *peer_npo.cases(checkouts[peer_npo.PEER]),
        *peer_others.cases(checkouts),
    ]
    rows = tokenizations()
    content = {
        "about": "Losses and gradients of published code on fixed rows; made by tests/goldens/make_losses.py.",
        "made with": made_with(),
        "peers": {
            name: {"repository": f"https://github.com/{where}", "commit": commits[name]}
            for name, where in REPOSITORIES.items()
        },
        "model": {"seed": exact_model.SEED, "noise_seed": exact_model.NOISE_SEED, "noise": exact_model.NOISE},
        "directions": DIRECTIONS,
        "parameters": sorted(name for name, _ in exact_model.exact_model().named_parameters()),
        "partitions": {name: partition.workers for name, partition in PARTITIONS.items()},
        "rows": {name: written(tokens) for name, tokens in rows.items()},
        "cases": [entry for case in cases for entry in results(case, cases, rows)],
    }
    given.out.write_text(as_text(content), encoding="utf-8")
    print(f"{len(cases)} cases in {given.out} ({given.out.stat().st_size // 1024} KiB)")


def made_with() -> dict[str, str]:
    return {
        "command": "python -m tests.goldens.make_losses --peers FOLDER --out tests/goldens/losses.json",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
    }


def written(tokens: Tokenization) -> dict[str, Any]:
    kinds = {name: [[row.answer, *row.ids] for row in getattr(tokens.rows, name)] for name in asdict(tokens.rows)}
    return {"pad": tokens.pad, "end": tokens.end, "(answer start, tokens) of each row": kinds}


def results(case: Case, cases: list[Case], rows: dict[str, Tokenization]) -> list[dict[str, Any]]:
    """The case on every tokenization and partition that it is for."""
    print(f"{case.peer}: {case.name}", file=sys.stderr)
    found = []
    for name, tokens in rows.items():
        for partition in case.partitions:
            made = step(case, tokens, PARTITIONS[partition])
            entry = {"case": case.name, "peer": case.peer, "code": case.code, "hyper": dict(case.hyper)}
            if case.note:
                entry["note"] = case.note
            entry |= {"rows": name, "partition": partition, **made.record(each_parameter=partition == "one")}
            if case.against:
                entry["distance"] = {"to": case.against, **made.distance(plain(case, cases, tokens))}
            found.append(entry)
    return found


def plain(case: Case, cases: list[Case], tokens: Tokenization) -> Found:
    """What the distance of a case is measured to, on the same rows in one micro-batch."""
    (other,) = (each for each in cases if each.peer == case.peer and each.name == case.against)
    return step(other, tokens, PARTITIONS["one"])


def as_text(content: dict[str, Any]) -> str:
    """JSON with one case a line: readable, and its changes too. Floats have all their digits."""
    cases = ",\n".join("  " + json.dumps(entry) for entry in content["cases"])
    head = json.dumps({name: value for name, value in content.items() if name != "cases"}, indent=1)
    return f'{head[:-2]},\n "cases": [\n{cases}\n ]\n}}\n'


if __name__ == "__main__":
    main()
