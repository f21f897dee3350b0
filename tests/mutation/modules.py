"""Mutants of one module of `functions/` against its unit tests, with the compiler off.

What does not change is imported once; each mutant is then tried in a fork, in which an import of its module finds the mutant.
No file is touched. A mutant that takes far longer than the original has been seen.
"""

import contextlib
import gc
import importlib
import importlib.machinery
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any, Final

import pytest

from tests.mutation.mutants import SURVIVORS, Mutant
from tests.mutation.source import mutants_of

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = (
    "functions",
    "strategies",
    "dataflows",
    "connectors",
    "api",
    "analytics",
    "deploy",
    "cli",
    "tests",
    "conftest",
)
PATIENCE: Final = 5.0  # times as long as the original
_QUIET: Final = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # what is imported before is no module of ours
MEMORY: Final = 8 << 30


def listed() -> list[str]:
    """Modules whose survivors are written down."""
    return sorted(
        path.stem for path in SURVIVORS.glob("*.txt") if (ROOT / "functions" / path.name).with_suffix(".py").exists()
    )


def tests_of(name: str) -> list[str]:
    """The module itself, for its examples, and its unit tests: `test_NAME.py` and `test_NAME_*.py`."""
    found = sorted([*ROOT.glob(f"tests/unit/test_{name}.py"), *ROOT.glob(f"tests/unit/test_{name}_*.py")])
    return [str(path) for path in [*found, ROOT / "functions" / f"{name}.py"]]


class _Mutated(importlib.machinery.SourceFileLoader):
    """Loads a module of another text than that of its file."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> Any:
        return compile(self._text, self.path, "exec")


class _Finder:
    """Stands before all others; before pytest's too, which takes the files that it is given for itself."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._path = str(ROOT / Path(*name.split("."))) + ".py"

    def pytest_sessionstart(self) -> None:
        sys.meta_path.remove(self)
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        return spec_from_file_location(name, self._path, loader=_Mutated(name, self._path, self._text))


def _tried(name: str, text: str, tests: Sequence[str], told: int) -> int:
    """In a fork: what pytest says of the mutant, and on `told` the modules that it has imported."""
    import hypothesis

    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    hypothesis.settings.register_profile("mutation", database=None, derandomize=True)
    hypothesis.settings.load_profile("mutation")
    finder = _Finder(f"functions.{name}", text)
    sys.meta_path.insert(0, finder)
    options = ["-q", "-x", "-p", "no:cacheprovider", "--no-header", "--tb=no", *_QUIET, f"--rootdir={ROOT}"]
    code = pytest.main([*options, *tests], plugins=[finder])
    names = [module for module in sys.modules if module.partition(".")[0] not in OURS]
    with contextlib.suppress(BrokenPipeError):
        os.write(told, "\n".join(names).encode()[: 1 << 16])
    return int(code)


class _Attempt:
    """A mutant in its fork."""

    def __init__(self, name: str, text: str, tests: Sequence[str]) -> None:
        self.began = time.monotonic()
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 3
            try:
                os.close(self._read)
                code = _tried(name, text, tests, write)
            finally:
                os._exit(code)
        os.close(write)
        self._said = b""

    def code(self, patience_s: float) -> int | None:
        """The exit code when it has ended; -1 after it was ended for taking too long."""
        while select.select([self._read], [], [], 0)[0]:
            part = os.read(self._read, 1 << 16)
            self._said += part
            if not part:
                break
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            os.close(self._read)
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - self.began < patience_s:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._read)
        return -1

    @property
    def imported(self) -> list[str]:
        return self._said.decode().split("\n")


def _ended(attempt: _Attempt, patience_s: float) -> int:
    while (code := attempt.code(patience_s)) is None:
        time.sleep(0.02)
    return code


def survivors(name: str, jobs: int) -> tuple[int, list[Mutant]]:
    """How many mutants a module has, and those that its tests pass with. Raises: `ValueError` where the original fails."""
    text, tests = (ROOT / "functions" / f"{name}.py").read_text(), tests_of(name)
    if len(tests) == 1:
        raise ValueError(f"functions/{name}.py has no tests/unit/test_{name}.py")
    first = _Attempt(name, text, tests)
    if _ended(first, 600.0) != 0:
        raise ValueError(f"the tests of functions/{name}.py fail: run {' '.join(tests)} with NUMBA_DISABLE_JIT=1")
    for module in first.imported:  # a fork has them already
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    gc.freeze()
    again = _Attempt(name, text, tests)
    if _ended(again, 600.0) != 0:
        raise ValueError(f"the tests of functions/{name}.py pass once and fail the second time")
    patience_s = 10.0 + PATIENCE * (time.monotonic() - again.began)

    made = mutants_of(text)
    waiting, survived = list(reversed(made)), []
    running: dict[_Attempt, Mutant] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[_Attempt(name, mutant.text, tests)] = mutant
        for attempt in list(running):
            code = attempt.code(patience_s)
            if code is not None:
                mutant = running.pop(attempt)
                survived += [mutant] if code == 0 else []
        time.sleep(0.02)
    return len(made), [mutant for mutant in made if mutant in survived]
