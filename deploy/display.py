"""The demo's one table in the terminal: rates, fills, profit, rejections, dead letters."""

import datetime as dt
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.tally import Tally
from functions.calendar import CASH, CASH_WITH_AUCTION, DERIVATIVES, INDIA, SECOND, Calendar


class Display:
    """A live table, or (not `live`) plain notes on standard error, so that standard output keeps to the summary."""

    def __init__(self, calendar: Calendar, *, live: bool, port: int) -> None:
        self._calendar = calendar
        self._console = Console(stderr=not live)
        self._live = Live(console=self._console, auto_refresh=False) if live and self._console.is_terminal else None
        self._port = port
        self._last_ticks = 0
        self._last_at = 0.0
        if self._live is not None:
            self._live.start()

    def note(self, text: str) -> None:
        self._console.print(f"[dim]demo: {text}[/dim]", highlight=False, soft_wrap=True)

    def show(self, seconds: float, ticks: int, tally: Tally, first_fill_s: float | None) -> None:
        if self._live is not None:
            self._live.update(self._picture(seconds, ticks, tally, first_fill_s), refresh=True)

    def _picture(self, seconds: float, ticks: int, tally: Tally, first_fill_s: float | None) -> Group:
        elapsed = seconds - self._last_at
        rate = (ticks - self._last_ticks) / elapsed if elapsed > 0 else 0.0
        self._last_ticks, self._last_at = ticks, seconds
        first = "none yet" if first_fill_s is None else f"after {first_fill_s:.1f} s"
        head = Text(
            f"Alpha Panda demo · {seconds:.0f} s · {ticks:,} ticks ({rate:,.0f}/s) · first fill {first} · "
            f"http://127.0.0.1:{self._port}/api/v1/portfolio · Ctrl-C stops"
        )
        return Group(
            head,
            Text(market(tally.market_time, self._calendar)),
            _strategies(tally),
            _counts("rejected by", tally.rejections),
            _counts("dead letters", _dead(tally)),
        )

    def summary(self, summary: dict[str, Any], directory: Path) -> None:
        self._console.print(f"{summary['seconds']} s of trading; log, lake and API agree. Data: {directory}")
        for name, row in summary["strategies"].items():
            cells = ", ".join(f"{key} {value}" for key, value in row.items())
            self._console.print(f"  {name}: {cells}", highlight=False)
        self._console.print("  panda sql 'select * from fills limit 10' reads the archive", highlight=False)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def market(time_us: int, calendar: Calendar) -> str:
    """Where the market's time is, and why nothing trades where nothing does.

    >>> from connectors.market_tables import built_in
    >>> [market(at, built_in().calendar) for at in (1_778_037_720_000_000, 1_778_041_800_000_000)]
    ['market 2026-05-06 08:52:00 · nothing trades before the open at 09:15', 'market 2026-05-06 10:00:00 · open']
    """
    if not time_us:
        return "market has not begun"
    return f"market {_india(time_us * 1000):%Y-%m-%d %H:%M:%S} · {_trading(time_us * 1000, calendar)}"


def _trading(now: int, calendar: Calendar) -> str:
    """From the first open to the last close of all session classes, which close apart."""
    today = _india(now).date()
    if not calendar.covers(today):
        return "nothing trades on a day that the calendar does not know"
    parts = [
        part for each in (CASH, CASH_WITH_AUCTION, DERIVATIVES) for part in calendar.session_parts(today, int(each))
    ]
    if not parts:
        return "the exchange is closed on this day"
    if any(opens <= now < closes for opens, closes in parts):
        return "open"
    if coming := [opens for opens, _ in parts if opens > now]:
        return f"nothing trades before the open at {_india(min(coming)):%H:%M}"
    return f"nothing trades after the close at {_india(max(closes for _, closes in parts)):%H:%M}"


def _india(time_ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ns // SECOND, INDIA)


def _dead(tally: Tally) -> dict[str, int]:
    return {topic: n for topic, n in tally.counts.items() if topic.endswith(".dlq")}


def _strategies(tally: Tally) -> Table:
    table = Table("strategy", *[_right(name) for name in ("signals", "rejected", "orders", "fills", "net P&L ₹")])
    for name, s in sorted(tally.strategies.items()):
        table.add_row(name, f"{s.signals:,}", f"{s.rejected:,}", f"{s.orders:,}", f"{s.fills:,}", f"{s.net_pnl:,.2f}")
    return table


def _right(name: str) -> Any:
    from rich.table import Column

    return Column(name, justify="right")


def _counts(title: str, counts: dict[str, int]) -> Text:
    words = ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda kv: -kv[1]) if n)
    return Text(f"{title}: {words or 'none'}")
