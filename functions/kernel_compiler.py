"""How a chain of kernels becomes machine code: an inner kernel waits as LLVM's text until the entry above it is finished.

Numba optimises each function together with all it calls, and again in every caller up the chain, and makes machine code
of each although Python can call the entry alone. Here it is done once, in the entry, which also hides the functions it
took in: they go where nobody uses them any more.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import functions.toolchain  # noqa: F401 - Numba's first import

# isort: split
import numba
from llvmlite.binding import Linkage
from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.environment import lookup_environment
from numba.core.errors import UnsupportedError
from numba.core.registry import CPUDispatcher
from numba.core.types import int8, int16, int32, int64

SIGNED: Final = (int8, int16, int32, int64)
_LATER: Final = ".numba.unresolved$"  # names what is called before it is compiled
_python_function: Any = numba.__dict__["_dynfunc"].make_function  # of C: no type checker sees it


class InnerCode(JITCodeLibrary):
    """An inner kernel's code, which is never run by itself."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        if self._shared_module is None:
            module = self._final_module.clone()
            for function in module.functions:
                if not function.is_declaration and function.linkage == Linkage.external:
                    function.linkage = "linkonce_odr"
            for library in _reached(self):
                module.link_in(_alone(library), preserve=True)
            self._shared_module = module
        return self._shared_module


class EntryCode(JITCodeLibrary):
    """An entry's code with that of its whole chain."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        own = {function.name for function in self._final_module.functions if not function.is_declaration}
        for library in _reached(self):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(_alone(library), preserve=True)
        for function in self._final_module.functions:
            if not function.is_declaration and function.name not in own:
                function.linkage = "internal"
        if any(variable.name.startswith(_LATER) for variable in self._final_module.global_variables):
            raise UnsupportedError("kernels that call each other in a circle are not compiled: make one of them a loop")
        self._optimize_final_module()
        self._final_module.verify()
        self._finalize_final_module()
        codegen: Any = self.codegen
        for variable in self._final_module.global_variables:
            environment = lookup_environment(variable.name)
            if environment is not None:
                codegen.set_env(variable.name, environment)


def _alone(library: JITCodeLibrary) -> Any:
    """A module without what it calls, where that waits too."""
    return library._final_module if isinstance(library, InnerCode) else library._get_module_for_linking()


def _reached(library: JITCodeLibrary) -> list[JITCodeLibrary]:
    """Every library that a library's code calls into, once each."""
    reached: dict[JITCodeLibrary, None] = {}
    waiting = list(library._linking_libraries)
    while waiting:
        each = waiting.pop()
        if each not in reached:
            reached[each] = None
            if isinstance(each, InnerCode):
                waiting += each._linking_libraries
    return list(reached)


def _no_address(library: Any, described: Any, environment: Any) -> Any:
    """Stands for an inner kernel among those that call it."""
    return _python_function(
        described.lookup_module(), described.qualname.split(".")[-1], "", 0, environment, (library,)
    )


class _Compiler(Compiler):
    library_class: type[JITCodeLibrary]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.library = self.library_class(self.state.targetctx.codegen(), "kernel")


class InnerCompiler(_Compiler):
    """Compiles as far as LLVM's text."""

    library_class = InnerCode

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.targetctx.get_executable = _no_address


class EntryCompiler(_Compiler):
    """Compiles the whole chain."""

    library_class = EntryCode

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.library.enable_object_caching()

    def compile_extra(self, func: Any) -> Any:
        """Numba's name for: from a Python function to machine code."""
        with _watched():
            return super().compile_extra(func)


_watched: Callable[[], AbstractContextManager[None]] = nullcontext


def watch_compiling(watched: Callable[[], AbstractContextManager[None]]) -> None:
    """From now on each entry is compiled within one of these: it takes seconds."""
    global _watched  # noqa: PLW0603 - one compiler a process
    _watched = watched


class InnerKernel(CPUDispatcher):
    """A kernel that other kernels call, compiled once for a number, whatever constant or narrow integer it is given."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        return super().get_call_template(
            tuple(_plain(each) for each in args), {name: _plain(each) for name, each in kws.items()}
        )


def _plain(given: Any) -> Any:
    plain = types.unliteral(given)
    return int64 if plain in SIGNED else plain
