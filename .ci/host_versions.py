"""Runs tests on the torch and transformers of a GPU host, on a machine without a GPU.

    python .ci/host_versions.py FOLDER TEST …

FOLDER gets these releases, which then come before those of the environment. The CUDA build of torch needs NVIDIA's
libraries to be imported, gigabytes of them; empty ones with the same symbols take their place, so nothing that a GPU
would do can run. Needs gcc, nm and readelf.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

RELEASES = ("torch==2.11.0", "transformers==5.17.0", "huggingface_hub==1.33.0", "httpx==0.28.1", "httpcore==1.0.9")
"""Versions on the GPU hosts that Letheon should run on, and what they require."""
SYMBOLS = {
    "libcublas.so.13": "cublas(?!Lt)",
    "libcublasLt.so.13": "cublasLt",
    "libcudnn.so.9": "cudnn",
    "libcufft.so.12": "cufft",
    "libcufile.so.0": "cuFile",
    "libcurand.so.10": "curand",
    "libcusolver.so.12": "cusolver",
    "libcusparse.so.12": "cusparse(?!Lt)",
    "libcusparseLt.so.0": "cusparseLt",
    "libnccl.so.2": "nccl|pnccl",
    "libnvshmem_host.so.3": ".*nvshmem",
}
"""Libraries that torch loads, and how the names begin that it takes from each."""


def output(*line: str) -> str:
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def asked_by(libraries: list[Path]) -> tuple[set[str], dict[str, set[str]]]:
    """Symbols that these libraries define nowhere themselves, and the versions that they ask of each other library."""
    defined, asked, versions = set[str](), set[str](), defaultdict[str, set[str]](set)
    for library in libraries:
        for line in output("nm", "-D", str(library)).splitlines():
            *_, kind, name = line.split()
            (asked if kind in "Uwv" else defined).add(name.partition("@")[0])
        of = ""
        for line in output("readelf", "-V", "-W", str(library)).splitlines():
            if file := re.search(r"File: (\S+)", line):
                of = file[1]
            if of and (name := re.search(r"Name: (\S+)", line)):
                versions[of].add(name[1])
    return asked - defined, versions


def make_empty_libraries(torch: Path, folder: Path) -> None:
    """Put one with the asked symbols, none of which does anything, for each of `SYMBOLS` into the folder."""
    folder.mkdir(parents=True)
    asked, versions = asked_by(list(torch.glob("lib/*.so*")))
    for library, beginning in SYMBOLS.items():
        names = sorted(name for name in asked if re.match(beginning, name) and name.isidentifier())
        source, script = folder / "empty.c", folder / "versions"
        source.write_text("\n".join(f"int {name}(void) {{ return 1; }}" for name in names) or "int nothing;")
        script.write_text("\n".join(f"{version} {{ global: *; }};" for version in sorted(versions[library])[:1]))
        options = [f"-Wl,-soname,{library}", *([f"-Wl,--version-script={script}"] if versions[library] else [])]
        subprocess.run(["gcc", "-w", "-shared", "-fPIC", *options, "-o", folder / library, source], check=True)


def install(folder: Path) -> None:
    """Raises CalledProcessError if a release cannot be had or a tool fails; the folder is whole or absent."""
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(new / "wheels")]
    subprocess.run([*pip, *RELEASES], check=True)
    for wheel in (new / "wheels").glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(new)
    shutil.rmtree(new / "wheels")
    make_empty_libraries(new / "torch", new / "nvidia" / "cu13" / "lib")
    new.rename(folder)


def main() -> None:
    folder, tests = Path(sys.argv[1]).resolve(), sys.argv[2:]
    if not folder.exists():
        install(folder)
    os.environ |= {"PYTHONPATH": os.pathsep.join([str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])}
    line = [sys.executable, "-m", "pytest", "-m", "not slow", "-n", "2", "--dist", "loadfile", *tests]
    sys.exit(subprocess.run(line, check=False).returncode)


if __name__ == "__main__":
    main()
