"""A lake whose records differ in every field, and every row of every view over it, written out (`view_values.txt`).

There a view's column is a line: name, type, then its value in each row as DuckDB casts it to text, 40 characters of it; `-`
is NULL, `""` an empty text. An id that ends in `'` is that of a copy, which must not show. Of each kind one event is odd:
what does not fit is NULL. Every partition begins at offset 9, and what follows lies in other files: by their names
`0-10-12` comes before `0-9-9`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

from connectors.kafka.records import Record, dead_letter
from connectors.lake.archive import Archive
from functions.timestamps import timestamp
from functions.topics import archived

NAMES: Final = archived(("paper", "zerodha"))
TYPES: Final = {
    "ticks": "market_tick", "clock": "market_clock", "quality": "quality_report", "raw": "trading_signal",
    "validated": "signal_validated", "rejected": "signal_rejected", "submitted": "order_submitted", "ack": "order_ack",
    "placed": "order_placed", "filled": "order_filled", "failed": "order_failed", "snapshots": "pnl_snapshot",
    "alerts": "system_alert", "commands": "command",
}  # fmt: skip
ORDER: Final = {
    "orders": "order_id, broker",
    "dead_letters": "topic, partition, step, raw",
    "rejections": "id, rule",
    "strategy_pnl": "id, strategy",
}
FIRST_OFFSET: Final = 9
NOON_NS: Final = 1_778_049_000 * 10**9  # 2026-05-06 06:30:00 in UTC
MIDNIGHT: Final = 432_000  # tenths of a second after noon
FIRST_US: Final = 1_778_049_000_100_000  # 2026-05-06 06:30:00.1 in UTC


class Log:
    """Records as they come to lie on a log."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._ends: dict[tuple[str, int], int] = {}

    def raw(self, topic: str, value: bytes, partition: int = 0, headers: Any = None) -> None:
        offset = self._ends.get((topic, partition), FIRST_OFFSET)
        self._ends[topic, partition] = offset + 1
        self.records.append(Record(topic, partition, offset, b"key", value, headers))

    def tell(
        self, topic: str, id: str, tenth: int, data: Mapping[str, Any], partition: int = 0, type: str | None = None
    ) -> None:
        """An event of so many tenths of a second after noon in India."""
        name = id.rstrip("'")
        event = {
            "id": name, "type": type or TYPES[topic.split(".")[-1]],
            "timestamp": timestamp(NOON_NS + tenth * 100_000_000), "correlation_id": f"root of {name}",
            "causation_id": f"cause of {name}", "source": f"source of {name}", "version": 1, "broker": "envelope's",
            "data": data,
        }  # fmt: skip
        self.raw(topic, json.dumps(event, separators=(",", ":")).encode(), partition)


def odd(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "odd")


# --- what happened ----------------------------------------------------------------------------------------------------


def _market(log: Log) -> None:
    tick = {
        "instrument_token": 11, "last_price": 100.5, "exchange_timestamp": FIRST_US, "volume_traded": 200, "oi": 300,
        "bid": 100.25, "ask": 100.75, "bid_quantity": 5, "ask_quantity": 7, "session": 2, "sequence": 41,
        "depth": {"buy": [[100.0, 7, 1]], "sell": []},
    }  # fmt: skip
    log.tell("market.ticks", "t1", 1, tick)
    log.raw("market.ticks", b"no tick")
    log.tell("market.ticks", "t1'", 1, tick | {"last_price": 1.0})
    log.tell("market.ticks", "t1'", 1, tick | {"last_price": 2.0}, partition=1)
    quiet = {"instrument_token": 22, "last_price": 50.0, "exchange_timestamp": FIRST_US + 100_000}
    log.tell("market.ticks", "t2", 2, quiet)
    log.tell("market.ticks", "t3", 2, quiet | {"last_price": 50.05})  # another of the same instant
    log.tell("market.ticks", "t3'", 2, quiet | {"last_price": 1.0}, partition=1)
    clock = {"exchange_timestamp": FIRST_US, "session": 3, "sequence": 51}
    log.tell("market.clock", "c1", 1, clock)
    log.tell("market.clock", "c1'", 1, clock | {"sequence": 50})
    log.tell("market.clock", "c2", 2, odd("session", "sequence"))
    noticed = {
        "kind": "gap", "count": 3, "detail": "3 s without a tick", "instrument_token": 11, "first_timestamp": FIRST_US,
        "last_timestamp": FIRST_US + 3_100_000,
    }  # fmt: skip
    log.tell("market.quality", "q1", 1, noticed)
    log.tell("market.quality", "q2", 2, {"kind": "duplicate", "count": 4, "detail": "seen before"})
    log.tell("market.quality", "q3", 3, odd(*noticed))
    years = {"first_timestamp": 946_684_800_000_000, "last_timestamp": 4_102_444_799_999_999}
    log.tell("market.quality", "q4", 4, noticed | years)
    log.tell("market.quality", "q5", 5, noticed | {"first_timestamp": 946_684_799_999_999, "last_timestamp": 2**63 - 1})
    log.tell("market.quality", "q6", 6, noticed | {"last_timestamp": 4_102_444_800_000_000})


def _signals(log: Log) -> None:
    signal = {
        "signal_id": "g1", "strategy": "fade", "instrument_token": 11, "side": "BUY", "quantity": 12, "kind": "LIMIT",
        "product": "MIS", "price": 100.5, "limit_price": 100.25, "trigger_price": 100.75,
    }  # fmt: skip
    market = {
        "signal_id": "g2", "strategy": "follow", "instrument_token": 22, "side": "SELL", "quantity": 3, "kind": "MARKET",
        "product": "CNC", "price": 50.0, "limit_price": None, "trigger_price": None,
    }  # fmt: skip
    log.tell("paper.signals.raw", "s1", 1, signal)
    log.tell("paper.signals.raw", "s1'", 1, signal | {"quantity": 99})
    log.tell("zerodha.signals.raw", "s2", 2, market)
    log.tell("paper.signals.raw", "s3", 3, odd(*signal))
    log.tell("paper.signals.raw", "s4", 4, signal, type="of another kind")
    validated = {
        "signal_id": "g1", "account": "a", "strategy": "fade", "instrument_token": 11, "side": "BUY", "quantity": 12,
        "order_id": "o1",
    }  # fmt: skip
    log.tell("paper.signals.validated", "v1", 1, validated)
    log.tell("zerodha.signals.validated", "v2", 2, odd(*validated))
    rejected = {
        "signal_id": "g2", "account": "b", "strategy": "follow", "instrument_token": 22, "side": "SELL", "quantity": 3,
        "reasons": [
            {"rule": "daily_loss", "limit": "20000.00", "observed": "20000.50"},
            {"rule": "price_age", "limit": "5000", "observed": "7000"},
        ],
    }  # fmt: skip
    log.tell("zerodha.signals.rejected", "r1", 1, rejected)
    log.tell("zerodha.signals.rejected", "r1'", 1, rejected)
    log.tell("paper.signals.rejected", "r2", 2, odd(*rejected) | {"reasons": [{"rule": "killed", "limit": "no"}]})


def _orders(log: Log) -> None:
    def tell(
        step: str, id: str, tenth: int, order: str, broker: str = "paper", partition: int = 0, **data: Any
    ) -> None:
        owner = {"order_id": order, "account": f"of {order}", "strategy": f"by {order}", "instrument_token": 11}
        log.tell(f"{broker}.orders.{step}", id, tenth, owner | data, partition)

    bought: dict[str, Any] = {
        "tradingsymbol": "TCS", "exchange": "NSE", "side": "BUY", "quantity": 10, "kind": "MARKET", "product": "MIS",
        "signal_id": "g1", "limit_price": None, "trigger_price": None,
    }  # fmt: skip
    fill: dict[str, Any] = {"tradingsymbol": "TCS", "side": "BUY", "slippage": "0.05"}
    some = fill | {
        "quantity": 4, "remaining": 6, "price": "100.00", "value": "400.00", "charges": "1.25", "realised_pnl": "0.00",
        "position": 4, "average_price": "100.00",
    }  # fmt: skip
    rest = fill | {
        "quantity": 6, "remaining": 0, "price": "101.00", "value": "606.00", "charges": "2.00", "realised_pnl": "-7.50",
        "position": -3, "average_price": "98.123456",
    }  # fmt: skip
    tell("submitted", "o2a", 1, "o2 cancelled after a part", **bought)
    tell("filled", "o2b", 2, "o2 cancelled after a part", **some | {"quantity": 3, "remaining": 7, "value": "300.30"})
    tell("failed", "o2c", 3, "o2 cancelled after a part", reason="cancelled", remaining=7)
    tell("submitted", "o1a", 1, "o1 filled", **bought)
    tell("ack", "o1b", 2, "o1 filled", broker_order_id="P1")
    tell("placed", "o1c", 3, "o1 filled", broker_order_id="P1", quantity=10)
    tell("filled", "o1d", 4, "o1 filled", **some)
    tell("filled", "o1d'", 4, "o1 filled", partition=1, **rest)
    tell("filled", "o1d'", 4, "o1 filled", **rest)
    tell("filled", "o1e", 5, "o1 filled", **rest)
    tell("submitted", "o3a", 4, "o3 partly filled", **bought)
    tell("placed", "o3b", 5, "o3 partly filled", broker_order_id="P3", quantity=10)
    tell("filled", "o3c", 6, "o3 partly filled", **some)
    tell("submitted", "o4a", 5, "o4 placed", **bought)
    tell("ack", "o4b", 6, "o4 placed", broker_order_id="not yet P4")
    tell("placed", "o4c", 7, "o4 placed", broker_order_id="P4", quantity=10)
    tell("submitted", "o5a", 6, "o5 acknowledged", **bought)
    tell("ack", "o5b", 7, "o5 acknowledged", broker_order_id="P5")
    stop = {
        "kind": "SL",
        "product": "CNC",
        "limit_price": 99.5,
        "trigger_price": 99.75,
        "exchange": "BSE",
        "side": "SELL",
    }
    tell("submitted", "o6a", 7, "o6 submitted", **bought | stop | {"tradingsymbol": "INFY", "signal_id": "g6"})
    tell("submitted", "o7a", 8, "o7 refused", **bought)
    tell("failed", "o7b", 9, "o7 refused", reason="venue refused it", remaining=10)
    tell("filled", "o8a", 9, "o8 known by a fill alone", **some | {"remaining": 5})
    tell("submitted", "o9a", 8, "o9 averages at half a micro-rupee", **bought | {"quantity": 40})
    tell("filled", "o9b", 9, "o9 averages at half a micro-rupee", **rest | {"quantity": 40, "value": "8.64426"})
    one = {"quantity": 1, "value": "100.00"}
    tell("submitted", "o10a", 8, "one share", **bought | {"quantity": 1})
    tell("filled", "o10b", 9, "one share", **some | one | {"remaining": 0})
    tell("submitted", "o11a", 8, "one share of ten", **bought)
    tell("filled", "o11b", 9, "one share of ten", **some | one | {"remaining": 9})
    tell("submitted", "o12a", 8, "ends with the day after", **bought)
    tell("failed", "o12b", MIDNIGHT, "ends with the day after", reason="expired", remaining=10)
    tell("submitted", "z1a", 9, "o1 filled", "zerodha", **bought | {"quantity": 77})
    tell("submitted", "oda", 1, "odd", **odd(*bought) | {"instrument_token": "odd"})
    much = {"quantity": 2**63 - 1, "value": "999999999999.999999", "charges": "999999999999.999999", "remaining": 1}
    tell("filled", "o13a", 8, "too much", **some | much)
    tell("filled", "o13b", 9, "too much", **some | much | {"quantity": 1})
    tell("filled", "o14a", 8, "too dear", **some | much | {"quantity": 1})
    tell("filled", "o14b", 9, "too dear", **some | much | {"quantity": 0})
    tell("filled", "odb", 2, "odd", **odd(*some) | {"instrument_token": "odd"})


def _accounts(log: Log) -> None:
    fade = {"strategy": "fade", "realised": "10.00", "unrealised": "-4.50", "charges": "1.25", "net_pnl": "4.25"}
    follow = {"strategy": "follow", "realised": "-2.00", "unrealised": "8.00", "charges": "0.75", "net_pnl": "5.25"}
    snapshot = {
        "account": "a", "cash": "900000.123456", "realised": "8.00", "unrealised": "3.50", "charges": "2.00",
        "net_pnl": "9.50", "equity": "1000009.50", "gross_exposure": "99999.01", "peak_equity": "1000020.00",
        "max_drawdown": "10.50", "strategies": [fade, follow],
    }  # fmt: skip
    log.tell("paper.pnl.snapshots", "p1", 1, snapshot)
    log.tell("paper.pnl.snapshots", "p1'", 1, snapshot | {"cash": "1.00"})
    log.tell("zerodha.pnl.snapshots", "p2", 2, odd(*snapshot) | {"account": "b", "strategies": [odd(*fade)]})


def _told(log: Log) -> None:
    alert = {"severity": "critical", "code": "daily_loss", "message": "lost too much", "subject": "account a"}
    log.tell("system.alerts", "al1", 1, alert)
    log.tell("system.alerts", "al1'", 1, alert | {"severity": "info"})
    command = {"command": "kill", "account": "a", "issued_by": "risk desk", "reason": "enough"}
    log.tell("paper.commands", "cm1", 1, command)
    log.tell("zerodha.commands", "cm2", 2, command | {"command": "flatten", "reason": ""})

    def letter(topic: str, partition: int, offset: int, step: str, error: str, attempts: int, raw: bytes) -> None:
        record = Record(topic, partition, offset, b"key", raw)
        refused = dead_letter(record, step, error, f"message {attempts}", attempts)
        log.raw(refused.topic, raw, headers=refused.headers)

    letter("market.ticks", 3, 41, "gate", "DecodeError", 1, b"{")
    letter("market.ticks", 3, 41, "gate", "DecodeError", 2, b"{")  # the same record refused again by the same step
    letter("market.ticks", 3, 41, "cache", "DecodeError", 3, b"{")
    letter("market.ticks", 4, 41, "gate", "bad_price", 4, b"\xff")
    letter("market.clock", 3, 41, "gate", "bad_time", 5, b"")
    log.raw("market.ticks.dlq", b"without headers")
    log.raw("market.ticks.dlq", b"without headers, another")
    log.raw(
        "market.ticks.dlq", b"odd", headers=[(name, b"odd") for name in ("topic", "partition", "offset", "attempts")]
    )
    log.tell("paper.commands.dlq", "cm3", 3, command, type="command")


# --- what the views say of it -----------------------------------------------------------------------------------------

Table = tuple[list[tuple[str, str]], list[tuple[str, ...]]]  # columns (name, type), rows


def records() -> list[Record]:
    """Everything above, in the order in which it came to lie on the log."""
    log = Log()
    for part in (_market, _signals, _orders, _accounts, _told):
        part(log)
    return log.records


def write_lake(lake: Path) -> Path:
    """The same, as the archive keeps it."""
    archive = Archive(lake, NAMES)
    archive.open()
    told = records()
    for part in ([r for r in told if r.offset == FIRST_OFFSET], [r for r in told if r.offset > FIRST_OFFSET]):
        archive.add(part)
        archive.flush()
    archive.close()
    return lake


def expected() -> dict[str, Table]:
    """Columns and rows of every view, from the file beside this one."""
    tables: dict[str, Table] = {}
    for part in Path(__file__).with_suffix(".txt").read_text().split("\n\n"):
        title, *lines = part.strip("\n").splitlines()
        cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
        tables[title] = [(name, kind) for name, kind, *_ in cells], list(zip(*(row[2:] for row in cells), strict=True))
    return tables


def found(connection: duckdb.DuckDBPyConnection, view: str) -> Table:
    """Columns and rows of a view, as `expected` has them."""
    columns = connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {view})").fetchall()
    texts = ", ".join(
        f"coalesce(nullif(CAST(\"{name}\" AS VARCHAR), '')[:40], if(\"{name}\" IS NULL, '-', '\"\"'))"
        for name, _ in columns
    )
    rows = connection.execute(f"SELECT {texts} FROM {view} ORDER BY {ORDER.get(view, 'timestamp, id')}").fetchall()
    return columns, rows
