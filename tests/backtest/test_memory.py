"""What a backtest frees, it gives back."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

_PROGRAM = """
import numpy as np
import psutil
from backtest.run import return_large_blocks

return_large_blocks()
rss = psutil.Process().memory_info
del_me = np.ones(1 << 20)
del del_me
again = np.ones(1 << 20)
before = rss().rss
del again
print(before - rss().rss)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts on glibc's allocator")
def test_a_freed_array_is_given_back():
    """Also where one of its size was freed before, which is when glibc would keep it."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=REPO, capture_output=True, text=True, check=True
    )

    assert int(done.stdout) > 7_000_000
