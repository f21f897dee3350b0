"""The views and read functions, over lakes that the archive itself wrote."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bytewax.testing import TestingSource, run_main

from analytics.queries import VIEWS, Fill, Queries, connect, sql
from connectors.errors import ConfigError, DataError
from connectors.kafka.records import Record, dead_letter
from connectors.lake.archive import Archive
from dataflows import archive
from functions.codec import encode
from functions.topics import MARKET_TICKS, all_topics, archived
from tests.history import (
    TOKEN,
    Log,
    ack,
    alert,
    clock,
    failed,
    filled,
    placed,
    quality,
    rejected,
    signal,
    snapshot,
    submitted,
    tick,
    validated,
)  # fmt: skip

DAY = [
    signal("g1"), validated("g1"), submitted("o1"), ack("o1"), placed("o1"), filled("o1", 4, left=6, at=0.3),
    filled("o1", 6, "101.00", left=0, position=10, at=0.4), snapshot(1.0, realised="7.25"), signal("g2", at=1.5),
    rejected("g2", at=1.5, rules=("daily_loss", "order_value")), submitted("o2", at=2.0), failed("o2", at=2.5),
    submitted("o3", at=3.0), snapshot(3.0), alert(at=3.0), quality(at=3.0), clock(1.0), tick(100.0, 0.0), tick(101.0, 1.0),
]  # fmt: skip
NAMES = archived(("paper",))


def fill_lake(lake: Path, *batches: Sequence[Record]) -> Path:
    source = TestingSource([("shard-0", list(batch)) for batch in batches])
    made = Archive(lake, NAMES, clock=lambda: 0.0)  # however slow the machine, nothing is due before the end
    run_main(archive.build(source, archive.LakeSink(made)))
    return lake


def ask(lake: Path, query: str) -> list[tuple[Any, ...]]:
    with connect(lake) as connection:
        return sql(connection, query)[1]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day's lake, of which every event lies on the log twice."""
    log = Log()
    return fill_lake(tmp_path_factory.mktemp("day"), log.append(*DAY), log.append(*DAY))


@pytest.fixture
def lake(day: Path, tmp_path: Path) -> Path:
    """A copy of the day's lake, to be changed at will."""
    return shutil.copytree(day, tmp_path / "lake")


# --- views ------------------------------------------------------------------------------------------------------------


def test_a_lake_without_records_has_every_view_with_the_columns_of_a_full_one(day: Path, tmp_path: Path):
    made = fill_lake(tmp_path / "made", [])
    with connect(made) as empty, connect(day) as full, closing(Queries(tmp_path / "not yet", awaited=True)) as awaited:
        for view in VIEWS:
            columns = f"SELECT column_name, column_type FROM (DESCRIBE {view})"
            described = sql(full, columns)[1]

            assert sql(empty, columns)[1] == awaited.sql(columns)[1] == described
            assert sql(empty, f"SELECT * FROM {view}")[1] == awaited.sql(f"SELECT * FROM {view}")[1] == []
            assert '"NULL"' not in {kind for _, kind in described}


def test_a_second_copy_of_an_event_is_no_second_row(day: Path):
    with connect(day) as connection:
        counted = {view: sql(connection, f"SELECT count(*) FROM {view}")[1][0][0] for view in VIEWS}

    assert counted == {
        "ticks": 2, "clocks": 1, "quality": 1, "signals": 2, "validated": 1, "rejections": 2, "fills": 2, "orders": 3,
        "pnl": 2, "strategy_pnl": 2, "alerts": 1, "commands": 0, "dead_letters": 0,
    }  # fmt: skip


def test_every_view_of_the_file_is_offered_to_those_who_ask():
    assert set(VIEWS) == {
        line.split()[4] for line in _views_sql().splitlines() if line.startswith("CREATE OR REPLACE VIEW")
    }


def _views_sql() -> str:
    return (Path(__file__).resolve().parents[2] / "analytics" / "views.sql").read_text()


def test_the_views_read_declared_topics_and_no_others():
    suffixes = {topic.name.partition(".")[2] for topic in all_topics(("paper",))} | {
        MARKET_TICKS.name.partition(".")[2]
    }
    patterns = [part.split("'")[0] for part in _views_sql().split("events_of('")[1:]]

    assert patterns
    for pattern in patterns:
        assert pattern.partition(".")[2] in suffixes
    assert f"'/{MARKET_TICKS.name}/*/*.parquet'" in _views_sql()


def test_money_is_decimal_and_time_is_utc(lake: Path):
    kinds = dict(ask(lake, "SELECT column_name, column_type FROM (DESCRIBE fills)"))

    assert {kinds[name] for name in ("price", "value", "charges", "realised_pnl")} == {"DECIMAL(18,6)"}
    assert kinds["timestamp"] == "TIMESTAMP"
    assert ask(lake, "SELECT sum(value) FROM fills") == [(Decimal("1006.000000"),)]


def test_an_order_is_one_row_with_its_last_status(lake: Path):
    query = "SELECT order_id, status, filled_quantity, remaining, average_price, charges, reason FROM orders ORDER BY 1"

    assert ask(lake, query) == [
        ("o1", "filled", 10, 0, Decimal("100.600000"), Decimal("3.000000"), None),
        ("o2", "failed", 0, 10, None, Decimal("0.000000"), "cancelled"),
        ("o3", "submitted", 0, 10, None, Decimal("0.000000"), None),
    ]


def test_a_refusal_has_a_row_for_every_rule(lake: Path):
    assert ask(lake, 'SELECT rule, "limit", observed FROM rejections ORDER BY rule') == [
        ("daily_loss", "10", "11"), ("order_value", "10", "11"),
    ]  # fmt: skip


def test_a_dead_letter_shows_where_it_came_from_and_why(tmp_path: Path):
    log = Log()
    letter = dead_letter(Record("market.ticks", 3, 41, b"k", b"\xff{"), "gate", "DecodeError", "truncated")
    copies = [log.append_raw(letter.topic, letter.value, letter.key, letter.headers) for _ in range(2)]
    unnamed = [log.append_raw(letter.topic, b"?") for _ in range(2)]

    fill_lake(tmp_path, copies, unnamed)

    query = 'SELECT topic, partition, "offset", step, error, message, attempts, raw FROM dead_letters ORDER BY 1'
    assert ask(tmp_path, query) == [
        ("market.ticks", 3, 41, "gate", "DecodeError", "truncated", 1, b"\xff{"), *[(*[None] * 7, b"?")] * 2,
    ]  # fmt: skip


def test_one_odd_record_does_not_hide_the_others(tmp_path: Path):
    log = Log()
    odd = encode(filled("odd", at=0.5)).replace(b'"price":"100.00"', b'"price":"dear"')

    fill_lake(
        tmp_path,
        [*log.append(filled()), log.append_raw("paper.orders.filled", odd), log.append_raw(MARKET_TICKS.name, b"{")],
    )

    assert ask(tmp_path, "SELECT price FROM fills ORDER BY timestamp") == [(Decimal("100.000000"),), (None,)]
    assert ask(tmp_path, "SELECT count(*) FROM ticks") == [(0,)]


def test_files_that_compaction_left_beside_their_parts_are_seen_once(lake: Path):
    directory = lake / "paper.orders.filled" / "date=2026-05-06"
    [part] = directory.glob("*.parquet")
    part.with_name("0-0-99.parquet").write_bytes(part.read_bytes())

    assert ask(lake, "SELECT count(*) FROM fills") == [(2,)]


def test_a_condition_on_the_date_leaves_other_days_files_unopened(lake: Path):
    other = lake / "paper.orders.filled" / "date=2026-05-05"
    other.mkdir()
    (other / "0-100-200.parquet").write_bytes(b"PAR1 damaged")

    assert ask(lake, "SELECT count(*) FROM fills WHERE date = '2026-05-06'") == [(2,)]


def test_the_file_of_views_works_in_any_duckdb(lake: Path):
    with duckdb.connect() as connection:
        connection.execute("SET VARIABLE lake = ?", [str(lake)])
        connection.execute(_views_sql())
        assert connection.execute("SELECT count(*) FROM fills").fetchall() == [(2,)]


# --- asking -----------------------------------------------------------------------------------------------------------


NO_LAKES = ["missing", "empty", "file", "parquet of others", "notes"]


def no_lake(kind: str, directory: Path) -> Path:
    path = directory / "typing mistake"
    if kind == "file":
        path.write_text("a,b\n1,2\n")
    elif kind == "parquet of others":
        (path / "trades" / "date=2026-05-06").mkdir(parents=True)
        duckdb.sql("SELECT 1 AS a").write_parquet(str(path / "trades" / "date=2026-05-06" / "0-0-0.parquet"))
    elif kind != "missing":
        path.mkdir()
    if kind == "notes":
        (path / "market.ticks").mkdir()
        (path / "market.ticks" / "README.md").write_text("nothing yet")
    return path


def everything(directory: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(directory.rglob("*"))}


@pytest.mark.parametrize("kind", NO_LAKES)
def test_where_there_is_no_lake_it_says_so_and_makes_none(kind: str, tmp_path: Path):
    path = no_lake(kind, tmp_path)
    before = everything(tmp_path)

    for ask_for in (connect, Queries):
        with pytest.raises(ConfigError, match=f"there is no lake at {path}") as refused:
            ask_for(path)
    assert refused.value.remedy
    assert everything(tmp_path) == before


def test_a_lake_beside_the_folder_that_is_named_is_pointed_at(day: Path, tmp_path: Path):
    (tmp_path / "desk").mkdir()
    shutil.copytree(day, tmp_path / "desk" / "lake")

    for named in ("desk", "desk/lake/market.ticks"):
        with pytest.raises(ConfigError) as refused:
            connect(tmp_path / named)
        assert refused.value.remedy == f"there is one at {tmp_path / 'desk' / 'lake'}"


def test_a_lake_that_is_awaited_is_empty_until_its_archive_has_made_it(tmp_path: Path):
    with closing(Queries(tmp_path / "lake", awaited=True)) as queries:
        assert (queries.fills("paper"), queries.counts(), queries.order("paper", "o1")) == ([], {}, None)
        with pytest.raises(ConfigError, match="there is no lake"):
            queries.check()
        assert list(tmp_path.iterdir()) == []

        fill_lake(tmp_path / "lake", Log().append(filled("o1")))

        queries.check()
        assert [fill.order_id for fill in queries.fills("paper")] == ["o1"]
        assert queries.counts()["paper.orders.filled"] == 1


def test_topics_that_an_earlier_version_did_not_archive_have_no_rows(lake: Path):
    for topic in ("market.clock", "market.ticks", "paper.signals.rejected", "paper.commands"):
        shutil.rmtree(lake / topic)
    for letters in lake.glob("*.dlq"):
        shutil.rmtree(letters)
    before = everything(lake)

    gone = ("clocks", "ticks", "rejections", "commands", "dead_letters")
    assert [ask(lake, f"SELECT count(*) FROM {view}") for view in gone] == [[(0,)]] * 5
    assert ask(lake, "SELECT count(*) FROM fills") == [(2,)]
    assert everything(lake) == before


def test_a_column_that_an_earlier_version_did_not_write_is_null(lake: Path):
    for file in lake.glob("paper.orders.filled/*/*.parquet"):
        older = duckdb.sql(f"SELECT * EXCLUDE (correlation_id) FROM read_parquet('{file}', hive_partitioning=false)")
        older.write_parquet(str(file.with_suffix(".older")))
        file.with_suffix(".older").rename(file)

    assert ask(lake, "SELECT order_id, correlation_id FROM fills") == [("o1", None)] * 2


def test_files_of_two_versions_are_told_apart_from_damaged_ones(lake: Path):
    [part] = (lake / "paper.orders.filled" / "date=2026-05-06").glob("*.parquet")
    duckdb.sql(f"SELECT * EXCLUDE (data) FROM read_parquet('{part}', hive_partitioning=false)").write_parquet(
        str(part.with_suffix(".other"))
    )
    part.with_suffix(".other").rename(part)

    with pytest.raises(
        DataError, match=r"has other columns than those before it.*filled/date=2026-05-06/0-0-3\.parquet"
    ):
        ask(lake, "SELECT * FROM fills")


@pytest.mark.parametrize("name", ["a[1]", "what?", "*", "it's", "a b"])
def test_a_lakes_name_stands_for_itself(day: Path, tmp_path: Path, name: str):
    shutil.copytree(day, tmp_path / name)
    (tmp_path / "a1").mkdir()

    assert ask(tmp_path / name, "SELECT count(*) FROM fills") == [(2,)]


@pytest.mark.parametrize("query", ["SELECT nonsense FROM fills", "SELEC 1", "SELECT * FROM nowhere", "SELECT 1 +"])
def test_a_wrong_query_is_told_with_duckdbs_own_words(lake: Path, query: str):
    with pytest.raises(ConfigError, match=r"the query cannot run: \w+ Error") as refused:
        ask(lake, query)
    assert "fills" in refused.value.remedy


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{lake}/out.csv'", "COPY fills TO '{lake}/out.parquet' (FORMAT parquet)",
        "CREATE TABLE t AS SELECT 1", "ATTACH '{lake}/x.db'", "EXPORT DATABASE '{lake}/x'", "SET lock_configuration = false",
        "SELECT 1; COPY (SELECT 1) TO '{lake}/out.csv'", "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/out.csv'",
        "INSTALL httpfs", "DROP VIEW fills", "SET VARIABLE lake = '/'", "PREPARE p AS COPY (SELECT 1) TO '{lake}/out.csv'",
        "",
    ],
)  # fmt: skip
def test_a_query_cannot_write_or_change_anything(lake: Path, query: str):
    before = sorted(lake.rglob("*"))

    with pytest.raises(ConfigError, match="a query is one SELECT"):
        ask(lake, query.format(lake=lake))
    assert sorted(lake.rglob("*")) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/hostname')", "SELECT * FROM read_csv('{lake}/../secret.csv')",
        "SELECT * FROM glob('/etc/*')", "SELECT * FROM '/etc/hostname.csv'",
        "SELECT * FROM read_parquet('https://example.invalid/x.parquet')", "FROM query('COPY (SELECT 1) TO ''{lake}/o.csv''')",
    ],
)  # fmt: skip
def test_a_query_cannot_read_beyond_the_lake(lake: Path, query: str):
    (lake.parent / "secret.csv").write_text("a\n1\n")

    with pytest.raises(ConfigError, match="the query cannot run"):
        ask(lake, query.format(lake=lake))


def test_a_damaged_file_is_named_and_not_taken_for_a_wrong_query(lake: Path):
    [part] = (lake / "paper.orders.filled" / "date=2026-05-06").glob("*.parquet")
    part.write_bytes(b"PAR1 no more")

    with pytest.raises(DataError, match=r"paper\.orders\.filled/date=2026-05-06/0-0-3\.parquet"):
        ask(lake, "SELECT * FROM fills")


def test_reading_while_the_archive_writes_sees_what_is_whole(tmp_path: Path):
    log = Log()
    fill_lake(tmp_path, log.append(filled("o1")))
    queries = Queries(tmp_path)
    assert len(queries.fills("paper")) == 1

    fill_lake(tmp_path, log.append(filled("o2", at=5.0)))

    assert [fill.order_id for fill in queries.fills("paper")] == ["o2", "o1"]
    queries.close()


# --- read functions ---------------------------------------------------------------------------------------------------


def test_fills_come_newest_first_page_by_page_as_plain_text_and_numbers(lake: Path):
    queries = Queries(lake)
    [first] = queries.fills("paper", "a", limit=1)
    [second] = queries.fills("paper", "a", after=(first.timestamp, first.id), limit=1)

    assert first == Fill(
        first.id, "2026-05-06T04:30:00.400000Z", "paper", "o1", "a", "momentum", TOKEN, "RELIANCE", "BUY", 6, 0, "101.00",
        "606.00", "1.50", "0.00", 10, "101.00", "0.05",
    )  # fmt: skip
    assert second.quantity == 4
    assert queries.fills("paper", "a", after=(second.timestamp, second.id)) == []
    assert queries.fills("zerodha") == []
    queries.close()


def test_a_pnl_series_is_cut_at_its_bounds_the_first_inside_the_last_outside(lake: Path):
    queries = Queries(lake)
    one, three = "2026-05-06T04:30:01Z", "2026-05-06T10:00:03+05:30"

    assert [point.realised for point in queries.pnl_series("paper", "a")] == ["7.25", "0.00"]
    assert [point.realised for point in queries.pnl_series("paper", "a", one, three)] == ["7.25"]
    assert [point.realised for point in queries.pnl_series("paper", "a", three)] == ["0.00"]
    assert queries.pnl_series("paper", "nobody") == []
    queries.close()


def test_counts_are_the_records_of_each_topic(lake: Path):
    queries = Queries(lake)
    counts = queries.counts()
    queries.close()

    assert {topic: n for topic, n in counts.items() if n} == {
        "market.clock": 2, "market.quality": 2, "market.ticks": 4, "paper.orders.ack": 2, "paper.orders.failed": 2,
        "paper.orders.filled": 4, "paper.orders.placed": 2, "paper.orders.submitted": 6, "paper.pnl.snapshots": 4,
        "paper.signals.raw": 4, "paper.signals.rejected": 2, "paper.signals.validated": 2, "system.alerts": 2,
    }  # fmt: skip
    assert counts["paper.orders.filled.dlq"] == 0


def panda(query: str, lake: Path) -> subprocess.CompletedProcess[str]:
    """As a process that may not write a byte into any file."""
    command = [sys.executable, "-m", "cli", "sql", query, "--lake", str(lake), "--json"]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2], check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )  # fmt: skip


def test_panda_sql_answers_with_one_line_of_json(day: Path):
    answered = panda("SELECT order_id, charges FROM orders WHERE status = 'filled'", day)

    assert (answered.returncode, answered.stdout) == (0, '[{"order_id":"o1","charges":"3.000000"}]\n')


def test_panda_sql_refuses_with_exit_code_2_and_writes_nothing_to_standard_output(day: Path):
    refused = panda("COPY (SELECT 1) TO 'x.csv'", day)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "a query is one SELECT" in refused.stderr


@pytest.mark.parametrize("kind", NO_LAKES)
def test_panda_sql_over_what_is_no_lake_exits_2_with_a_remedy_and_writes_nothing(kind: str, tmp_path: Path):
    path = no_lake(kind, tmp_path)
    before = everything(tmp_path)

    refused = panda("SELECT count(*) FROM fills", path)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"error: there is no lake at {path}" in refused.stderr
    assert "`panda demo` or `panda run archive` makes one" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert everything(tmp_path) == before
