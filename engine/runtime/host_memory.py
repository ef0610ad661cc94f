"""A ceiling on this process's memory, and how much it holds. Linux; elsewhere there is no ceiling.

The ceiling is on address space: an allocation beyond it raises MemoryError in the code that asks.
"""

import os
import sys
from pathlib import Path

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
