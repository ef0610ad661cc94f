"""How kernels are compiled: once in numba's front end, optimised once for each that Python calls.

numba optimises every function as it is compiled, links it into each of its callers and optimises
it there again, and makes each callable from Python. Here a kernel that only kernels call stays
unoptimised code, a *part*; one that Python calls is an *entry*: linked with all parts that it
calls, optimised and cached. Whole numbers and constants are passed as int64, so that a kernel is
compiled once.
"""

from engine.kernels.cache import KERNEL_DIR, is_own_source  # before numba

# isort: split
from contextlib import suppress
from copy import copy
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from llvmlite.binding import add_symbol
from numba.core import compiler, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import PassManager
from numba.core.dispatcher import _FunctionCompiler
from numba.core.environment import Environment
from numba.core.registry import CPUDispatcher
from numba.core.runtime import _nrt_python
from numba.core.sigutils import normalize_signature
from numba.core.typed_passes import (
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import make_concrete_template
from numba.core.untyped_passes import (
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    ReconstructSSA,
    TranslateByteCode,
)


def plain(argument: Any) -> Any:
    """Return the type an argument is passed as: int64 for every whole number and constant."""
    argument = types.unliteral(argument)
    return types.int64 if isinstance(argument, types.Integer) else argument


class _Library(JITCodeLibrary):
    """Code that is optimised as a whole or not at all."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


class PartLibrary(_Library):
    """A kernel's own code, as it came from the front end, and what it calls."""

    def add_linking_library(self, library: Any) -> None:
        """Remember what this code calls; a part is not made executable for it."""
        if not isinstance(library, PartLibrary):
            library._ensure_finalized()
        self._linking_libraries.append(library)

    def _get_module_for_linking(self) -> Any:
        if self._shared_module is None:
            module = self._final_module.clone()
            for function in module.functions:
                if not function.is_declaration and function.linkage.name == "external":
                    function.linkage = "linkonce_odr"
            self._shared_module = module
        return self._shared_module


class EntryLibrary(_Library):
    """What Python calls: a wrapper, linked with a part and all that the part calls."""

    counts = True  # references

    def add_linking_library(self, library: Any) -> None:
        """Link a library and those it needs."""
        if library in self._linking_libraries:
            return
        if not isinstance(library, PartLibrary):
            library._ensure_finalized()
        self._linking_libraries.append(library)
        if isinstance(library, PartLibrary):
            for needed in library._linking_libraries:
                self.add_linking_library(needed)

    def _optimize_final_module(self) -> None:
        """Optimise, without the pass that is there to count references less."""
        if self.counts:
            super()._optimize_final_module()
        else:
            passes, builder = self._codegen._module_pass_manager()
            passes.run(self._final_module, builder)


class _Flags(compiler.Flags):
    """Options that nothing changes: equal only to themselves, which is found out at once.

    The compiler looks up every operator by the options, and would compare them one by one.
    """

    def copy(self) -> "_Flags":
        """Return the same, as it never changes."""
        return self

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@lru_cache
def _flags(options: tuple[tuple[str, Any], ...]) -> _Flags:
    flags = _Flags()
    CPUDispatcher.targetdescr.options.parse_as_flags(flags, dict(options))
    flags.no_compile = flags.no_cpython_wrapper = True
    return flags


class _Passes(PassManager):
    # What makes a function's analysis anew after every pass, though none of these needs it.
    _ENFORCING = False


class CoreCompiler(compiler.CompilerBase):
    """The passes that plain loops need: no closures, array expressions or counted references."""

    PASSES = (
        TranslateByteCode,
        FixupArgs,
        IRProcessing,
        GenericRewrites,
        ReconstructSSA,
        NopythonTypeInference,
        PreLowerStripPhis,
        NativeLowering,
        NoPythonBackend,
    )

    def define_pipelines(self) -> list[PassManager]:
        """Return the one pipeline."""
        passes = _Passes("core kernel")
        for each in self.PASSES:
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class _KernelCompiler(_FunctionCompiler):
    """Makes parts, and entries of parts."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.parts: dict[tuple[Any, ...], Any] = {}

    def part(self, args: tuple[Any, ...]) -> Any:
        """Return the kernel's code for argument types."""
        if args not in self.parts:
            context = self.targetdescr.target_context
            made = compiler.compile_extra(
                self.targetdescr.typing_context,
                context,
                self.py_func,
                args=args,
                return_type=None,
                flags=_flags(tuple(self.targetoptions.items())),
                locals=self.locals,
                library=PartLibrary(context.codegen(), self.py_func.__qualname__),
                pipeline_class=self.pipeline_class,
            )
            part = made._replace(entry_point=object())  # by which callers find it
            context.insert_user_function(part.entry_point, part.fndesc, [part.library])
            self.parts[args] = part
        return self.parts[args]

    def _compile_core(self, args: tuple[Any, ...], _return_type: Any) -> Any:
        """Return what Python calls."""
        part = self.part(args)
        context = part.target_context
        library = EntryLibrary(context.codegen(), part.library.name)
        library.enable_object_caching()
        library.counts = self.targetoptions.get("_nrt", True)
        library.add_linking_library(part.library)
        # Python's objects for the wrapper are its own: entries of others have this part as well.
        fndesc = copy(part.fndesc)
        fndesc.env_name += "_entry"
        environment = Environment.from_fndesc(fndesc)
        context.create_cpython_wrapper(
            library,
            fndesc,
            environment,
            part.call_helper,
            release_gil=self.targetoptions["nogil"],
        )
        entry = part._replace(
            library=library,
            fndesc=fndesc,
            environment=environment,
            entry_point=context.get_executable(library, fndesc, environment),
        )
        for used in entry._find_referenced_environments():
            library.codegen.set_env(used.env_name, used)
        return entry


class _KernelPlace(UserProvidedCacheLocator):
    """Where pmpro's own kernels are kept, whether or not this process may write there.

    What the user's code compiles is kept where numba's own configuration says.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
        super().__init__(py_func, py_file)
        self._cache_path = str(KERNEL_DIR / self.get_suitable_cache_subpath(py_file))

    def ensure_cache_path(self) -> None:
        """Make the directory if that may be."""
        with suppress(OSError):
            Path(self._cache_path).mkdir(parents=True, exist_ok=True)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "_KernelPlace | None":
        """Return the place of a function of pmpro's own packages."""
        return super().from_function(py_func, py_file) if is_own_source(py_file) else None


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes = (_KernelPlace, *CompileResultCacheImpl._locator_classes)


class _Cache(FunctionCache):
    """Entries on disk: loading one takes nothing of the compiler, neither time nor memory.

    Where it cannot be written, an entry is compiled by each process anew.
    """

    _impl_class = _CacheImpl

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep an entry if there is room, and this process may."""
        with suppress(OSError):
            super().save_overload(sig, data)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return an entry, None if it is not there."""
        _name_helpers()
        return self._load_overload(sig, target_context)


@cache
def _name_helpers() -> None:
    """Tell where the functions are that count references, as numba does before it compiles."""
    for name, address in _nrt_python.c_helpers.items():
        add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


class KernelDispatcher(CPUDispatcher):
    """Compiles a function when Python calls it or a kernel that calls it is compiled."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        made = self._compiler
        self._compiler = _KernelCompiler(
            made.py_func, made.targetdescr, made.targetoptions, made.locals, made.pipeline_class
        )

    def enable_caching(self) -> None:
        """Keep entries on disk."""
        self._cache = _Cache(self.py_func)

    def compile(self, sig: Any) -> Any:
        """Return what Python calls with arguments of these types."""
        args, _ = normalize_signature(sig)
        passed = tuple(map(plain, args))
        entry = super().compile(passed)
        if passed != args:
            self._insert([a._code for a in args], entry, False)
        return entry

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Return how a kernel calls this one with arguments of these types."""
        signature, args = self._compiler.fold_argument_types(args, kws)
        part = self._compiler.part(tuple(map(plain, args)))
        name = self.py_func.__name__
        return make_concrete_template(name, name, [part.signature]), signature, args, {}

    def get_overload(self, sig: Any) -> Any:
        """Return by what a caller finds the code for a signature."""
        args, _ = normalize_signature(sig)
        return self._compiler.part(tuple(map(plain, args))).entry_point
