"""Coverage-guided fuzzing of one target with atheris: `python tests/fuzz/guided.py spec 300` (seconds).

Needs atheris (`pip install atheris`), which the lock does not have. Ends with 1 and the input in `crash-…` for
anything that a target does not document; a crash belongs into the seeds or the bombs of the tests.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]


def main(name: str, seconds: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["letheon", "trainables", "yaml", "json"]):
        from tests.fuzz.targets import TARGETS, TOKENS, seeds

    with tempfile.TemporaryDirectory(prefix="fuzzed-") as folder:
        corpus, words = Path(folder) / "corpus", Path(folder) / "words"
        corpus.mkdir()
        for i, seed in enumerate(seeds()[name]):
            (corpus / f"seed-{i}").write_bytes(seed)
        # libFuzzer's dictionary: quoted, with bytes in hex.
        words.write_text(
            "".join(
                '"{}"\n'.format("".join(f"\\x{byte:02x}" for byte in token)) for token in TOKENS if 0 < len(token) < 64
            )
        )
        options = [
            f"-max_total_time={seconds}",
            "-max_len=20000",
            "-timeout=20",
            "-rss_limit_mb=2048",
            f"-dict={words}",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:3])
