"""Every value of every row of every view, and that Redis and the lake say the same of an order."""

import random
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from analytics.queries import VIEWS, Queries, connect
from api.models import Order
from functions.codec import decode
from functions.events import OrderAck, OrderFailed, OrderFilled, OrderPlaced, OrderSubmitted
from tests.blotted import KEYS, Tables
from tests.view_values import expected, found, records, write_lake

ROWS = expected()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("values") / "lake")


@pytest.fixture(scope="module")
def connection(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(lake) as connected:
        yield connected


def test_every_view_has_its_rows_written_out():
    assert tuple(ROWS) == VIEWS


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_these_rows_and_no_others(view: str, connection: duckdb.DuckDBPyConnection):
    columns, rows = ROWS[view]

    told, there = found(connection, view)

    assert told == columns
    names = [name for name, _ in columns]
    assert [dict(zip(names, row, strict=True)) for row in there] == [dict(zip(names, row, strict=True)) for row in rows]


def test_an_average_is_that_of_whole_micro_rupees_half_up(connection: duckdb.DuckDBPyConnection):
    choose = random.Random(5)
    pairs = [
        (choose.randint(1, 10 ** choose.randint(1, 17)), choose.choice([1, 2, 8, 40, 1_000, choose.randint(1, 10**6)]))
        for _ in range(1_000)
    ]
    asked = "SELECT money_each(CAST(total AS DECIMAL(38, 6)), quantity) FROM (VALUES {}) AS pairs(total, quantity)"
    values = ", ".join(f"({Decimal(total).scaleb(-6):f}, {quantity})" for total, quantity in pairs)

    averages = [int(average.scaleb(6)) for (average,) in connection.execute(asked.format(values)).fetchall()]

    assert averages == [(2 * total + quantity) // (2 * quantity) for total, quantity in pairs]


def test_redis_and_the_lake_say_the_same_of_every_order(lake: Path):
    tables = Tables()
    known: dict[str, str] = {}  # order -> its account's key
    ids: set[str] = set()
    for record in records():
        raw = record.value or b""
        if record.topic.startswith("paper.orders.") and b'"odd"' not in raw and b'"too ' not in raw:
            event = decode(raw)
            assert isinstance(event.data, OrderSubmitted | OrderAck | OrderPlaced | OrderFilled | OrderFailed)
            if event.id not in ids:
                tables.take(event)
                ids.add(event.id)
            known[event.data.order_id] = KEYS.orders(event.data.account)

    with closing(Queries(lake)) as queries:
        for order, key in known.items():
            assert Order.model_validate(queries.order("paper", order)) == Order.model_validate(tables.row(key, order))
    assert len(known) == 12
