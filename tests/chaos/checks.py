"""Checks: what must be true of the log whatever befell the workers. Each answers with lines of text, one a fault.

They look at a finished log and at nothing else, so the same checks judge a run of ours, of a real broker, and a planted bug.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from dataflows.recovery import input_topics, positions_of, unpacked
from functions import orders
from functions.assignment import Seat
from functions.codec import decode_head
from functions.events import (
    OrderAck,
    OrderFailed,
    OrderFilled,
    OrderPlaced,
    OrderSubmitted,
    PnlSnapshot,
    SignalRejected,
    SignalValidated,
    SystemAlert,
    TradingSignal,
)
from functions.journal import Entry, Opening, Start, named
from functions.topics import CONFIG_INSTRUMENTS
from tests.chaos.history import BROKER, Due, History, Place, Told, mark_of, worker_of

Faults = list[str]
SHOWN: Final = 5  # of the faults of one kind


# --- inputs -----------------------------------------------------------------------------------------------------------


def no_input_lost(history: History) -> Faults:
    """The journal covers every input offset once: each run begins where the one before it in its partition ended."""
    return [fault for seat in history.seats for fault in _uncovered(history, seat)]


def _uncovered(history: History, seat: Seat) -> Faults:
    faults: Faults = []
    read: dict[Place, int] = {}
    topics: tuple[str, ...] = ()
    for at, line in history.lines(seat):
        if isinstance(line, Opening):
            opened = history_positions(line)
            faults += _not_where_it_was(at, read, opened)
            read = opened
        elif isinstance(line, Entry):
            for topic, partition, first, last in (run for batch in line.batches for run in named(batch, topics)):
                due = read.get((topic, partition), 0)
                if first != due:
                    what = "read again" if first < due else "left out"
                    faults.append(f"entry {at}: {topic} [{partition}] from {first}, due was {due}: {what}")
                read[topic, partition] = last + 1
        elif isinstance(line, Start):
            topics = line.topics
    return [f"shard {seat}: {fault}" for fault in faults + _not_read_to_the_end(history, read)]


def history_positions(opening: Opening) -> dict[Place, int]:
    return positions_of(unpacked(opening).positions)


def _not_where_it_was(at: int, read: dict[Place, int], opened: dict[Place, int]) -> Faults:
    """A session opens where the one before it was; instruments it has read anew."""
    return [
        f"opening {at}: {place[0]} [{place[1]}] at {opened.get(place)}, the journal had come to {offset}"
        for place, offset in read.items()
        if opened.get(place) != offset and not (place[0] == CONFIG_INSTRUMENTS.name and opened.get(place, -1) >= offset)
    ]


def _not_read_to_the_end(history: History, read: dict[Place, int]) -> Faults:
    ends = {place: max(records) + 1 for place, records in history.places.items() if place[0] in input_topics(BROKER)}
    return [
        f"{place[0]} [{place[1]}] is read up to {read.get(place, 0)}, it ends at {end}"
        for place, end in ends.items()
        if read.get(place, 0) != end
    ]


# --- state ------------------------------------------------------------------------------------------------------------


def state_is_the_fold(history: History) -> Faults:
    """The journal can be folded anew, every count and checksum agrees, and so does the newest snapshot byte for byte."""
    faults: Faults = []
    for seat, told in history.refolded.items():
        faults += told.faults
        if told.first is None:
            faults.append(f"shard {seat} has never begun")
        elif told.unlike is None and not told.faults:
            faults.append(f"shard {seat}: it has no snapshot")
        elif told.unlike:
            faults.append(f"shard {seat}: the newest snapshot differs in {', '.join(told.unlike)}")
    return faults


# --- outputs ----------------------------------------------------------------------------------------------------------


def outputs_are_what_the_journal_says(history: History) -> Faults:
    """Record by record: nothing missing, nothing more, the same key and bytes, in the order decided."""
    due: dict[bytes, Due] = {one.mark: one for told in history.refolded.values() for one in told.due}
    faults: Faults = []
    seen: set[bytes] = set()
    latest: dict[tuple[str, int, str], bytes] = {}
    for mark, record in history.written:
        what = f"{record.topic} [{record.partition}] {record.offset}"
        wanted = due.get(mark)
        if wanted is None:
            faults.append(f"{what}: rests on no entry of a journal that counts ({mark.decode() or 'no mark'})")
            continue
        if (wanted.topic, wanted.key, wanted.value) != (record.topic, record.key, record.value):
            faults.append(f"{what}: {mark.decode()} is not what its entry leads to")
        place = (record.topic, record.partition, worker_of(mark))
        if mark in seen:
            faults.append(f"{what}: {mark.decode()} for a second time")
        elif mark < latest.get(place, b""):
            faults.append(f"{what}: {mark.decode()} behind {latest[place].decode()}")
        seen.add(mark)
        latest[place] = max(mark, latest.get(place, b""))
    missing = sorted(due.keys() - seen)
    return faults + [f"{due[mark].topic}: {mark.decode()} was never written" for mark in missing]


def a_key_stays_in_its_partition(history: History) -> Faults:
    """Events of one key keep their order because they keep their partition."""
    places: dict[tuple[str, bytes | None], set[int]] = defaultdict(set)
    for _, record in history.written:
        places[record.topic, record.key].add(record.partition)
    return [f"{topic}: key {key!r} in partitions {sorted(n)}" for (topic, key), n in places.items() if len(n) > 1]


def one_id_one_content(history: History) -> Faults:
    """Whatever copies there are, they say the same; and without copies a worker says nothing twice."""
    contents: dict[str, set[bytes]] = defaultdict(set)
    times: Counter[tuple[str, str]] = Counter()
    for records in history.records.values():
        for record in records:
            if mark_of(record) and record.value and not record.topic.endswith(".dlq"):
                contents[decode_head(record.value).id].add(record.value)
    for worker, told in history.events.items():
        times.update((worker, one.event.id) for one in told)
    return [f"id {id} has {len(values)} contents" for id, values in contents.items() if len(values) > 1] + [
        f"id {id} of {worker} was written {n} times" for (worker, id), n in times.items() if n > 1
    ]


# --- decisions --------------------------------------------------------------------------------------------------------


def one_decision_a_cause(history: History) -> Faults:
    """An account answers a signal once; what it lets leave is one order; others are the cut-off's, after its alert."""
    answers: Counter[tuple[str, str]] = Counter()
    wanted: set[str] = set()
    alerts: set[str] = set()
    of_the_system: dict[str, str] = {}
    left: dict[str, str] = {}
    sent: Counter[str] = Counter()
    for one in history.every_event():
        match one.event.data:
            case TradingSignal(signal_id=signal):
                wanted.add(signal)
            case SignalValidated(signal_id=signal, account=account, order_id=order):
                answers[signal, account] += 1
                left[order] = signal
            case SignalRejected(signal_id=signal, account=account):
                answers[signal, account] += 1
            case OrderSubmitted(order_id=order, origin="square_off", signal_id=alert):
                of_the_system[order] = alert
                sent[order] += 1
            case OrderSubmitted(order_id=order):
                sent[order] += 1
            case SystemAlert():
                alerts.add(one.event.id)
            case _:
                pass
    return [
        *(f"signal {signal} was answered {n} times by {account}" for (signal, account), n in answers.items() if n > 1),
        *(f"signal {signal} was answered by {account}, nobody wanted it"
          for signal, account in answers if signal not in wanted),
        *(f"signal {signal} was never answered" for signal in wanted - {signal for signal, _ in answers}),
        *(f"order {order} was submitted {n} times" for order, n in sent.items() if n > 1),
        *(f"order {order} was submitted, no account let it leave"
          for order in sent.keys() - left.keys() - of_the_system.keys()),
        *(f"order {order} squares off, and no alert has announced it"
          for order, alert in of_the_system.items() if alert not in alerts),
        *(f"order {order} was let leave and never submitted" for order in left.keys() - sent.keys()),
    ]  # fmt: skip


_STEPS: Final[dict[type, int]] = {
    OrderSubmitted: int(orders.SUBMIT), OrderAck: int(orders.ACKNOWLEDGE), OrderPlaced: int(orders.PLACE),
    OrderFailed: int(orders.FAIL),
}  # fmt: skip


def orders_live_legally(history: History) -> Faults:
    """Every order goes through the one state machine, and fills no more than was ordered."""
    faults: Faults = []
    for told in history.events.values():
        lives: dict[str, list[Any]] = defaultdict(list)
        for one in told:
            if type(one.event.data) in _STEPS or isinstance(one.event.data, OrderFilled):
                lives[one.event.data.order_id].append(one.event.data)
        faults += [f"order {order}: {fault}" for order, life in lives.items() for fault in _illegal(life)]
    return faults


def _illegal(life: list[Any]) -> Faults:
    faults: Faults = []
    state = int(orders.NEW)
    left = life[0].quantity if isinstance(life[0], OrderSubmitted) else 0
    for event in life:
        if isinstance(event, OrderFilled):
            step = int(orders.FILL_PART if event.remaining else orders.FILL_ALL)
            left -= event.quantity
        else:
            step = _STEPS[type(event)]
        after = orders.next_state(state, step)
        if after == orders.ILLEGAL:
            faults.append(f"{orders.EVENTS[step]} when it was {orders.STATES[state]}")
        else:
            state = after
        if isinstance(event, OrderFilled | OrderFailed) and event.remaining != left:
            faults.append(f"{event.remaining} left to fill, by its fills {left}")
    return faults


# --- money ------------------------------------------------------------------------------------------------------------


class Books:
    """Cash and holdings of every account, folded from the fills alone."""

    def __init__(self, capital: dict[str, str]) -> None:
        self.cash = {account: Decimal(amount) for account, amount in capital.items()}
        self.held: Counter[tuple[str, str, int]] = Counter()
        self.charges: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self.realised: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)

    def fill(self, fill: OrderFilled) -> Faults:
        """Takes a fill in."""
        signed = fill.quantity if fill.side == "BUY" else -fill.quantity
        at = (fill.account, fill.strategy, fill.instrument_token)
        value, charges = Decimal(fill.value), Decimal(fill.charges)
        self.held[at] += signed
        self.cash[fill.account] -= (value if signed > 0 else -value) + charges
        self.charges[fill.account, fill.strategy] += charges
        self.realised[fill.account, fill.strategy] += Decimal(fill.realised_pnl)
        faults = []
        if self.held[at] != fill.position:
            faults.append(f"{at} holds {fill.position}, by its fills {self.held[at]}")
        if value != fill.quantity * Decimal(fill.price):
            faults.append(f"{fill.quantity} at {fill.price} cost {fill.value}")
        return faults

    def snapshot(self, told: PnlSnapshot) -> Faults:
        """Compares an account's own snapshot."""
        pairs = [("cash", told.cash, self.cash[told.account])]
        for one in told.strategies:
            at = (told.account, one.strategy)
            pairs += [("charges", one.charges, self.charges[at]), ("realised", one.realised, self.realised[at])]
            pairs += [
                (
                    f"{one.strategy} of {p.instrument_token}",
                    str(p.quantity),
                    Decimal(self.held[*at, p.instrument_token]),
                )
                for p in one.positions
            ]
        return [
            f"{told.account}: {name} {amount}, by its fills {wanted}"
            for name, amount, wanted in pairs
            if Decimal(amount) != wanted
        ]


def money_is_conserved(history: History) -> Faults:
    """Cash, charges and quantities in every snapshot of an account are what its fills add up to."""
    faults: Faults = []
    for seat, refolded in history.refolded.items():
        books = Books(refolded.capital)
        for one in history.events.get(seat.key(BROKER), []):
            faults += [f"{one.mark.decode()}: {fault}" for fault in _booked(books, one)]
    return faults


def _booked(books: Books, one: Told) -> Faults:
    match one.event.data:
        case OrderFilled() as fill:
            return books.fill(fill)
        case PnlSnapshot() as told:
            return books.snapshot(told)
        case _:
            return []


# --- all of them ------------------------------------------------------------------------------------------------------

CHECKS: Final[tuple[Callable[[History], Faults], ...]] = (
    no_input_lost, state_is_the_fold, outputs_are_what_the_journal_says, a_key_stays_in_its_partition, one_id_one_content,
    one_decision_a_cause, orders_live_legally, money_is_conserved,
)  # fmt: skip


def faults_of(history: History) -> dict[str, Faults]:
    """What each check has found; empty when all is well."""
    found = {check.__name__: check(history) for check in CHECKS}
    return {name: faults for name, faults in found.items() if faults}


def in_words(found: dict[str, Faults]) -> str:
    """The first few of every kind."""
    return "\n".join(_some(name, faults) for name, faults in found.items())


def _some(name: str, faults: Iterable[str]) -> str:
    listed = list(faults)
    more = f"\n    … and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return f"{name}: {len(listed)}\n" + "\n".join(f"    {fault}" for fault in listed[:SHOWN]) + more
