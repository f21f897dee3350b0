"""The judge of nasty strategies: what each cost, what was told of it, and that the others have noticed nothing."""

from collections.abc import Sequence

from tests.nasty.grammar import Effect, Nasty, expected
from tests.nasty.places import TICKS, Seen

FAILED, SUSPENDED = "strategy_failed", "strategy_suspended"


def faults_of(nasties: Sequence[Nasty], seen: Seen, alone: Seen, *, live: bool) -> list[str]:
    """Everything that is not as it must be, in words. `alone` is what the others wanted without the nasty ones."""
    if seen.broken:
        return [f"the run did not go on: {seen.broken}"]
    faults = [] if sorted(seen.good) == sorted(alone.good) else ["the others did not want the same bytes as alone"]
    for nasty in nasties:
        faults += [f"{nasty.name} ({nasty.form}, {nasty.deed.code!r}): {fault}" for fault in _faults(nasty, seen, live)]
    strangers = set(seen.told) - {nasty.name for nasty in nasties}
    return faults + [f"{name} was told of, and did nothing" for name in sorted(strangers)]


def _faults(nasty: Nasty, seen: Seen, live: bool) -> list[str]:
    due = expected(nasty, TICKS["instrument"].tolist(), live=live)
    told = seen.told.get(nasty.name, [])
    lost = seen.lost.get(nasty.name, [])
    if nasty.deed.effect is Effect.STUBBORN and not live:
        return [] if told == [SUSPENDED] else ["a backtest did not end and name it"]
    faults = _faults_of_signals(seen.signals.get(nasty.name, []), due.sure, due.sure | due.unsure)
    if len(set(lost)) != len(lost):
        faults.append(f"lost a tick twice: {lost}")
    if len(lost) not in due.lost:
        faults.append(f"lost {len(lost)} ticks, {due.lost} were due")
    if told.count(SUSPENDED) > 1 or told.count(FAILED) > 1:
        faults.append(f"was told more than once: {told}")
    if lost and not told:
        faults.append("lost ticks and was not told of")
    if due.suspended is not None and due.suspended != (SUSPENDED in told):
        faults.append(f"suspended: {SUSPENDED in told}, {due.suspended} was due")
    return faults


def _faults_of_signals(signals: list[tuple[int, int]], sure: dict[int, int], possible: dict[int, int]) -> list[str]:
    """A quantity counts the ticks that it was shown: another one says that one was shown twice, or not at all."""
    rows = [row for row, _ in signals]
    faults = [] if len(set(rows)) == len(rows) else ["wanted something twice on one tick"]
    wrong = [(row, quantity, possible.get(row)) for row, quantity in signals if possible.get(row) != quantity]
    if wrong:
        faults.append(f"wanted (tick, quantity, due): {wrong[:5]}")
    missing = sorted(set(sure) - set(rows))
    return [*faults, f"wanted nothing on {len(missing)} ticks, first {missing[:5]}"] if missing else faults
