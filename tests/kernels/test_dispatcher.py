"""Kernels are compiled once, whatever whole numbers they are called with."""

import numba
import numpy as np
import pytest

from engine.kernels.compiled import core_kernel, kernel


@core_kernel
def doubled(value, times):
    for _ in range(times):
        value = value + value
    return value


@core_kernel
def calls_with_many_types(small, out):
    out[0] = doubled(small[0], 1)
    out[1] = doubled(out[0], small[0])
    n = 0
    for _ in range(3):
        n = doubled(n, 1) + 1
    out[2] = n


@kernel
def squares(n):
    return np.arange(n) ** 2


def test_whole_numbers_of_all_sizes_and_constants_are_one_version():
    """Callers pass int8, int64 and constants: one piece of code serves them, and Python too."""
    out = np.zeros(3, np.int64)
    calls_with_many_types(np.array([3], np.int8), out)
    assert out.tolist() == [6, 48, 7]
    assert doubled(np.int8(100), 2) == 400
    assert doubled(5, 1) == 10
    assert len(doubled.overloads) == 1
    assert len(doubled._compiler.parts) <= 1  # none where it came from the cache


def test_other_numbers_are_versions_of_their_own():
    """A float stays one."""
    assert doubled(0.25, 1) == 0.5


def test_a_core_kernel_that_allocates_is_refused():
    """Nothing counts its arrays: it must not compile."""

    @core_kernel
    def allocates(n):
        return np.zeros(n)

    with pytest.raises(numba.TypingError, match="zeros"):
        allocates(3)
    assert squares(4).tolist() == [0, 1, 4, 9]
