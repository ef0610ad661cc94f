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

KERNEL_PACKAGES = ("engine/model", "engine/decision", "engine/metrics", "strategies", "backtest")
_ROOT = Path(__file__).resolve().parents[2]


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
    base = os.environ.get("PMPRO_CACHE_DIR") or (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pmpro"
    )
    return Path(base) / "kernels" / source_hash(root)


os.environ["NUMBA_CACHE_DIR"] = str(cache_dir())
# What this process runs, whatever happens to its files meanwhile.
CODE_HASH = Path(os.environ["NUMBA_CACHE_DIR"]).name
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
