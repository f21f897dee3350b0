"""Where nasty strategies run, beside two that behave: in a backtest, in a demo, on the flow. Each run is a process of its own.

What a place shows of a run is `Seen`: signals of the nasty ones, ticks that they have lost, what was told of them, and what
the others wanted to the byte.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Record
from connectors.kafka.source import fetch_all
from connectors.lake.files import Files
from connectors.lake.records import LakeRecords
from connectors.lake.stores import store_at
from connectors.settings import LakeSettings, Settings
from dataflows import backtest
from functions.codec import decode
from functions.events import StrategyConfig
from functions.journal import Copies
from functions.ticks import Rows
from functions.timestamps import nanoseconds, timestamp
from functions.topics import MARKET_TICKS, SYSTEM_ALERTS
from tests.desk import account, instrument
from tests.market import walk
from tests.nasty.grammar import Effect, Nasty
from tests.recorded import config_events, tick_events
from tests.traded import write

ROOT: Final = Path(__file__).resolve().parents[2]
TOKENS: Final = [11, 22, 33]
INSTRUMENTS: Final = [instrument(token) for token in TOKENS]
STEP_NS: Final = 20_000_000
TICKS: Final = walk(450, len(TOKENS), 0.0012, 5, step_ns=STEP_NS)
OWN, OTHER = account("own"), account("other")
SIGNALS: Final = "paper.signals.raw"
LIMIT_S: Final = 1.0
SLOWEST_S: Final = 900.0
GOOD: Final = '''"""Behaves: buys while the price rises, and keeps what it has seen."""


class Good:
    fields = ("price", "instrument_token")
    per_instrument = False

    def __init__(self):
        self.last, self.rises = {}, 0

    def on_tick(self, tick):
        self.rises += tick.price > self.last.get(tick.instrument_token, tick.price)
        self.last[tick.instrument_token] = tick.price
        return self.rises if self.rises % 3 == 1 else 0
'''


@dataclass
class Seen:
    """What came of a run. Signals are `(tick, signed quantity)`."""

    signals: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    lost: dict[str, list[int]] = field(default_factory=dict)  # ticks
    told: dict[str, list[str]] = field(default_factory=dict)  # codes of alerts
    good: list[str] = field(default_factory=list)
    broken: str = ""  # the run did not go on to its end


Place = Callable[[Sequence[Nasty], Path], Seen]


def configured(nasties: Sequence[Nasty], directory: Path, nasty_account: str) -> list[StrategyConfig]:
    """The strategies, with their files written."""
    (directory / "good.py").write_text(GOOD)
    good = [
        StrategyConfig("good", f"{directory}/good.py:Good", {}, TOKENS, ["own"]),
        StrategyConfig("momentum", "momentum", {"quantity": 2}, TOKENS, ["own"]),
    ]
    return good + [
        StrategyConfig(nasty.name, written(nasty, directory), {}, TOKENS, [nasty_account]) for nasty in nasties
    ]


def written(nasty: Nasty, directory: Path) -> str:
    """Its implementation, in a file of its own."""
    path = directory / f"{nasty.name}.py"
    path.write_text(nasty.source(), encoding="utf-8")
    return f"{path}:{nasty.attribute}"


def row_of(time_ns: int) -> int:
    return (time_ns - int(TICKS["time"][0])) // STEP_NS


def _take_signal(seen: Seen, names: set[str], raw: bytes) -> None:
    """One signal of the log."""
    event = decode(raw)
    signal = event.data
    if signal.strategy in names:
        quantity = signal.quantity if signal.side == "BUY" else -signal.quantity
        seen.signals.setdefault(signal.strategy, []).append((row_of(nanoseconds(event.timestamp)), quantity))
    else:
        seen.good.append(raw.decode())


def _ran(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, errors="replace",
        timeout=SLOWEST_S, check=False,
    )  # fmt: skip


def _last_words(ended: subprocess.CompletedProcess[str]) -> str:
    return f"ended with {ended.returncode}: {ended.stderr[-2_000:]}"


# --- a backtest -------------------------------------------------------------------------------------------------------


def in_a_backtest(nasties: Sequence[Nasty], directory: Path) -> Seen:
    """Those that cannot be interrupted end it: each of them has one of its own."""
    stubborn = [nasty for nasty in nasties if nasty.deed.effect is Effect.STUBBORN]
    seen = _backtested([nasty for nasty in nasties if nasty not in stubborn], directory)
    for each in stubborn:
        alone = _backtested([each], directory)
        if "ended with 1" in alone.broken and f"strategy {each.name} has not come to an end on tick" in alone.broken:
            seen.told[each.name] = ["strategy_suspended"]
        else:
            seen.broken += f"{each.name} {alone.broken or 'was no end of it'}"
    return seen


def _backtested(nasties: Sequence[Nasty], directory: Path) -> Seen:
    names = directory / "names.json"
    result = directory / "result.json"
    configs = configured(nasties, directory, "own")
    names.write_text(json.dumps([[c.strategy, c.implementation] for c in configs]))
    ended = _ran([sys.executable, "-m", "tests.nasty.places", str(names), str(result)])
    if ended.returncode:
        return Seen(broken=_last_words(ended))
    published, failures = json.loads(result.read_text())
    seen = Seen()
    for raw in published:
        _take_signal(seen, {nasty.name for nasty in nasties}, raw.encode())
    for row, name, suspended, count in failures:
        seen.lost.setdefault(name, []).append(row)
        if count == 1 or suspended:
            seen.told.setdefault(name, []).append("strategy_suspended" if suspended else "strategy_failed")
    return seen


def backtested(names: str, result: str) -> None:
    """The process of a backtest."""
    from connectors.ending import interruptible
    from connectors.output import kept_for_the_result
    from dataflows.hosts import BacktestHost

    configs = [StrategyConfig(*each, {}, TOKENS, ["own"]) for each in json.loads(Path(names).read_text())]
    published: list[str] = []

    def take(events: Sequence[Any]) -> None:
        published.extend(value.decode() for topic, _, value, _ in events if topic == SIGNALS)

    with interruptible(), kept_for_the_result(), BacktestHost(LIMIT_S) as host:
        outcome = backtest.run(TICKS, INSTRUMENTS, OWN, configs, batch=150, on_events=take, host=host)
    failures = [(f.row, f.strategy, f.suspended, f.count) for f in outcome.failures]
    Path(result).write_text(json.dumps([published, failures]))


# --- on a log ---------------------------------------------------------------------------------------------------------


def _of_the_log(seen: Seen, names: set[str], records: Callable[[str], Sequence[Record]]) -> Seen:
    """What lies on the log of a run."""
    copies = Copies()
    for topic in (SIGNALS, SYSTEM_ALERTS.name, f"{MARKET_TICKS.name}.dlq"):
        for record in records(topic):
            if copies.is_copy(record.topic, record.partition, record.headers):
                continue
            if topic == SIGNALS:
                _take_signal(seen, names, record.value or b"")
            elif topic == SYSTEM_ALERTS.name:
                alert = decode(record.value or b"").data
                if alert.code.startswith("strategy_"):
                    seen.told.setdefault(alert.subject, []).append(alert.code)
            else:
                step = dict(record.headers or [])["step"].decode()
                time_ns = nanoseconds(decode(record.value or b"").timestamp)
                seen.lost.setdefault(step.removeprefix("strategy:"), []).append(row_of(time_ns))
    return seen


_FLOW: Final = """
from datetime import timedelta
from bytewax.testing import run_main
from connectors.ending import stop_on_signals
from connectors.settings import Settings
from dataflows import pipeline

stop_on_signals()
run_main(pipeline.live(Settings(), until_end=True), epoch_interval=timedelta(seconds=0.1))
"""


def on_the_flow(nasties: Sequence[Nasty], directory: Path) -> Seen:
    """The pipeline over a log that is complete, started again as a supervisor does."""
    with start_embedded(directory) as broker:
        settings = Settings(data_dir=directory, kafka={"bootstrap": broker.bootstrap, "embedded": True})
        write(settings, config_events(INSTRUMENTS, [OWN, OTHER], configured(nasties, directory, "other")))
        write(settings, tick_events(TICKS, TOKENS))
        environment = {
            "PANDA_DATA_DIR": str(directory), "PANDA_KAFKA__BOOTSTRAP": broker.bootstrap, "PANDA_KAFKA__EMBEDDED": "true",
            "PANDA_STRATEGIES__LIMIT_S": str(LIMIT_S), "ACTIVE_BROKERS": "paper",
        }  # fmt: skip
        ended = _ran([sys.executable, "-c", _FLOW], **environment)
        for _ in nasties:
            if ended.returncode != 3:
                break
            ended = _ran([sys.executable, "-c", _FLOW], **environment)
        seen = Seen(broken=_last_words(ended) if ended.returncode else "")
        return _of_the_log(seen, {nasty.name for nasty in nasties}, lambda topic: fetch_all(settings.kafka, [topic]))


# --- a demo -----------------------------------------------------------------------------------------------------------


def in_a_demo(nasties: Sequence[Nasty], directory: Path) -> Seen:
    """`panda demo` over a recording of the same ticks, and what its lake holds."""
    data = directory / "recording"
    data.mkdir(exist_ok=True)
    for place, token in enumerate(TOKENS):
        _record(data / f"S{token}.csv", TICKS[TICKS["instrument"] == place])
    (directory / "good.py").write_text(GOOD)
    implementations = [f"{directory}/good.py:Good", *(written(nasty, directory) for nasty in nasties)]
    command = [sys.executable, "-m", "cli", "demo", "--json", "--speed", "0", "--port", "0", "--data", str(data)]
    for implementation in implementations:
        command += ["--strategy", implementation]
    ended = _ran(command, PANDA_DATA_DIR=str(directory / "data"), PANDA_STRATEGIES__LIMIT_S=str(LIMIT_S))
    seen = Seen(broken=_last_words(ended) if ended.returncode else "")
    lake = LakeSettings(path=str(directory / "data" / "demo" / "lake"))
    return _of_the_log(seen, {nasty.name for nasty in nasties}, lambda topic: _archived(lake, topic))


def _record(path: Path, rows: Rows) -> None:
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["timestamp", "last_price", "volume", "bid", "ask"])
        lines.writerows(
            [timestamp(int(r["time"])), float(r["price"]), int(r["volume"]), float(r["bid"]), float(r["ask"])]
            for r in rows
        )


def _archived(lake: LakeSettings, topic: str) -> list[Record]:
    """Everything of a topic in the lake."""
    files = Files(store_at(lake))
    last = {file.partition: 0 for file in files.of(topic)}
    for file in files.of(topic):
        last[file.partition] = max(last[file.partition], file.last)
    files.close()
    records = LakeRecords(lake)
    try:
        return [r for p, end in sorted(last.items()) for r in records.take(topic, p, records.first(topic, p) or 0, end)]
    finally:
        records.close()


PLACES: Final[dict[str, Place]] = {"backtest": in_a_backtest, "demo": in_a_demo, "flow": on_the_flow}

if __name__ == "__main__":
    backtested(*sys.argv[1:])
