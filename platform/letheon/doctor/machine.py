"""Checks of this machine that start nothing: disk, files with secrets, GPUs."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from letheon.cluster.capacity import machine
from letheon.common.counting import several
from letheon.doctor.finding import Finding, failed, ok, warning

GIB = 2**30
ENOUGH_BYTES = 10 * GIB
SECRETS = ("~/.ray/auth_token", "~/.config/letheon/tracking.env", "~/.config/letheon/server.env")


def check_machine(root: Path) -> Iterator[Finding]:
    """Check root folder, secrets and devices."""
    token = os.environ.get("RAY_AUTH_TOKEN_PATH")
    yield check_root(root)
    yield from check_secrets([Path(place).expanduser() for place in (*SECRETS, *([token] if token else ()))])
    yield check_devices()


def check_root(root: Path) -> Finding:
    """Whether the root folder is writable and private, allows files to be replaced, and has space."""
    name, place = "root", root.resolve()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as folder:
            file = Path(folder, "new")
            file.write_text("x")
            os.replace(file, Path(folder, "old"))
        free = shutil.disk_usage(place).free
    except OSError as error:
        return failed(name, f"{place} cannot be written: {error}", "choose another --root or LETHEON_ROOT")
    if place.stat().st_mode & stat.S_IWOTH:
        return warning(name, f"{place} is writable for every user of this machine", f"chmod o-w {place}")
    found = f"{place} is writable, {free / GIB:.0f} GiB free"
    if free < ENOUGH_BYTES:
        return warning(name, f"{found}; a sweep keeps the weights of every front point", "free space or move the root")
    return ok(name, found)


def check_secrets(files: list[Path]) -> Iterator[Finding]:
    """One finding per existing file: whether only its owner can read it."""
    for file in dict.fromkeys(files):
        if file.exists():
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                yield failed("secrets", f"{file} has mode {mode:04o}, other users can read it", f"chmod 600 {file}")
            else:
                yield ok("secrets", f"{file} has mode {mode:04o}")


def check_devices() -> Finding:
    """Whether PyTorch can use all GPUs that the NVIDIA driver reports."""
    import torch

    present, usable = machine()["GPU"], torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not present:
        return ok("devices", f"{several(machine()['CPU'], 'CPU')}, no GPU")
    if usable < present:
        found = f"the machine has {several(present, 'GPU')}, PyTorch {torch.__version__} can use {usable}"
        fix = "install the build of torch for this CUDA driver, or check CUDA_VISIBLE_DEVICES"
        return failed("devices", found, fix)
    names = ", ".join(sorted({torch.cuda.get_device_name(i) for i in range(usable)}))
    nccl = ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]
    return ok("devices", f"{several(usable, 'GPU')} ({names}), NCCL {nccl}")
