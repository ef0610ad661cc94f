"""A ceiling on the memory of this process, and how high it has been. Linux; elsewhere no ceiling.

The ceiling is on address space: an allocation beyond it raises MemoryError in the code that asks.
"""

import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")
_KB_PER_MB = 1024

if sys.platform == "win32":

    def limit_memory(more_mb: int) -> None:
        """Do nothing: there is no such limit."""

    def peak_kb() -> int:
        """Return 0: not known."""
        return 0

else:
    import resource

    def limit_memory(more_mb: int) -> None:
        """Allow this process `more_mb` above what it has now; 0 allows any."""
        if not more_mb or not _STATM.exists():
            return
        now = int(_STATM.read_text().split()[0]) * resource.getpagesize()
        ceiling = now + more_mb * _KB_PER_MB * 1024
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))

    def peak_kb() -> int:
        """Return the most memory this process has ever held at once."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
