"""The bounds of a process that runs strategies' code: what it may write, what it may not see."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from engine.child.confinement import confine


def bound_strategies(
    writable: Iterable[Path],
    hidden: Iterable[Path],
    *,
    readable: Iterable[Path] = (),
    sockets: bool = False,
) -> None:
    """Bound this process before any code of the user's is loaded; the log says how.

    Kernels of the user's are kept beside those of pmpro: what the engine runs stays out of reach.
    """
    from engine.kernels.cache import OWN_CACHE_DIR  # before numba

    # isort: split
    from numba.core import config

    OWN_CACHE_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(OWN_CACHE_DIR)
    config.reload_config()  # type: ignore[no-untyped-call]
    bounds = confine([*writable, OWN_CACHE_DIR], hidden, readable=readable, sockets=sockets)
    sys.stderr.write(f"bounds: Landlock {bounds.landlock}, seccomp {bounds.seccomp}\n")
