"""Where compiled kernels live: a folder a fingerprint of all our sources, in it a file a kernel and signature.

Numba's own cache looks only at the file of the outermost function, so an edited callee would keep its old behaviour for
ever, and two processes that save at once lose entries of its index. Here a stale kernel has no name to be found under,
and a file is replaced whole. Where nothing can be written the engine runs all the same, compiled in memory.
"""

import contextlib
import errno
import fcntl
import hashlib
import linecache
import os
import pickle
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import functions.toolchain  # noqa: F401 - Numba's first import

# isort: split
import llvmlite
import numba
import numpy as np
from numba.core import config as numba_config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("functions", "strategies")
KEPT: Final = 12  # folders of other versions that stay, the newest: branches are changed to and fro
IN_USE: Final = ".in-use"  # locked, shared, by every process that runs from the folder
_DIGEST: Final = 16
_config: Any = numba_config


def tree(root: Path = ROOT) -> list[Path]:
    """Every file that a kernel may be made from, sub-folders and tables included."""
    return [
        path
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and not any(p == "__pycache__" or p.startswith(".") for p in path.relative_to(root).parts)
    ]


def fingerprint(*sources: Path, root: Path = ROOT) -> str:
    """A name for what these sources compile to: their text and place, the toolchain, the switches that change the code."""
    digest = hashlib.blake2b(digest_size=8)
    for version in (
        sys.version, numba.__version__, np.__version__, llvmlite.__version__, _config.BOUNDSCHECK, _config.OPT,
    ):  # fmt: skip
        digest.update(f"{version}\0".encode())
    named = {(str(s.relative_to(root)) if s.is_relative_to(root) else s.name, s) for s in sources}
    for name, source in sorted(named):
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.blake2b(source.read_bytes()).digest())
    return digest.hexdigest()


# --- the folder ---------------------------------------------------------------------------------------------------------


def _entered(folder: Path) -> None:
    """Makes a folder and says that it is in use, until this process ends. Raises: `OSError`."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.fstat(lock).st_ino == (folder / IN_USE).stat().st_ino:
                os.utime(lock)  # its last use, for `remove_old`
                return  # the lock is held by leaving it open
        except FileNotFoundError:
            pass  # somebody removed the folder between the two: once more
        except OSError:
            os.close(lock)
            raise
        os.close(lock)


def _in(home: Path, name: str) -> Path:
    """The folder of a fingerprint below a home, in use from now on. Raises: `OSError`."""
    folder = home / name
    new = not folder.exists()
    try:
        _entered(folder)
    except OSError:
        if (folder / IN_USE).is_file():
            return folder  # filled before and read-only now, as in an image
        raise
    if new:
        remove_old(home)
    return folder


def _in_shared(home: Path, name: str) -> Path:
    """As `_in`, in a place where others write too: what is loaded from there is run, so it must be ours alone.

    Raises: `OSError`.
    """
    with contextlib.suppress(FileExistsError):
        home.mkdir(mode=0o700)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(errno.EPERM, "is not ours alone", str(home))
    return _in(home, name)


def _folder(name: str) -> Path | None:
    """The folder of a fingerprint, in use from now on; `None` where there is none to be had."""
    try:
        return _in(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alpha-panda" / "kernels", name)
    except (OSError, RuntimeError):  # cannot be written; no home
        pass
    try:
        return _in_shared(Path(tempfile.gettempdir()) / f"alpha-panda-kernels-{os.getuid()}", name)
    except OSError:
        return None


def remove_old(home: Path, kept: int = KEPT) -> None:
    """Removes the folders of other fingerprints but for the newest, and none that a process runs from."""
    for left in home.glob(".removed-*"):
        shutil.rmtree(left, ignore_errors=True)
    for folder in sorted(home.glob("[0-9a-f]*"), key=_last_use, reverse=True)[kept:]:
        try:
            lock = os.open(folder / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            continue
        removed = home / f".removed-{folder.name}-{os.getpid()}"
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.rename(removed)  # under the lock: who waits for it finds the folder gone, and makes it anew
        except OSError:
            continue
        finally:
            os.close(lock)
        shutil.rmtree(removed, ignore_errors=True)


def _last_use(folder: Path) -> float:
    try:
        return (folder / IN_USE).stat().st_mtime
    except OSError:
        return 0.0


FOLDER: Final = _folder(fingerprint(*tree()))


# --- one kernel ---------------------------------------------------------------------------------------------------------


class KernelCache(NullCache):
    """The compiled forms of one function on disk. What is no whole file of ours is as if it were not there.

    `before` is called with the types of arguments that have none, before it is compiled.
    """

    def __init__(self, function: Callable[..., Any], before: Callable[[Any], None] = lambda signature: None) -> None:
        self._function = function
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._before = before

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled form for a signature, or `None`."""
        found = self._loaded(sig, target_context)
        if found is None:
            self._before(sig)
        return found

    def _loaded(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        try:
            whole = path.read_bytes()
        except OSError:
            return None
        content = whole[_DIGEST:]
        if hashlib.blake2b(content, digest_size=_DIGEST).digest() != whole[:_DIGEST]:
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(content))

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keeps a compiled form; where it cannot be written, standard error says so once and it is used all the same."""
        path = self._path(sig, cres.codegen)
        if FOLDER is None:
            tell_unwritable("no folder for them can be made")
        if path is None or cres.library.has_dynamic_globals:  # addresses of this process
            return
        content = dumps(cres._reduce())
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            draft.write_bytes(hashlib.blake2b(content, digest_size=_DIGEST).digest() + content)
            draft.replace(path)
        except OSError as error:
            tell_unwritable(f"{path.parent}: {error.strerror}")
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        """The file of a signature; `None` where there is no folder, or no source to tell one version from another."""
        if FOLDER is None:
            return None
        source = self._function.__code__.co_filename
        key = f"{signature} {codegen.magic_tuple()}"
        if not any(Path(source).is_relative_to(ROOT / package) for package in PACKAGES):  # those the folder stands for
            lines = linecache.getlines(source)
            if not lines:
                return None
            key += f" {source} {''.join(lines)}"
        return FOLDER / f"{self._name}.{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}.kernel"


def is_kept(function: Any) -> bool:
    """Whether an entry has been compiled before, for whatever arguments."""
    name = f"{function.py_func.__module__}.{function.py_func.__qualname__}"
    return FOLDER is not None and next(FOLDER.glob(f"{name}.*.kernel"), None) is not None


_told: list[str] = []


def tell_unwritable(what: str) -> None:
    """One line on standard error, once a process: why every start compiles anew."""
    if not _told:
        _told.append(what)
        sys.stderr.write(
            f"warning: compiled kernels cannot be kept ({what}), so every start compiles them anew: "
            "make room there, or set XDG_CACHE_HOME to a folder that can be written\n"
        )
