"""`panda compile`: every kernel, before anybody waits for one.

this process     the account, gate and strategies ─┐
one beside it    what writes and reads JSON        ─┴► all of them once more, from the disk
"""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Final

import numpy as np
import typer

from cli.commands import as_line
from connectors.market_tables import built_in
from dataflows import backtest
from dataflows.collecting import COMPILING, collecting_seldom
from functions.events import AccountConfig, InstrumentConfig, PaperVenue, RiskLimits, StrategyConfig
from functions.kernel import COMPILED
from functions.kernel_cache import is_kept
from functions.press import tell
from functions.publication import Publisher
from functions.shard import Shard
from functions.tape import Tape
from functions.ticks import NO_DEPTH, TICK
from strategies.registry import built_ins

ACCOUNT: Final = AccountConfig("backtest", "paper", "1000000", RiskLimits(), PaperVenue())
INSTRUMENTS: Final = [InstrumentConfig(n, f"S{n}", "NSE", "EQ", "0.05", 1) for n in (1, 2)]


def compile_ahead(*, as_json: bool) -> None:
    """Runs every kernel once; what it compiles stays on disk."""
    began = time.perf_counter()
    with collecting_seldom(COMPILING):
        beside = _beside() if COMPILED and not is_kept(tell) and (os.cpu_count() or 1) > 1 else None
        try:
            _run(with_events=False)
        except BaseException:
            if beside is not None:
                beside.kill()
            raise
        finally:
            if beside is not None:
                beside.wait()
        _run(with_events=True)  # compiles what the other one has not
    seconds = round(time.perf_counter() - began, 2)
    if as_json:
        as_line({"seconds": seconds})
    else:
        typer.echo(f"engine compiled in {seconds} s")


def _run(*, with_events: bool) -> None:
    start = int(datetime(2026, 4, 1, 5, tzinfo=UTC).timestamp()) * 1_000_000_000
    ticks = np.zeros(64, TICK)
    ticks["time"] = start + np.arange(64) * 1_000_000_000
    ticks["price"] = 100.0
    ticks["instrument"] = np.arange(64) % 2
    for name in built_ins():
        for tokens in ([1, 2], [2]):  # one takes every instrument, one is routed
            strategy = StrategyConfig(name, name, {}, tokens, [ACCOUNT.account])
            outcome = backtest.run(
                ticks, INSTRUMENTS, ACCOUNT, [strategy], levels=NO_DEPTH, on_events=_unread if with_events else None
            )
            outcome.shard.cancel(name)
            if with_events:
                Tape(outcome.shard.index_of).read([b""])


def _unread(events: object) -> None:
    """What was decided is of no interest here."""


def _beside() -> subprocess.Popen[bytes]:
    """A process that compiles what this one leaves; in a session of its own, so that Ctrl-C is this one's to answer."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli.compiling"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def json_kernels() -> None:
    """Compiles what writes and reads JSON, without the account that it is about."""
    strategy = StrategyConfig("momentum", "momentum", {}, [1], [ACCOUNT.account])
    shard = Shard(INSTRUMENTS, [ACCOUNT], [strategy], built_in(), ready=False)
    Publisher(shard, ACCOUNT.broker)
    Tape(shard.index_of).read([b""])


if __name__ == "__main__":
    with collecting_seldom(COMPILING):
        json_kernels()
