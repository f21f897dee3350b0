"""`@kernel`: a small pure function over records that Numba compiles; with the compiler off the same source is plain Python.

`@entry` is the one kernel of a chain that Python calls. Inner kernels get no Python wrapper: wrappers are 40 % of the
compile time. The compiled code is cached on disk under a name made of all our sources and of every version that
shapes it: Numba itself looks only at the file of the outermost function, so an edited callee would keep its old
behaviour for ever. `NUMBA_DISABLE_JIT=1` turns the compiler off, `NUMBA_BOUNDSCHECK=1` checks every index.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core import cgutils
from numba.core import config as numba_config
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

_ROOT: Final = Path(__file__).resolve().parent.parent
config: Any = numba_config  # its switches are made at run time, no type checker sees them
COMPILED: Final[bool] = not config.DISABLE_JIT


def fingerprint(*sources: Path) -> str:
    """A name for what these sources compile to: their text, the toolchain and the switches that change the code."""
    digest = hashlib.blake2b(digest_size=8)
    for version in (sys.version, numba.__version__, np.__version__, llvmlite.__version__, str(config.BOUNDSCHECK)):
        digest.update(version.encode())
    for source in sorted(sources):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _cache_folder() -> Path:
    """Where compiled kernels live: one folder a fingerprint, so that a stale kernel has no name to be found under."""
    name = fingerprint(*(_ROOT / "functions").glob("*.py"), *(_ROOT / "strategies").glob("*.py"))
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alpha-panda" / "kernels"
    if not _writable(home / name):
        home = Path(tempfile.gettempdir()) / f"alpha-panda-kernels-{os.getuid()}"
        (home / name).mkdir(parents=True, exist_ok=True)
    return home / name


CACHE: Final = _cache_folder()
config.CACHE_DIR = str(CACHE)

# error_model "numpy": a division by zero gives inf or 0 as in arrays, it costs no branch that raises
_options: Final[dict[str, Any]] = {"cache": True, "error_model": "numpy"}
_compile: Any = njit


def kernel(function: F) -> F:
    """A decision that other kernels call; compiled, it has no Python wrapper, so Python must not call it."""
    return cast(F, _compile(**_options, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function))


def inlined(function: F) -> F:
    """A kernel whose code is put into its caller: for steps of a few instructions, where the call would cost more."""
    return cast(F, _compile(**_options, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)(function))


def entry(function: F) -> F:
    """A kernel that Python calls; its arrays should be `borrow`ed first thing."""
    return cast(F, _compile(**_options, no_cfunc_wrapper=True)(function))


if COMPILED:

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

    def records(array: Any) -> Any:
        """A structured array as kernels take it."""
        return array

else:

    def borrow(array: Any) -> Any:
        """The array itself: plain Python has no use for borrowing."""
        return array

    def records(array: Any) -> Any:
        """A structured array whose rows have attributes, as compiled records have."""
        return array.view(np.recarray) if array.dtype.names else array
