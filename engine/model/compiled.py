"""Compiled kernels: one decorator, and a cache that notices every edit.

numba's file cache does not see a changed callee in another file, so yesterday's risk code could
survive an upgrade. The cache directory is therefore named by a hash of all sources that may hold
kernels, of numba's and llvmlite's versions and of the CPU. It is set before numba is imported.
"""

import hashlib
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

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

# Only after the cache directory is set.
from engine.model.dispatcher import CoreCompiler, KernelDispatcher  # noqa: E402

_OPTIONS: dict[str, Any] = {
    "nopython": True,
    "boundscheck": None,
    "nogil": True,
    "fastmath": False,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function`: cached, without the GIL, no fastmath (sums keep their order)."""
    return _cached(KernelDispatcher(function, targetoptions=_OPTIONS), function)


def core_kernel(function: F) -> F:
    """Compile a kernel that allocates nothing: no reference counting.

    Counting references of the core's arrays at every call took three quarters of the backtest
    loop. A kernel that allocates all the same fails to compile.
    """
    options = {**_OPTIONS, "_nrt": False}
    made = KernelDispatcher(function, targetoptions=options, pipeline_class=CoreCompiler)
    return _cached(made, function)


def _cached(dispatcher: KernelDispatcher, _function: F) -> F:
    dispatcher.enable_caching()
    return cast(F, dispatcher)
