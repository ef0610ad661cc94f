"""Large arrays that are freed go back to the system: a year's bars pass through many of them."""

import ctypes
import os
import sys
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 1 << 20


def return_large_blocks() -> None:
    """Have every array of a megabyte or more mapped by itself, on Linux with glibc, also Arrow's.

    By default glibc lets this bound grow with what was freed, up to 32 MB: arrays of many sizes
    then leave holes in its heaps, which took a fifth of a backtest's memory.
    """
    # Arrow's own pools keep what decoding needed; it looks at this when it is imported.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none, and needs none
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
