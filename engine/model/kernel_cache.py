"""Where compiled kernels are kept: a cache that notices every edit.

numba's file cache does not see a changed callee in another file, so yesterday's risk code could
survive an upgrade. The cache directory is therefore named by a hash of all sources that may hold
kernels, of numba's and llvmlite's versions and of the CPU. numba reads where it is when it is
imported, so whoever imports numba imports this first.
"""

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path

from engine.model.errors import ConfigError
from engine.model.places import absolute, base_directory
from engine.model.trust import fault_below, make_directory

KERNEL_PACKAGES = ("engine/model", "engine/decision", "engine/metrics", "strategies", "backtest")
_ROOT = Path(__file__).resolve().parents[2]
_OWN_PLACES = tuple(f"{_ROOT / package}{os.sep}" for package in KERNEL_PACKAGES)


def source_hash(root: Path = _ROOT) -> str:
    """Return a hash of every source file that may define or call a kernel."""
    digest = hashlib.sha256()
    for package in KERNEL_PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    for part in (version("numba"), version("llvmlite"), platform.machine(), _cpu_name()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:20]


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "".join(sorted({line for line in lines if line.startswith(wanted)}))


def cache_dir(root: Path = _ROOT) -> Path:
    """Return the kernel cache of these sources on this machine."""
    named = os.environ.get("PMPRO_CACHE_DIR")
    base = absolute(Path(named)) if named else base_directory("XDG_CACHE_HOME", ".cache") / "pmpro"
    return base / "kernels" / source_hash(root)


def is_own_source(path: str) -> bool:
    """Tell whether a file is one of those that the cache's name stands for."""
    return path.startswith(_OWN_PLACES)


def ready(cache: Path) -> Path:
    """Make a cache where there is none, and return it.

    Compiled code runs as this process: what others could write or replace is refused.

    Raises:
        ConfigError: it cannot be written, or others could write it.
    """
    try:
        make_directory(cache)
        reason = "" if os.access(cache, os.W_OK | os.X_OK) else "this user may not write there"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise ConfigError(
            f"compiled kernels cannot be kept in {cache}: {reason}: set PMPRO_CACHE_DIR to a "
            "directory of this user's own"
        )
    if fault := fault_below(cache):
        raise ConfigError(f"compiled kernels: {fault}")
    return cache


if _named := os.environ.get("PMPRO_CACHE_DIR"):
    os.environ["PMPRO_CACHE_DIR"] = str(absolute(Path(_named)))  # for children, who stand elsewhere
KERNEL_DIR = ready(cache_dir())
os.environ["NUMBA_CACHE_DIR"] = str(KERNEL_DIR)
# What this process runs, whatever happens to its files meanwhile.
CODE_HASH = KERNEL_DIR.name
# Where kernels of the user's strategies are kept: the engine loads none of them.
OWN_CACHE_DIR = KERNEL_DIR / "own"
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
