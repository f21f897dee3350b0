"""Numba's functions that `functions/kernel_compiler.py` calls or replaces (ADR 0021): a new one is read before it is taken."""

import hashlib
import inspect

import pytest
from numba.core import codegen, compiler, cpu, dispatcher, environment

AS_READ = [
    (codegen.CodeLibrary._raise_if_finalized, "4595e383"),
    (codegen.CPUCodeLibrary._optimize_final_module, "e2cd44c2"),
    (codegen.CPUCodeLibrary._get_module_for_linking, "8489dda9"),
    (codegen.CPUCodeLibrary.finalize, "c59e846c"),
    (codegen.CPUCodeLibrary._finalize_final_module, "2f2a1168"),
    (codegen.CPUCodeLibrary.enable_object_caching, "dae065a7"),
    (codegen.JITCPUCodegen.set_env, "32ae4697"),
    (compiler.CompilerBase.__init__, "1032b6f7"),
    (compiler.CompileResult._reduce, "adc9d248"),
    (compiler.CompileResult._rebuild, "374efd88"),
    (cpu.CPUContext.get_executable, "fdde64eb"),
    (dispatcher._DispatcherBase.get_call_template, "662c5fcd"),
    (dispatcher._FunctionCompiler._compile_core, "36743d99"),
    (environment.lookup_environment, "efffe08d"),
]  # and what their source was when kernel_compiler.py was written for it


@pytest.mark.parametrize(("function", "as_read"), AS_READ, ids=lambda given: getattr(given, "__qualname__", ""))
def test_numba_is_as_it_was_when_its_compiler_was_adapted(function, as_read):
    now = hashlib.blake2b(inspect.getsource(function).encode(), digest_size=4).hexdigest()

    assert now == as_read, (
        f"Numba has changed {function.__module__}.{function.__qualname__}: read it beside functions/kernel_compiler.py, "
        f"adapt that or go back to Numba's own (ADR 0021), then write {now} here"
    )
