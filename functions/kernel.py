"""`@kernel`: a small pure function over records that Numba compiles; with the compiler off the same source is plain Python.

`@entry` is the one kernel of a chain that Python calls. Its machine code holds that of the whole chain, so entries alone
are kept on disk (`functions.kernel_cache`), and inner kernels get no Python wrapper: wrappers are 40 % of the compile time.
`NUMBA_DISABLE_JIT=1` turns the compiler off, `NUMBA_BOUNDSCHECK=1` checks every index.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import functions.toolchain  # noqa: F401 - Numba's first import

# isort: split
import numpy as np
from numba.core import cgutils
from numba.core import config as numba_config
from numba.core.registry import CPUDispatcher
from numba.core.types import void
from numba.extending import intrinsic

from functions.kernel_cache import KernelCache
from functions.kernel_compiler import EntryCompiler, InnerCompiler, InnerKernel

F = TypeVar("F", bound=Callable[..., Any])

config: Any = numba_config  # its switches are made at run time, no type checker sees them
COMPILED: Final[bool] = not config.DISABLE_JIT

# error_model "numpy": a division by zero gives inf or 0 as in arrays, it costs no branch that raises
_options: Final[dict[str, Any]] = {"nopython": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def kernel(function: F) -> F:
    """A decision that other kernels call; compiled, it has no Python wrapper, so Python must not call it."""
    return _inner(function)


def inlined(function: F) -> F:
    """A kernel whose code is put into its caller: for steps of a few instructions, where the call would cost more."""
    return _inner(function, forceinline=True)


def entry(function: F) -> F:
    """A kernel that Python calls."""
    return _entry(function, lambda signature: None)


def unlocked(function: F, before: Callable[[Any], None]) -> F:
    """An entry that lets go of the interpreter meanwhile: for a loop over somebody else's code, which may never end.

    `before` gets the types of the arguments when nothing is compiled for them yet, and compiles what the loop calls.
    """
    return _entry(function, before, nogil=True)


def _inner(function: F, **options: bool) -> F:
    if not COMPILED:
        return function
    options = _options | options | {"no_cpython_wrapper": True}
    return cast(F, InnerKernel(function, targetoptions=options, pipeline_class=InnerCompiler))


def _entry(function: F, before: Callable[[Any], None], **options: bool) -> F:
    if not COMPILED:
        return function
    compiled: Any = CPUDispatcher(function, targetoptions=_options | options, pipeline_class=EntryCompiler)
    compiled._cache = KernelCache(function, before)
    return cast(F, compiled)


@contextmanager
def checked_indexes() -> Iterator[None]:
    """What is compiled meanwhile checks every index, and so does all that it calls: one out of bounds is an `IndexError`."""
    before = config.BOUNDSCHECK
    config.BOUNDSCHECK = 1
    try:
        yield
    finally:
        config.BOUNDSCHECK = before


if COMPILED:

    @intrinsic
    def _own(typing_context: Any, record: Any) -> Any:
        """A copy of a record, until the function returns: whoever gets it may write to it.

        It lies on the stack, so where nobody writes the compiler reads the fields that are used and copies nothing.
        """

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = signature.args[0]
            slot = cgutils.alloca_once(builder, context.get_data_type(kind))
            copy, original = (builder.bitcast(at, cgutils.voidptr_t) for at in (slot, arguments[0]))
            cgutils.memcpy(builder, copy, original, cgutils.intp_t(kind.size))
            return slot

        return record(record), codegen

    @intrinsic
    def _note(typing_context: Any, place: Any, value: Any) -> Any:
        """Writes the first element of an array at once, and not when the loop is over: another thread reads it."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            number = context.cast(builder, arguments[1], signature.args[1], signature.args[0].dtype)
            builder.store_atomic(number, array.data, "monotonic", 8)
            return context.get_dummy_value()

        return void(place, value), codegen

    @intrinsic
    def _borrow(typing_context: Any, array: Any) -> Any:
        """The same array without its reference count.

        Numba counts references, atomically, at every call that takes an array: 60 % of a kernel's time. The caller of
        the entry keeps the real reference for the whole call, so the borrowed one needs none.
        """

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            struct = context.make_array(signature.args[0])(context, builder, arguments[0])
            struct.meminfo = cgutils.get_null_value(struct.meminfo.type)
            struct.parent = cgutils.get_null_value(struct.parent.type)
            return struct._getvalue()

        return array(array), codegen

    borrow: Any = _borrow
    own: Any = _own
    note: Any = _note

    def records(array: Any) -> Any:
        """A structured array as kernels take it."""
        return array

else:

    def borrow(array: Any) -> Any:
        """The array itself: plain Python has no use for borrowing."""
        return array

    def own(record: Any) -> Any:
        """A copy of a record."""
        return record.copy()

    def note(place: Any, value: Any) -> None:
        """Writes the first element of an array."""
        place[0] = value

    def records(array: Any) -> Any:
        """A structured array whose rows have attributes, as compiled records have."""
        return array.view(np.recarray) if array.dtype.names else array
