"""The environment of a child that runs code of others: what an interpreter needs, no secrets."""

import os
from collections.abc import Mapping
from typing import Final

ALLOWED: Final = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "PMPRO_CACHE_DIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
        "XDG_CACHE_HOME",
        # Windows starts no process without these.
        "APPDATA",
        "COMSPEC",
        "LOCALAPPDATA",
        "PATHEXT",
        "SYSTEMDRIVE",
        "SYSTEMROOT",
        "TEMP",
        "TMP",
        "USERPROFILE",
        "WINDIR",
    }
)
ALLOWED_BEGINNINGS: Final = ("LC_", "MKL_", "NUMBA_", "OMP_", "OPENBLAS_", "PYTHON")


def plain_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that may be known to everybody."""
    return {
        name: value
        for name, value in given.items()
        if name in ALLOWED or name.startswith(ALLOWED_BEGINNINGS)
    }
