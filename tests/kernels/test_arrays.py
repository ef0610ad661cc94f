"""Records of arrays: what a kernel sees through one pointer is what the arrays hold."""

from typing import Any

import numpy as np
import pytest

from engine.kernels.arrays import Arrays
from engine.kernels.compiled import core_kernel

ROW = np.dtype([("small", "i1"), ("price", "f8"), ("count", "u4")], align=True)


class Table(Arrays):
    """Three arrays of different kinds and dimensions."""

    rows: Any
    grid: Any
    cube: Any


@core_kernel
def describe(table: Table, out: np.ndarray) -> None:
    out[0] = len(table.rows)
    out[1], out[2] = table.grid.shape
    out[3] = table.cube[1, 2, 3]
    out[4] = table.rows[2]["price"] + table.rows[-1]["count"]


@core_kernel
def write(table: Table, value: float) -> None:
    table.rows[1]["small"] = -7
    table.grid[2, 1] = value
    for i in range(len(table.rows)):
        table.rows[i]["price"] += 1.0


def made(n: int = 4) -> Table:
    rows = np.zeros(n, ROW)
    rows["price"] = np.arange(n) / 4
    rows["count"] = 3_000_000_000
    return Table(rows, np.zeros((3, 2)), np.arange(60).reshape(3, 4, 5))


def test_a_kernel_sees_contents_sizes_and_record_fields():
    """Sizes, three dimensions, negative indices and small record fields are those of numpy."""
    table, out = made(), np.zeros(5)
    describe(table, out)
    assert out.tolist() == [4, 3, 2, table.cube[1, 2, 3], 0.5 + 3e9]


def test_what_a_kernel_writes_stands_in_the_arrays():
    """Writes go to the arrays themselves, also through a record's view."""
    table = made()
    write(table, 2.5)
    assert table.rows["small"].tolist() == [0, -7, 0, 0]
    assert table.rows["price"].tolist() == [1.0, 1.25, 1.5, 1.75]
    assert table.grid[2, 1] == 2.5
    assert table.grid.sum() == 2.5


def test_records_of_other_sizes_are_told_apart_at_run_time():
    """One compiled kernel serves every size: the sizes are read, not compiled in."""
    out = np.zeros(5)
    for n in (3, 4, 9):
        describe(made(n), out)
        assert out[0] == n
    assert len(describe.overloads) == 1


def test_replacing_an_array_leaves_the_first_record_as_it_is():
    """`replace` gives a new record that shares the other arrays."""
    table = made()
    other = table.replace(grid=np.ones((5, 1)))
    write(table, 1.0)
    out = np.zeros(5)
    describe(other, out)
    assert out[1:3].tolist() == [5, 1]
    assert other.rows is table.rows
    assert table.grid.shape == (3, 2)


def test_what_has_no_plain_place_in_memory_is_refused():
    """A view with strides, or another number of arrays, would be read wrongly: refused by name."""
    with pytest.raises(TypeError, match=r"Table\.grid must be a contiguous array"):
        made().replace(grid=np.zeros((3, 4))[:, ::2])
    with pytest.raises(TypeError, match="Table has 3 arrays, not 1"):
        Table(np.zeros(1))
