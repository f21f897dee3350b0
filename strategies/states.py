"""States of strategies as bytes, for snapshots: arrays and objects of Python are pickled, and proven to be readable again."""

import io
import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np

from strategies.parameters import StrategyError
from strategies.registry import module_name


class Unkept(StrategyError):
    """The state of a strategy cannot be kept, so it cannot go on: who, and why."""

    def __init__(self, strategy: str, reason: str) -> None:
        super().__init__(f"strategy {strategy} {reason}")
        self.strategy = strategy
        self.reason = reason


class _Unpickler(pickle.Unpickler):
    """Reads the state of one strategy. Its file was once a module under the file's own name, and is under ours now."""

    def __init__(self, blob: bytes, implementation: str) -> None:
        super().__init__(io.BytesIO(blob))
        path = implementation.rpartition(":")[0]
        self._renamed = {Path(path).stem: module_name(path)} if path.endswith(".py") else {}

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(self._renamed.get(module, module), name)


def packed(state: Any, implementation: str) -> bytes:
    """The bytes of a state that `unpacked` reads again. Raises: whatever the strategy's own objects raise."""
    blob = pickle.dumps(state, protocol=5)
    if not isinstance(state, np.ndarray):
        unpacked(blob, implementation)  # an error with arguments of its own is written and cannot be read, for one
    return blob


def unpacked(blob: bytes, implementation: str) -> Any:
    """The state again. Raises: whatever the bytes make it raise."""
    return _Unpickler(blob, implementation).load()


_PurePickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class _Canonical(_PurePickler):
    """Writes what says the same as the same bytes.

    Text, bytes and tuples of such are written out each time: whether two equal ones are one object is nobody's business.
    Sets are written in the order of their elements' bytes: their own order depends on the process, and on how they came about.
    """

    dispatch: Final = dict(_PurePickler.dispatch)

    def memoize(self, obj: Any) -> None:
        if not _is_plain(obj):
            super().memoize(obj)

    def save_set(self, obj: set[Any] | frozenset[Any]) -> None:
        self.save((type(obj).__name__, sorted(map(_canonical, obj))))

    dispatch[set] = dispatch[frozenset] = save_set


def _is_plain(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return type(value) in (str, bytes, int, float, bool, complex, type(None))


def canonical(blob: bytes, implementation: str) -> bytes:
    """Bytes that are the same for states that are the same: of `packed` a string that is kept twice is one or two.

    Nobody reads them. Raises: whatever the bytes make it raise.
    """
    return _canonical(unpacked(blob, implementation))


def _canonical(value: Any) -> bytes:
    file = io.BytesIO()
    _Canonical(file, protocol=5).dump(value)
    return file.getvalue()
