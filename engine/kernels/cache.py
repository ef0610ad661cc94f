"""Where compiled kernels are kept: a cache that notices every edit.

numba's file cache does not see a changed callee in another file, so yesterday's risk code could
survive an upgrade. The cache directory is therefore named by a hash of all sources that may hold
kernels, of numba's and llvmlite's versions and of the CPU. numba reads where it is when it is
imported, so whoever imports numba imports this first.

`engine.kernels.dispatcher` uses what is inside numba, which other versions have otherwise: they are
refused before numba is imported.
"""

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.files.places import absolute, base_directory
from engine.files.trust import fault_below, make_directory
from engine.model.errors import ConfigError

KERNEL_PACKAGES = (
    "engine/kernels",
    "engine/model",
    "engine/decision",
    "engine/metrics",
    "strategies",
    "backtest",
)
# The series that were tested, as in pyproject.toml and constraints.txt.
COMPILERS = {"numba": "0.68", "llvmlite": "0.50"}
_MARK = "sources"
_ROOT = Path(__file__).resolve().parents[2]
_OWN_PLACES = tuple(f"{_ROOT / package}{os.sep}" for package in KERNEL_PACKAGES)


def require_compilers() -> None:
    """Refuse a numba or llvmlite that was not tested with this version.

    Raises:
        ConfigError: which is installed and which is wanted.
    """
    for package, series in COMPILERS.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = "not"
        if not f"{found}.".startswith(f"{series}."):
            raise ConfigError(
                f"{package} {found} is installed, this version of pmpro compiles with {package} "
                f"{series}.* alone: pip install --constraint constraints.txt {package}"
            )


def source_hash(root: Path = _ROOT) -> str:
    """Return a hash of every source file that may define or call a kernel."""
    return _whole_hash(root)[:20]


def _whole_hash(root: Path) -> str:
    digest = hashlib.sha256()
    for package in KERNEL_PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    for part in (version("numba"), version("llvmlite"), platform.machine(), _cpu_name()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


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


def ready(cache: Path, root: Path = _ROOT) -> Path:
    """Make a cache where there is none, and return it.

    Compiled code runs as this process: what others could write or replace is refused, and what was
    compiled of other sources, though it lies under these sources' name.

    Raises:
        ConfigError: it cannot be written, others could write it, or it is of other sources.
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
    _claim(cache / _MARK, _whole_hash(root))
    return cache


def _claim(mark: Path, wanted: str) -> None:
    """Write down what a cache is compiled of, or compare with what stands there."""
    try:
        found = mark.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        draft = mark.with_name(f"{_MARK}.{os.getpid()}")
        draft.write_text(wanted, encoding="ascii")
        draft.replace(mark)
        return
    if found != wanted:
        raise ConfigError(
            f"compiled kernels in {mark.parent} are of other sources ({found[:20]}…): "
            "remove that directory, they are compiled anew"
        )


require_compilers()
if _named := os.environ.get("PMPRO_CACHE_DIR"):
    os.environ["PMPRO_CACHE_DIR"] = str(absolute(Path(_named)))  # for children, who stand elsewhere
KERNEL_DIR = ready(cache_dir())
os.environ["NUMBA_CACHE_DIR"] = str(KERNEL_DIR)
# What this process runs, whatever happens to its files meanwhile.
CODE_HASH = KERNEL_DIR.name
# Where kernels of the user's strategies are kept: the engine loads none of them.
OWN_CACHE_DIR = KERNEL_DIR / "own"
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
