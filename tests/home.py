"""A home folder of the suite's own: empty at first, inherited by every process that tests start, and gone at the end.

Libraries keep caches, settings and tokens in the home folder. What a test finds there is on one machine and not on
another, and what it leaves there another test finds.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

REAL = Path.home()
ELSEWHERE = {
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "MPLCONFIGDIR", "NLTK_DATA"),
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_XET_CACHE", "HF_ASSETS_CACHE", "HF_TOKEN_PATH"),
    *("HF_DATASETS_CACHE", "HF_MODULES_CACHE", "TRANSFORMERS_CACHE"),
    *("TORCH_HOME", "TORCH_EXTENSIONS_DIR", "TRITON_HOME", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH"),
    *("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "PIP_CACHE_DIR", "SE_CACHE_PATH"),
}
"""Variables by which a library looks, instead of in the home folder, where the user says."""


PREFIX = "home-of-tests-"


def move() -> None:
    """Give this process and those that it starts an empty home. Before libraries are imported: they look only once."""
    remove_stale()
    home = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in ELSEWHERE:
        os.environ.pop(name, None)
    os.environ["HOME"] = home
    # Its place would be the temporary folder, the same for every run of this user.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(home, ".cache", "torchinductor"))


def remove_stale() -> None:
    """Remove the homes of test sessions that were killed: of those, the process that a name begins with is gone."""
    for place in Path(tempfile.gettempdir()).glob(f"{PREFIX}[0-9]*-*"):
        try:
            os.kill(int(place.name.removeprefix(PREFIX).partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(place, ignore_errors=True)
        except (ValueError, OSError):  # another program's name, another user's process
            continue


def listing() -> set[str] | None:
    """All that is in the home of whoever runs the tests, if it is a temporary one: in others, other programs write."""
    if not REAL.is_relative_to(tempfile.gettempdir()):
        return None
    return {str(path.relative_to(REAL)) for path in REAL.rglob("*")}


def places() -> dict[str, str]:
    """Where this process thinks that the home folder is, and what is derived from it. Imports nothing heavy."""
    import huggingface_hub.constants as hub
    import platformdirs

    return {
        "~": os.path.expanduser("~"),
        "home": str(Path.home()),
        "hub": hub.HF_HUB_CACHE,
        "hub's token": hub.HF_TOKEN_PATH,
        "XDG's settings": platformdirs.user_config_dir(),
        "XDG's caches": platformdirs.user_cache_dir(),
        "XDG's data": platformdirs.user_data_dir(),
        "XDG's state": platformdirs.user_state_dir(),
        "inductor": os.environ["TORCHINDUCTOR_CACHE_DIR"],
    }


def places_of_libraries() -> dict[str, str]:
    """What libraries under test would keep in the home folder."""
    import datasets
    import matplotlib
    import nltk
    import torch
    from mlflow.telemetry.installation_id import _get_telemetry_file_path
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    return {
        "datasets": str(datasets.config.HF_DATASETS_CACHE),
        "mlflow": str(_get_telemetry_file_path()),
        "matplotlib's settings": matplotlib.get_configdir(),
        "matplotlib's fonts": matplotlib.get_cachedir(),
        "nltk": nltk.data.path[0],
        "torch": torch.hub.get_dir(),
        "inductor": cache_dir(),
    }
