"""Records of arrays that compiled kernels take as one pointer.

A kernel that takes a tuple of fifteen arrays is handed a hundred words at every call, and numba
builds them anew at every call site: that was half of the loop's time and most of the compiler's.
An `Arrays` is a table in memory of where each array lies and how long it is; a kernel is handed
the table's address. Arrays are fixed at construction: contents change, sizes and places do not.
"""

import engine.kernels.cache  # noqa: F401  (before numba)

# isort: split
import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np import numpy_support
from numba.np.arrayobj import make_array, populate_array

# A field's row in the table: address, then sizes of up to three dimensions.
_WORDS = 4


class Arrays:
    """Base of records of arrays; a subclass annotates its fields in order, each (n, …) C order."""

    def __init__(self, *arrays: Any) -> None:
        names = list(type(self).__annotations__)
        if len(arrays) != len(names):
            raise TypeError(f"{type(self).__name__} has {len(names)} arrays, not {len(arrays)}")
        table = np.zeros((len(names), _WORDS), np.int64)
        for row, name, array in zip(table, names, arrays, strict=True):
            if not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
                raise TypeError(f"{type(self).__name__}.{name} must be a contiguous array")
            row[0] = array.ctypes.data
            row[1 : 1 + array.ndim] = array.shape
            setattr(self, name, array)
        self._table = table
        self._address = table.ctypes.data
        cls: Any = type(self)
        self._numba_type_ = _type_of(cls, tuple((a.dtype, a.ndim) for a in arrays))

    def replace(self, **arrays: Any) -> Any:
        """Return the same with other arrays in some places."""
        names = type(self).__annotations__
        return type(self)(*(arrays.get(name, getattr(self, name)) for name in names))

    def __iter__(self) -> Any:
        return (getattr(self, name) for name in type(self).__annotations__)


class ArraysType(types.Type):
    """The type of a record of arrays: its name, and name, dtype and dimensions of each field."""

    def __init__(self, name: str, fields: tuple[tuple[str, Any, int], ...]) -> None:
        self.fields = fields
        # A digest for the fields: the name is a part of every symbol.
        digest = hashlib.sha256(repr(fields).encode()).hexdigest()[:16]
        super().__init__(name=f"{name}_{digest}")


@lru_cache(maxsize=64)
def _type_of(cls: Any, arrays: tuple[tuple[Any, int], ...]) -> ArraysType:
    names = cls.__annotations__
    return ArraysType(
        cls.__name__,
        tuple(
            (name, numpy_support.from_dtype(dtype), ndim)
            for name, (dtype, ndim) in zip(names, arrays, strict=True)
        ),
    )


@typeof_impl.register(Arrays)
def _typeof(value: Arrays, _context: Any) -> Any:
    return value._numba_type_


@register_model(ArraysType)
class _Model(models.PrimitiveModel):
    """One word."""

    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, cgutils.intp_t)


@unbox(ArraysType)
def _unbox(_typ: Any, value: Any, c: Any) -> NativeValue:
    address = c.pyapi.object_getattr_string(value, "_address")
    word = c.pyapi.long_as_longlong(address)
    c.pyapi.decref(address)
    return NativeValue(word, is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))


@infer_getattr
class _Fields(AttributeTemplate):
    key = ArraysType

    def generic_resolve(self, typ: Any, attr: str) -> Any:  # type: ignore[override]
        for name, dtype, ndim in typ.fields:
            if name == attr:
                return types.Array(dtype, ndim, "C")
        return None


@lower_getattr_generic(ArraysType)
def _getattr(context: Any, builder: Any, typ: Any, value: Any, attr: str) -> Any:
    """Build an array of the table's row; the loads are invariant, so they leave loops."""
    index, (_, dtype, ndim) = next((i, f) for i, f in enumerate(typ.fields) if f[0] == attr)
    array_type = types.Array(dtype, ndim, "C")
    words = cgutils.intp_t.as_pointer()
    invariant = builder.module.add_metadata([])

    def word(offset: int) -> Any:
        place = builder.inttoptr(
            builder.add(value, cgutils.intp_t(8 * (_WORDS * index + offset))), words
        )
        loaded = builder.load(place)
        loaded.set_metadata("invariant.load", invariant)
        return loaded

    array = make_array(array_type)(context, builder)
    itemsize = cgutils.intp_t(numpy_support.as_dtype(dtype).itemsize)
    shape = [word(1 + axis) for axis in range(ndim)]
    strides = [itemsize]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    pointer = context.get_data_type(dtype).as_pointer()
    populate_array(
        array,
        data=builder.inttoptr(word(0), pointer),
        shape=shape,
        strides=strides,
        itemsize=itemsize,
        meminfo=None,
    )
    return array._getvalue()
