"""The roster: every running strategy of a shard, each with its own instruments and its own state.

A tick reaches the strategies that take its instrument and no other, in O(1), and each of them once. What a strategy does
wrong costs it that tick only, and it is named; one that goes on so is suspended. The others never notice.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from functions.events import InstrumentConfig, StrategyConfig
from functions.kernel import records
from functions.signals import NO_SIGNALS, merge, route
from functions.ticks import TICK, Rows
from strategies.answers import words_of
from strategies.guest import NO_ROW, Answered, Guest, Host, Lost, NoHost, Overdue, all_lost, own_context
from strategies.parameters import StrategyError
from strategies.registry import configure
from strategies.states import Unkept, canonical, packed, unpacked

_WORDS: Final = TICK.itemsize // 8
_LAST_WORD: Final = _WORDS - 1
assert TICK.names is not None
assert TICK.names[-2:] == ("instrument", "quality")

_State = tuple[str, str, bool, int, bytes]  # name, fingerprint, whether it gets ticks, failures, its own state
_decode = msgspec.msgpack.Decoder(list[_State]).decode
MAX_FAILURES: Final = 10  # then a strategy is suspended: it has failed on this many ticks


class Failure(NamedTuple):
    """A strategy has lost a tick: `row` in the batch. `suspended` says that it has now done so once too often."""

    row: int
    strategy: str
    error: str
    message: str
    suspended: bool
    count: int  # ticks that it has lost, this one counted


class _Member:
    """One strategy at work."""

    def __init__(self, config: StrategyConfig, own: list[int], instruments: Sequence[InstrumentConfig]) -> None:
        self.name = config.strategy
        self.implementation = config.implementation
        self.made_of = fingerprint_of(config)
        self.own = np.array(own, np.int32)  # shard index of each of its instruments
        self.local = np.full(len(instruments) + 1, -1, np.int32)  # the other way round
        self.local[self.own] = np.arange(len(own))
        self.whole = own == list(range(len(instruments)))
        self.failures = 0
        self.retired = not config.enabled
        self.context = own_context()
        if not self.retired:
            self.strategy: Guest = self.context.run(configure, config.implementation, config.parameters)
            self.state: Any = self.context.run(self.strategy.start, [instruments[i] for i in own])

    def take(self, state: Any) -> None:
        """Goes on with this state. Raises: `StrategyError` where it is no state of this strategy."""
        if not isinstance(self.state, np.ndarray):
            self.state = state
            return
        if not isinstance(state, np.ndarray) or state.dtype != self.state.dtype or state.shape != self.state.shape:
            raise StrategyError(f"strategy {self.name}: its state in the snapshot has another layout")
        self.state[...] = state


def fingerprint_of(config: StrategyConfig) -> str:
    """What a strategy's state depends on: another one starts anew."""
    return msgspec.json.encode([config.implementation, config.parameters, sorted(config.instruments)]).decode()


def _all_shown(ticks: Rows) -> bool:
    """Whether every row is a tick of an instrument and none of them the print of a bar.

    The last word of a row is its instrument with its quality above it: beyond 31 bits it is a clock, or is marked.
    """
    return int(ticks.view(np.uint64)[_LAST_WORD::_WORDS].max()) < 2**31


def same_states(ours: bytes, theirs: bytes) -> bool:
    """Whether two rosters' `to_bytes` say the same of the same strategies, all of which are loaded."""
    try:
        pairs = list(zip(_decode(ours), _decode(theirs), strict=True))
        return all(one[:-1] == other[:-1] and _is_same(one, other) for one, other in pairs)
    except Exception:  # bytes that cannot be read are not the same
        return False


def _is_same(one: _State, other: _State) -> bool:
    """Whether two states of one strategy are the same."""
    implementation = msgspec.json.decode(one[1])[0]
    return one[-1] == other[-1] or canonical(one[-1], implementation) == canonical(other[-1], implementation)


class Roster:
    """The strategies, sorted by name; those that are not enabled have a number and get no ticks.

    `host` looks after the process that they run in.
    Raises: `StrategyError` naming the strategy that cannot be loaded, configured or routed.
    """

    def __init__(
        self, instruments: Sequence[InstrumentConfig], strategies: Sequence[StrategyConfig], host: Host | None = None
    ) -> None:
        self.host: Host = host or NoHost()
        self._asking: tuple[_Member, Rows | None, int] | None = (
            None  # whom, its rows of the batch, and how many it has seen
        )
        index_of = {instrument.instrument_token: n for n, instrument in enumerate(instruments)}
        self.names = [s.strategy for s in sorted(strategies, key=lambda s: s.strategy)]
        self._members: list[_Member] = []
        for config in sorted(strategies, key=lambda s: s.strategy):
            unknown = [token for token in config.instruments if token not in index_of]
            if unknown:
                raise StrategyError(f"strategy {config.strategy}: unknown instrument {', '.join(map(str, unknown))}")
            try:
                own = sorted(index_of[token] for token in config.instruments)
                self._members.append(_Member(config, own, instruments))
            except StrategyError as error:
                raise StrategyError(f"strategy {config.strategy}: {error}") from error
        self._enabled = [config.enabled for config in sorted(strategies, key=lambda s: s.strategy)]
        self._route(len(instruments))

    @property
    def suspended(self) -> list[str]:
        """The strategies that get no ticks any more because of what they did."""
        return [m.name for s, m in enumerate(self._members) if not self._enabled[s] and not m.retired]

    def _route(self, instruments: int) -> None:
        """Instrument → strategies, as slices of one list."""
        routes: list[list[int]] = [[] for _ in range(instruments)]
        for s, member in enumerate(self._members):
            if self._enabled[s]:
                for i in member.own.tolist():
                    routes[i].append(s)
        self._count = np.array([len(r) for r in routes], np.int64)
        self._first = np.concatenate([[0], np.cumsum(self._count)[:-1]]).astype(np.int64)
        self._targets = np.array([s for r in routes for s in r] or [0], np.int64)
        self._starts = np.zeros(len(self._members) + 1, np.int64)
        self._rows = np.empty(1024, np.int64)
        self._all_whole = all(m.whole for m, enabled in zip(self._members, self._enabled, strict=True) if enabled)

    def on_batch(self, ticks: Rows) -> tuple[Rows, list[Failure]]:
        """SIGNAL rows in total order (row, strategy, nth), `strategy` counting `names`; and who failed where.

        `ticks` are accepted TICK rows; rows of clocks (negative instrument) and opening prints of bars reach nobody.
        """
        if not len(ticks) or not self._members:
            return NO_SIGNALS, []
        alone = self._all_whole and _all_shown(ticks)
        if not alone:
            self._assign(ticks)
        parts: list[Rows] = []
        failures: list[Failure] = []
        for s, member in enumerate(self._members):
            if not self._enabled[s]:
                continue
            if alone:
                signals = self._ask(s, member, ticks, None, failures)
            else:
                rows = self._rows[self._starts[s] : self._starts[s + 1]]
                if not len(rows):
                    continue
                signals = self._ask(s, member, self._own_ticks(member, ticks, rows), rows, failures)
            if len(signals):
                signals["strategy"] = s
                parts.append(signals)
        if any(f.suspended for f in failures):  # not before the batch is over: the others' routes are in use
            self._route(len(self._count))
        failures.sort(key=lambda f: (f.row, f.strategy))
        return merge(parts), failures

    def _assign(self, ticks: Rows) -> None:
        for _ in range(2):
            needed = route(records(ticks), self._first, self._count, self._targets, self._starts, self._rows)
            if needed <= len(self._rows):
                return
            self._rows = np.empty(2 * needed, np.int64)

    @staticmethod
    def _own_ticks(member: _Member, ticks: Rows, rows: Rows) -> Rows:
        own = ticks[rows]
        if not member.whole:
            own["instrument"] = member.local[own["instrument"]]
        return own

    def _ask(self, s: int, member: _Member, ticks: Rows, rows: Rows | None, failures: list[Failure]) -> Rows:
        """The member's signals for its ticks, of which it is shown each once; it goes on behind every tick that it loses."""
        done = 0
        parts: list[Rows] = []
        most = member.strategy.most
        while done < len(ticks) and self._enabled[s]:
            part = ticks[done : done + most] if done or len(ticks) > most else ticks
            self._asking = member, rows, done
            signals, lost, shown = self._answered(member, part)
            for each in lost:
                at = done + each.row
                failures.append(self._failure(s, member, each, at if rows is None else int(rows[at])))
                if failures[-1].suspended:
                    signals = signals[signals["row"] < each.row]
                    break
            if len(signals):
                signals["row"] += done
                parts.append(signals)
            done += shown
        return self._in_batch(member, parts, rows)

    def _answered(self, member: _Member, ticks: Rows) -> Answered:
        """What the member answers, under the eyes of the host. Raises: the user's Ctrl-C."""
        host = self.host
        try:
            host.enter(member.name, self._at, is_python=member.strategy.is_python)
            try:
                return member.context.run(member.strategy.ask, member.state, ticks)
            finally:
                host.leave()
        except BaseException as error:  # its time was over while it was about to answer
            host.leave()
            if host.is_users(error):
                raise
            return all_lost(error, len(ticks))

    def _at(self) -> int:
        """The row of the batch that the member being asked is at."""
        if self._asking is None:
            return 0
        member, rows, done = self._asking
        row = done + member.strategy.at()
        return row if rows is None else int(rows[row])

    def _failure(self, s: int, member: _Member, lost: Lost, row: int) -> Failure:
        """One more tick that the member has lost, of the batch. Raises: the user's Ctrl-C."""
        if lost.cause is not None and self.host.is_users(lost.cause):
            raise lost.cause
        member.failures += 1
        suspended = member.failures >= MAX_FAILURES or isinstance(lost.cause, Overdue)
        self._enabled[s] = not suspended
        return Failure(row, member.name, lost.error, lost.message, suspended, member.failures)

    @staticmethod
    def _in_batch(member: _Member, parts: list[Rows], rows: Rows | None) -> Rows:
        """Rows and instruments counted as the whole batch counts them."""
        if not parts:
            return NO_SIGNALS
        signals = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if rows is not None:
            signals["row"] = rows[signals["row"]]
            if not member.whole:
                signals["instrument"] = member.own[signals["instrument"]]
        return signals

    # --- state --------------------------------------------------------------------------------------------------------

    def suspend(self, strategy: str) -> None:
        """From here on it gets no more ticks; nobody, where there is none of this name."""
        for s, member in enumerate(self._members):
            if member.name == strategy:
                self._enabled[s] = False
        self._route(len(self._count))

    def to_bytes(self) -> bytes:
        """State of all strategies as one blob; one that gets no more ticks has none. Raises: `Unkept`."""
        states = [
            (m.name, m.made_of, self._enabled[s], m.failures, self._packed(m) if self._enabled[s] else b"")
            for s, m in enumerate(self._members)
            if not m.retired
        ]
        return msgspec.msgpack.encode(states)

    def _packed(self, member: _Member) -> bytes:
        """The bytes of a member's state. Its own code makes them, under the eyes of the host. Raises: `Unkept`."""
        host = self.host
        try:
            host.enter(member.name, lambda: NO_ROW, is_python=member.strategy.is_python)
            try:
                return member.context.run(packed, member.state, member.implementation)
            finally:
                host.leave()
        except BaseException as error:
            host.leave()
            if host.is_users(error):
                raise
            reason = ": ".join(filter(None, words_of(error)))
            raise Unkept(member.name, f"keeps what cannot be kept ({reason})") from error

    def prove(self) -> None:
        """Raises: `StrategyError` naming a strategy whose state could not be kept."""
        try:
            self.to_bytes()
        except Unkept as unkept:
            raise StrategyError(f"{unkept}: what a strategy keeps must be picklable, and made again by it") from unkept

    def load(self, blob: bytes) -> None:
        """Takes over `to_bytes`; the blob must be our own, it is unpickled.

        A strategy that is new, or is configured otherwise than it was, starts anew (and is no longer suspended).
        Raises: `StrategyError` where the layout of a state has changed under the same configuration.
        """
        kept = {
            (name, made_of): (enabled, failures, state) for name, made_of, enabled, failures, state in _decode(blob)
        }
        for s, member in enumerate(self._members):
            if member.retired or (member.name, member.made_of) not in kept:
                continue
            enabled, failures, state = kept[member.name, member.made_of]
            if enabled:
                member.take(self._unpacked(member, state))
            member.failures = failures
            self._enabled[s] = self._enabled[s] and enabled
        self._route(len(self._count))

    @staticmethod
    def _unpacked(member: _Member, blob: bytes) -> Any:
        try:
            return member.context.run(unpacked, blob, member.implementation)
        except Exception as error:  # whatever the bytes make it do
            raise StrategyError(
                f"strategy {member.name}: its state in the snapshot cannot be read: {': '.join(words_of(error))}"
            ) from error

    def take_over(self, other: "Roster") -> None:
        """Goes on where another roster of this process stands, which is then left: as `load`, and nothing is copied."""
        theirs = {(m.name, m.made_of): (s, m) for s, m in enumerate(other._members) if not m.retired}
        for s, member in enumerate(self._members):
            if member.retired or (member.name, member.made_of) not in theirs:
                continue
            there, one = theirs[member.name, member.made_of]
            member.take(one.state)
            member.context = one.context
            member.failures = one.failures
            self._enabled[s] = self._enabled[s] and other._enabled[there]
        self._route(len(self._count))
