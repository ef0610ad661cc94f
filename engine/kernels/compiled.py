"""Compiled kernels: two decorators."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from engine.kernels.dispatcher import CoreCompiler, KernelDispatcher

_OPTIONS: dict[str, Any] = {
    "nopython": True,
    "boundscheck": None,
    "nogil": True,
    "fastmath": False,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function`: cached, without the GIL, no fastmath (sums keep their order)."""
    return _cached(KernelDispatcher(function, targetoptions=_OPTIONS), function)


def core_kernel(function: F) -> F:
    """Compile a kernel that allocates nothing: no reference counting.

    Counting references of the core's arrays at every call took three quarters of the backtest
    loop. A kernel that allocates all the same fails to compile.
    """
    options = {**_OPTIONS, "_nrt": False}
    made = KernelDispatcher(function, targetoptions=options, pipeline_class=CoreCompiler)
    return _cached(made, function)


def _cached(dispatcher: KernelDispatcher, _function: F) -> F:
    dispatcher.enable_caching()
    return cast(F, dispatcher)
