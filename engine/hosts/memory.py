"""A ceiling on this process's memory, and how much it holds. Linux; elsewhere there is no ceiling.

The ceiling is on address space: an allocation beyond it raises MemoryError in the code that asks.
"""

import gc
import os
import sys
from pathlib import Path

# After so many batches it is looked for among what has lived long, too.
OLD_GARBAGE_BATCHES = 60


class Garbage:
    """From now on garbage is collected when it is asked for, and at no other time."""

    def __init__(self) -> None:
        gc.disable()
        self._n_batches = 0

    def collect(self, *, of_a_batch: bool) -> None:
        """Collect what answering a request has left; other requests than batches may take long.

        What lives after those, strategies and all that they import, is not looked through again
        until the next one.
        """
        if of_a_batch:
            self._n_batches += 1
            gc.collect(1 if self._n_batches % OLD_GARBAGE_BATCHES else 2)
            return
        gc.unfreeze()
        gc.collect()
        gc.freeze()


_STATM = Path("/proc/self/statm")
KB_PER_MB = 1024

if sys.platform == "linux":
    import resource

    _PAGE_KB = resource.getpagesize() // 1024
    _statm = os.open(_STATM, os.O_RDONLY)

    def limit_memory(more_mb: int) -> None:
        """Allow this process `more_mb` above what it has now; 0 allows any."""
        if more_mb:
            now = int(_STATM.read_text().split()[0]) * resource.getpagesize()
            ceiling = now + more_mb * KB_PER_MB * 1024
            resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))

    def held_kb() -> int:
        """Return the memory that this process holds; a microsecond."""
        return int(os.pread(_statm, 128, 0).split(None, 2)[1]) * _PAGE_KB

else:

    def limit_memory(more_mb: int) -> None:
        """Do nothing: there is no such limit."""

    def held_kb() -> int:
        """Return 0: not known."""
        return 0
