"""The summary of a backtest: as a value for JSON, and as lines to read.

What kept the strategy from trading comes first, then what was done, what it earned, and what it took.
"""

import shutil
import sys
import textwrap
from typing import Any, Final

from dataflows.backtest import Outcome
from functions.orders import REASONS, SESSION_END, SQUARE_OFF
from functions.timestamps import in_india, nanoseconds

WIDTH: Final = 20  # of a name and the space behind it
QUIET: Final = (
    "dropped", "rejected_by_rule", "unfilled_by_reason", "squared_off", "squared_off_at_last_price",
    "delivery_sold_on_the_day",
)  # fmt: skip  # not shown where there is none of it
SECONDS: Final = ("reading_s", "deciding_s", "whole_s", "deciding_ticks_per_s")


def summary(outcome: Outcome, remarks: list[str], *, reading_s: float, whole_s: float) -> dict[str, Any]:
    """What a backtest did, plain values. `remarks` are about the recording, `whole_s` counts from the command's start."""
    made = outcome.summary()
    made["deciding_s"] = round(outcome.seconds, 3)
    return made | {
        "reading_s": round(reading_s, 3),
        "whole_s": round(whole_s, 3),
        "notes": remarks + notes(made),
    }


def notes(made: dict[str, Any]) -> list[str]:
    """What a reader should know about what happened to orders and positions."""
    said = []
    for reason, what, when in (
        (SESSION_END, "order", "the end of the session"),
        (SQUARE_OFF, "MIS order", "the broker's cut-off"),
    ):
        if count := made["unfilled_by_reason"].get(REASONS[reason], 0):
            said.append(f"{_counted(count, what)} not filled by {when}: cancelled")
    if made["squared_off"]:
        at_last = made["squared_off_at_last_price"]
        said.append(
            f"{_counted(made['squared_off'], 'MIS position')} squared off at the broker's cut-off"
            + (f", {at_last:,} at the last price, as no trade came before the close" if at_last else "")
        )
    if made["delivery_sold_on_the_day"]:
        shares = _counted(made["delivery_sold_on_the_day"], "share")
        said.append(f"{shares} bought and sold for delivery on one day: charged as delivery, taxed as intraday")
    return said


def lines(made: dict[str, Any], width: int | None = None) -> list[str]:
    """A summary to read; longer lines are folded where a width is given.

    >>> took = {"reading_s": 0.5, "deciding_s": 0.25, "whole_s": 1.5, "deciding_ticks_per_s": 6_000}
    >>> print(*lines({"ticks": 1500, "dropped": {}, "notes": ["one", "another"]} | took), sep="\\n")
    ticks               1500
    note                one
    note                another
    seconds             0.5 reading, 0.25 deciding (6,000 ticks/s), 1.5 in all
    """
    said = []
    if made.get("limited_by"):
        said += _limited(made)
    for name, value in made.items():
        if name in ("limited_by", *SECONDS) or (name in QUIET and not value):
            continue
        if name == "positions":
            said += _positions(value)
        elif name == "notes":
            said += [_line("note", note) for note in value]
        elif isinstance(value, dict):
            said.append(_line(name, ", ".join(f"{k} {v}" for k, v in value.items())))
        else:
            said.append(_line(name, "none" if value is None else str(value)))
    reading, deciding, whole, rate = (made[name] for name in SECONDS)
    said.append(_line("seconds", f"{reading} reading, {deciding} deciding ({rate:,} ticks/s), {whole} in all"))
    return [folded for line in said for folded in _folded(line, width)]


def width_of_output() -> int | None:
    """Columns of the terminal; `None` where the output goes elsewhere, and is not folded."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _limited(made: dict[str, Any]) -> list[str]:
    limit = made["limited_by"]
    since = in_india(nanoseconds(limit["since"]))
    return [
        _line("limited_by", f"{limit['limit']}={limit['value']} since {since} IST"),
        _line("", f"refused {limit['refused']:,} of {made['signals']:,} signals: --limit, --no-limits"),
    ]


def _positions(positions: list[dict[str, Any]]) -> list[str]:
    if not positions:
        return [_line("positions", "none")]
    held = "{quantity} {symbol} at {average_price} ({strategy})"
    return [_line("" if n else "positions", held.format(**each)) for n, each in enumerate(positions)]


def _line(name: str, text: str) -> str:
    return f"{name:<{WIDTH}}{text}" if len(name) < WIDTH else f"{name} {text}"


def _folded(line: str, width: int | None) -> list[str]:
    if width is None or len(line) <= width:
        return [line]
    return textwrap.wrap(
        line, max(width, 2 * WIDTH), subsequent_indent=" " * WIDTH, drop_whitespace=True, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
