"""The command line as a user meets it: answers, exit codes, and what it says about bad input."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from functions.timestamps import timestamp
from tests.market import walk

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ticks_csv(tmp_path):
    """4 000 ticks of two made-up shares."""
    rows = walk(4_000, 2, 0.0008, 9, step_ns=50_000_000)
    lines = ["timestamp,instrument_token,last_price,volume_traded,bid,ask,bid_quantity,ask_quantity"]
    lines += [
        f"{timestamp(int(r['time']))},{5 + r['instrument']},{r['price']},{r['volume']},{r['bid']},{r['ask']},"
        f"{r['bid_quantity']},{r['ask_quantity']}"
        for r in rows
    ]
    path = tmp_path / "ticks.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_help_lists_the_commands_without_loading_the_engine():
    check = "import sys, cli.commands; print('numba' in sys.modules, 'bytewax' in sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert loaded.split() == ["False", "False"]


def test_a_backtest_loads_nothing_that_is_there_for_others():
    names = {"numba", "coverage", "rich", "pygments", "pydantic", "structlog", "stamina"}
    check = f"import sys, cli.backtest; print(sorted({names} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert loaded.strip() == "['numba']"


@pytest.mark.parametrize("command", [["backtest", "momentum"], ["feed", "--source", "file"], ["demo"]])
def test_an_empty_path_is_refused_and_is_not_the_current_folder(panda, command):
    code, _, err = panda(*command, "--data", "")
    assert (code, "the path is empty; name a file or a folder" in err) == (2, True)


def test_a_backtest_prints_one_line_of_json_with_everything_promised(panda, ticks_csv):
    code, out, _ = panda("backtest", "momentum", "--data", ticks_csv, "--json")

    summary = json.loads(out.strip().splitlines()[-1])
    assert code == 0
    assert summary["ticks"] == 4_000
    assert summary["signals"] == summary["rejected"] + summary["orders"] > 0
    promised = (
        "first_date last_date ticks limited_by reading_s deciding_s whole_s deciding_ticks_per_s notes "
        "signals rejected orders fills capital realised unrealised charges "
        "net_pnl equity peak_equity max_drawdown gross_exposure max_gross_exposure positions"
    )
    assert set(promised.split()) <= set(summary)
    assert (summary["first_date"], summary["capital"]) == ("2026-05-06", "1000000.00")


def test_a_backtest_is_read_line_by_line(panda, ticks_csv):
    code, out, _ = panda("backtest", "momentum", "--data", ticks_csv, "--capital", "250000", "--param", "threshold=0.5")

    said = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert (said["first_date"], said["last_date"], said["capital"]) == ("2026-05-06", "2026-05-06", "250000.00")
    assert (said["equity"], said["max_drawdown"], said["positions"]) == ("250000.00", "0.00", "none")


def test_the_same_backtest_twice_is_the_same(panda, ticks_csv):
    runs = [json.loads(panda("backtest", "momentum", "--data", ticks_csv, "--json")[1]) for _ in range(2)]

    for run in runs:
        assert 0 < run["reading_s"] + run["deciding_s"] < run["whole_s"]
        for name in ("reading_s", "deciding_s", "whole_s", "deciding_ticks_per_s"):
            del run[name]
    assert runs[0] == runs[1]


def test_few_quantities_may_make_a_lot_too_large_and_a_list_of_instruments_says_it_better(panda, tmp_path):
    """Of 650, 1 300 and 1 950 nobody can tell that the lot is 65."""
    data = tmp_path / "data"
    data.mkdir()
    rows = [f"2026-04-06 11:0{n}:00,22000,22000,22000,22000,{650 * n}" for n in (1, 2, 3)]
    (data / "NIFTY26APRFUT.csv").write_text("\n".join(["timestamp,open,high,low,close,volume", *rows, ""]))

    def run():
        arguments = "--data", data, "--param", "quantity=65", "--no-limits", "--capital", "10000000", "--json"
        _, out, err = panda("backtest", "tests.strategies:Counter", *arguments)
        said = json.loads(out)
        return said["fills"], said["rejected_by_rule"], err

    fills, refused, told = run()
    assert (fills, refused) == (0, {"lot_multiple": 2})
    assert "multiples of the lot (650 here)" in told
    assert "Without a list of instruments beside the data" in told
    (data / "instruments.csv").write_text(
        "instrument_token,tradingsymbol,exchange,instrument_type,lot_size,tick_size\n9,NIFTY26APRFUT,NFO,FUT,65,0.05\n"
    )
    fills, refused, told = run()
    assert (fills > 0, refused, "multiples of the lot" in told) == (True, {}, False)


def test_options_change_what_they_name(panda, ticks_csv):
    def run(*options):
        return json.loads(panda("backtest", "momentum", "--data", ticks_csv, "--json", *options)[1])

    plain = run()
    assert plain["signals"] > 0
    assert plain["fills"] > 0
    assert float(plain["charges"]) > 0
    assert run("--no-charges")["charges"] == "0.00"
    assert float(run("--slippage-bps", "20")["net_pnl"]) < float(plain["net_pnl"])
    assert run("--param", "threshold=0.5")["signals"] == 0
    assert 0 < run("--instruments", "5")["signals"] < plain["signals"]
    limited = run("--max-position", "1")
    assert limited["fills"] > 0
    assert {abs(position["quantity"]) for position in limited["positions"]} <= {0, 1}
    assert float(limited["charges"]) < float(plain["charges"])
    assert run("--limit", "max_position=3")["positions"] == run("--max-position", "3")["positions"]


def test_a_backtest_that_a_limit_held_says_so_first(panda, ticks_csv):
    def run(*options):
        return panda("backtest", "momentum", "--data", ticks_csv, *options)[1]

    first = run("--limit", "max_orders_per_day=1").splitlines()[0]
    assert re.fullmatch(r"limited_by +max_orders_per_day=1 since 2026-05-06 \d\d:\d\d:\d\d IST", first)

    held = json.loads(run("--limit", "max_orders_per_day=1", "--no-limits", "--json"))
    assert (held["limited_by"]["limit"], held["orders"] - held["squared_off"]) == ("max_orders_per_day", 1)
    assert held["limited_by"]["refused"] == held["rejected"] == held["signals"] - 1

    free = json.loads(run("--no-limits", "--json"))
    assert (free["limited_by"], free["rejected"]) == (None, 0)


def test_a_strategy_of_ones_own_runs_from_a_file_and_from_a_module(panda, ticks_csv, tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Follow:\n"
        "    fields = ('price',)\n"
        "    def __init__(self, window=20, threshold=0.002, quantity=1):\n"
        "        self.window, self.threshold, self.quantity, self.prices = window, threshold, quantity, []\n"
        "    def on_tick(self, tick):\n"
        "        self.prices.append(tick.price)\n"
        "        if len(self.prices) < self.window:\n"
        "            return 0\n"
        "        change = tick.price / self.prices[-self.window] - 1.0\n"
        "        return self.quantity if change > self.threshold else -self.quantity if change < -self.threshold else 0\n"
    )

    def run(strategy):
        summary = json.loads(panda("backtest", strategy, "--data", ticks_csv, "--json")[1])
        return {k: summary[k] for k in ("signals", "orders", "fills", "realised", "charges")}

    assert run("mine.py:Follow") == run("momentum")


def test_a_backtest_notes_what_is_peculiar_about_its_recording(panda, tmp_path):
    (tmp_path / "TCS.csv").write_text("timestamp,ltp\n2026-04-01 10:00:00,1000.05\n2026-04-02 10:00:00,500.05\n")
    (tmp_path / "notes.csv").write_text("buy,milk\n1,2\n")
    _, out, _ = panda("backtest", "momentum", "--data", str(tmp_path))
    assert "note                TCS goes from 1,000.05 to 500.05 over the night to 2026-04-02, 2 to 1" in out
    notes = json.loads(panda("backtest", "momentum", "--data", str(tmp_path), "--json")[1])["notes"]
    assert [note.split(" ")[0] for note in notes] == ["passed", "TCS"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backtest", "momentun"], ["unknown strategy 'momentun'", "mean_reversion", "momentum"]),
        (["backtest", "momentum", "--param", "windw=3"], ["unknown parameter windw", "window, threshold, quantity"]),
        (["backtest", "momentum", "--param", "window=x"], ["window takes int, was 'x'"]),
        (["backtest", "momentum", "--param", "window=1"], ["window is at least 2, was 1"]),
        (["backtest", "momentum", "--param", "window"], ["--param takes name=value, was 'window'"]),
        (["backtest", "momentum", "--instruments", "INFY"], ["no instrument INFY"]),
        (["backtest", "momentum", "--instruments", ""], ["--instruments names no instrument", "leave it out for all"]),
        (
            ["backtest", "momentum", "--instruments", " ,,"],
            ["--instruments names no instrument", "leave it out for all"],
        ),
        (["backtest", "momentum", "--slippage-bps", "-1"], ["slippage_bps"]),
        (["backtest", "momentum", "--limit", "max_orders=1"], ["no limit is named 'max_orders'", "max_open_orders"]),
        (["backtest", "momentum", "--limit", "max_position"], ["--limit takes NAME=VALUE, was 'max_position'"]),
        (["backtest", "momentum", "--limit", "max_position=x"], ["max_position takes a whole number, was 'x'"]),
        (["backtest", "momentum", "--limit", "max_position=0"], ["max_position is from 1 to 10000000, was 0"]),
        (
            ["backtest", "momentum", "--no-limits", "--limit", f"max_position={10**30}"],
            [f"max_position is from 1 to 10000000, was {10**30}"],
        ),
        (["backtest", "momentum", "--limit", "max_daily_loss=all"], ["max_daily_loss is a number with", "'all'"]),
        (
            ["backtest", "momentum", "--limit", "max_position=1", "--limit", "max_position=1"],
            ["max_position is given twice"],
        ),
        (["backtest", "momentum", "--limit", "max_position=1", "--max-position", "1"], ["--max-position is the same"]),
        (["backtest", "nowhere.py:Thing"], ["no file 'nowhere.py'"]),
        (["backtest", "no_module_of_mine:Thing"], ["no module 'no_module_of_mine'"]),
    ],
)
def test_wrong_use_exits_2_and_says_what_would_do(panda, ticks_csv, arguments, words):
    code, _, err = panda(*arguments, "--data", ticks_csv)

    assert code == 2
    assert all(word in err for word in words), err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("timestamp,instrument_token,last_price\n", ["bad.csv"]),
        ("timestamp,last_price\n2026-05-06T10:00:00,abc\n", ["abc"]),
        ("when,what\n1,2\n", ["when", "what"]),
        (
            "timestamp,instrument_token,last_price\n2026-05-06T10:00:01,5,100\n2026-05-06T10:00:00,5,100\n",
            ["row 2", "2026-05-06 10:00:00"],
        ),
    ],
    ids=["empty", "header only", "no number", "unknown columns", "unsorted"],
)
def test_a_bad_file_exits_1_and_names_file_row_and_value(panda, tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)

    code, _, err = panda("backtest", "momentum", "--data", path)

    assert code == 1, err
    assert "bad.csv" in err
    assert all(word in err for word in words), err


def test_a_missing_file_and_a_corrupt_parquet_are_named(panda, tmp_path):
    corrupt = tmp_path / "day.parquet"
    corrupt.write_bytes(b"PAR1" + bytes(100))

    assert "gone.csv" in panda("backtest", "momentum", "--data", tmp_path / "gone.csv")[2]
    code, _, err = panda("backtest", "momentum", "--data", corrupt)
    assert (code, "day.parquet" in err) == (1, True)


def _one_tick(folder, day, name="day.csv"):
    path = folder / name
    path.write_text(f"timestamp,instrument_token,last_price\n{day}T10:00:00,5,100\n")
    return path


def test_days_without_calendar_or_charges_are_refused_not_guessed(panda, tmp_path):
    old, older = _one_tick(tmp_path, "2017-06-30", "old.csv"), _one_tick(tmp_path, "2004-12-31", "older.csv")

    code, _, err = panda("backtest", "momentum", "--data", old)
    assert (code, "no charges are known for 2017-06-30" in err, "--charges-as-of DATE" in err) == (1, True, True)
    assert panda("backtest", "momentum", "--data", old, "--no-charges")[0] == 0
    code, _, err = panda("backtest", "momentum", "--data", older)
    assert (code, "2004-12-31 is outside the trading calendar" in err, "PANDA_CALENDAR" in err) == (1, True, True)


def test_charges_as_of_another_day_are_taken_and_said(panda, tmp_path):
    old = _one_tick(tmp_path, "2017-06-30")

    code, out, _ = panda("backtest", "momentum", "--data", old, "--charges-as-of", "2026-04-01", "--json")
    assert (code, json.loads(out)["charges_as_of"]) == (0, "2026-04-01")
    for wrong, words in (("2017-06-30", "they begin 2017-07-01"), ("yesterday", "charges are as of a day")):
        code, _, err = panda("backtest", "momentum", "--data", old, "--charges-as-of", wrong)
        assert (code, words in err) == (2, True), err


YEAR_2027 = """
[2027.holidays]
01-26 = "Republic Day"

[2027.sessions]
01-02 = { name = "Saturday", hours = "10:00-11:00" }
"""


def test_a_calendar_of_ones_own_is_taken_in_a_backtest(panda, tmp_path, monkeypatch):
    ours, tick = tmp_path / "2027.toml", _one_tick(tmp_path, "2027-01-02")
    ours.write_text(YEAR_2027)
    monkeypatch.delenv("PANDA_CALENDAR")
    code, _, err = panda("backtest", "momentum", "--data", tick)
    assert (code, "knows 2005-01-01 to 2026-12-31" in err) == (1, True)

    monkeypatch.setenv("PANDA_CALENDAR", str(ours))
    assert panda("backtest", "momentum", "--data", tick)[0] == 0

    wrong = tmp_path / "wrong.toml"
    wrong.write_text(YEAR_2027.replace("01-02", "02-30"))
    monkeypatch.setenv("PANDA_CALENDAR", str(wrong))
    code, _, err = panda("backtest", "momentum", "--data", tick)
    assert (code, "line 6: '02-30' is no day of 2027; write month and day: 01-26" in err) == (2, True), err


def test_the_calendar_is_shown_by_year_and_day_and_a_file_is_checked(panda, tmp_path):
    code, out, _ = panda("calendar", "show", "2024-03-02", "--json")
    day = json.loads(out)
    assert (code, day["classes"]["shares"]) == (0, {"session": "09:15-10:00 11:30-12:30", "mis_until": "none"})
    assert "NSE circular" in day["source"]
    code, out, _ = panda("calendar", "show", "2026")
    assert (code, "2026-11-08  Sun  Muhurat" in out, "assumed: no source gives it" in out) == (0, True, True)
    assert len(json.loads(panda("calendar", "show", "--json")[1])) >= 22
    for wrong in ("1999", "1999-01-01", "20260101x"):
        assert panda("calendar", "show", wrong)[0] == 2

    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(YEAR_2027)
    bad.write_text(YEAR_2027.replace("10:00-11:00", "11:00-10:00"))
    code, out, _ = panda("calendar", "check", good, "--json")
    assert (code, json.loads(out)["years"]) == (0, [{"year": 2027, "sessions": 261}])
    code, out, err = panda("calendar", "check", bad, "--json")
    assert (code, json.loads(out)["faults"][0]["line"], "closes before it opens" in err) == (2, 6, True)
    code, _, err = panda("calendar", "check", tmp_path / "gone.toml")
    assert (code, "cannot read" in err, "Traceback" in err) == (2, True, False)


def test_charges_are_shown_by_day_and_a_file_is_checked(panda, tmp_path):
    code, out, _ = panda("charges", "show", "2026-04-01", "--json")
    rates = {(r["item"], r["venue"], r["segment"]): r["value"] for r in json.loads(out)["rates"]}
    assert (code, rates["stt_sell", "NSE", "futures"], rates["transaction", "BSE", "options"]) == (0, "0.05", "0.0325")
    assert "0.03*" in panda("charges", "show", "2019-01-02")[1]  # assumed
    assert panda("charges", "show")[0] == 0
    assert panda("charges", "show", "2016-01-01")[0] == 2

    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[[rates]]\nitem = "stt_sell"\nfrom = 2027-04-01\nfutures = "0.06"\n')
    bad.write_text('[[rates]]\nitem = "stt_sell"\nfrom = 2027-04-01\nfutures = 0.06\n')
    code, out, _ = panda("charges", "check", good)
    assert (code, "2 rates differ" in out) == (0, True), out
    code, _, err = panda("charges", "check", bad)
    assert (code, "line 4: stt_sell of futures: 0.06 is no text" in err) == (2, True), err


def test_a_strategy_that_raises_again_and_again_is_no_result(panda, ticks_csv, tmp_path):
    (tmp_path / "moody.py").write_text("class Moody:\n    def on_tick(self, tick):\n        return 1 // 0\n")

    for form in ([], ["--json"]):
        code, _, err = panda("backtest", "moody.py:Moody", "--data", ticks_csv, *form)

        assert code == 1
        assert "strategy moody lost 10 ticks, the first tick 1 of " in err
        assert "with ZeroDivisionError: " in err
        assert "suspended" in err


GUESTS = """
import os, sys, threading, time
print("imported")

class Loud:
    def __init__(self):
        print("made")
    def on_tick(self, tick):
        if tick.time % 2:
            os.system("echo shell")
        print("tick", tick.price)
        return 0

class Endless:
    fields = ("price",)
    def __init__(self):
        self.seen = 0
    def on_tick(self, tick):
        self.seen += 1
        if self.seen == 5:
            time.sleep(1e6)
        return 1 if self.seen == 2 else 0

class Threads:
    started = False
    def on_tick(self, tick):
        if not Threads.started:
            Threads.started = True
            threading.Thread(target=time.sleep, args=(1e6,)).start()
        return 0
"""


@pytest.fixture
def guests(tmp_path):
    (tmp_path / "guests.py").write_text(GUESTS)
    return tmp_path


def test_what_a_strategy_prints_is_no_part_of_the_result(panda, ticks_csv, guests):
    code, out, err = panda("backtest", "guests.py:Loud", "--data", ticks_csv, "--json")

    assert (code, json.loads(out)["ticks"]) == (0, 4_000)
    assert {"imported", "made"} <= set(err.splitlines())
    assert sum(line.startswith("tick ") for line in err.splitlines()) == 4_000


def test_a_strategy_that_never_comes_to_an_end_is_suspended_and_is_no_result(panda, ticks_csv, guests):
    code, out, err = panda("backtest", "guests.py:Endless", "--data", ticks_csv, "--json", "--strategy-limit", "0.3")

    assert (code, json.loads(out)["signals"]) == (1, 2)  # of two instruments
    assert (
        "error: strategy endless lost one: tick 9 of 4000, 5 at 2026-05-06T04:30:00.400000Z, with Overdue: no end"
        in err
    )
    assert "it was then suspended" in err


def test_a_thread_that_a_strategy_has_started_holds_nothing_up(ticks_csv, guests):
    command = [
        sys.executable,
        "-m",
        "cli",
        "backtest",
        f"{guests}/guests.py:Threads",
        "--data",
        str(ticks_csv),
        "--json",
    ]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert (ended.returncode, json.loads(ended.stdout)["ticks"]) == (0, 4_000)


COMPILED = """
from benchmarks.flow import json_run, log
from benchmarks.workload import market
assert json_run(log(market("dense", 3_000)))[1]["paper.orders.filled"] > 100
"""


def test_after_panda_compile_no_pipeline_compiles_anything(tmp_path):
    """The first tick of a live flow would wait for it, half a minute on a busy machine."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "cli", "compile"], cwd=ROOT, env=environment, check=True, capture_output=True)
    ahead = set(tmp_path.rglob("*.kernel"))

    subprocess.run([sys.executable, "-c", COMPILED], cwd=ROOT, env=environment, check=True)

    assert sorted(path.name for path in set(tmp_path.rglob("*.kernel")) - ahead) == []
    assert len(ahead) >= 8


def test_a_strategy_that_cannot_be_compiled_is_refused_at_the_start(panda, ticks_csv, tmp_path):
    (tmp_path / "odd.py").write_text(
        "from strategies.protocol import strategy\n"
        "@strategy(state=[('seen', 'i8')], quantity=1)\n"
        "def odd(state, tick, params):\n"
        "    return open('x')\n"
    )

    code, _, err = panda("backtest", "odd.py:odd", "--data", ticks_csv)

    assert code == 2
    assert "odd cannot be compiled" in err


def test_strategies_are_listed_with_their_parameters(panda):
    code, out, _ = panda("strategies", "list", "--json")

    listed = {row["name"]: row["parameters"] for row in json.loads(out)}
    assert code == 0
    assert listed["momentum"] == {"window": 20, "threshold": 0.002, "quantity": 1}


def test_the_store_is_made_and_seeded_and_a_second_seed_changes_nothing(panda, tmp_path):
    assert panda("db", "upgrade")[0] == 0
    assert panda("db", "seed")[0] == 0
    code, out, _ = panda("db", "seed")

    assert code == 0
    assert "8 instruments" in out
    assert (tmp_path / ".panda").is_dir()


def test_unknown_settings_and_brokers_exit_2(panda, monkeypatch):
    code, _, err = panda("run", "pipeline", "--broker", "zerodha")
    assert (code, "broker 'zerodha' is not active" in err) == (2, True)
    monkeypatch.setenv("PANDA_KAFKA__BOTSTRAP", "x")
    code, _, err = panda("run", "pipeline")
    assert (code, "PANDA_KAFKA__BOTSTRAP" in err) == (2, True)


def test_no_broker_exits_3_and_says_where_it_looked(tmp_path):
    environment = {**os.environ, "PANDA_KAFKA__BOOTSTRAP": "127.0.0.1:1", "PANDA_DATA_DIR": str(tmp_path)}

    ended = subprocess.run(
        [sys.executable, "-m", "cli", "run", "pipeline"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=90,
    )

    assert ended.returncode == 3, ended.stderr
    assert "127.0.0.1:1" in ended.stderr


def test_the_feed_says_what_it_needs(panda):
    assert panda("feed", "--source", "file")[0] == 2
    code, _, err = panda("feed", "--speed", "-1")
    assert (code, "--speed is 0 (as fast as possible) or more, was -1" in err) == (2, True)
    code, _, err = panda("feed", "--date", "yesterday")
    assert (code, "'yesterday'" in err) == (2, True)


def test_an_interrupt_after_a_command_is_over_does_not_change_how_it_ended():
    code = (
        "import atexit, sys, time; atexit.register(lambda: (print('over', flush=True), time.sleep(1)));"
        "sys.argv = ['panda', 'strategies', 'list']; from cli import main; main()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        while process.stdout.readline() != b"over\n":
            pass
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (0, b"")


# --- what cannot be meant, and what cannot be written -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "99999"], "--port is from 1 to 65535, was 99999"),
        (["--port", "65536"], "--port is from 1 to 65535, was 65536"),
        (["--port", "-1"], "--port is from 1 to 65535, was -1"),
        (["--speed", "-1"], "--speed is market seconds a second, 0 or more, was -1"),
        (["--speed", "nan"], "--speed is market seconds a second, 0 or more, was nan"),
        (["--speed", "inf"], "--speed is market seconds a second, 0 or more, was inf"),
        (["--seconds", "0"], "--seconds is 1 or more, was 0"),
        (["--seconds", "nan"], "--seconds is 1 or more, was nan"),
        (["--seconds", "-inf"], "--seconds is 1 or more, was -inf"),
        (["--seed", "-1"], "--seed is 0 or more, was -1"),
    ],
)
def test_a_demo_with_a_number_that_cannot_be_meant_says_what_can_and_leaves_nothing_behind(
    panda, tmp_path, arguments, says
):
    code, out, err = panda("demo", *arguments)

    assert (code, out) == (2, "")
    assert err.startswith(f"error: {says}\n  → ")
    assert len(err.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_demo_on_a_port_that_another_listens_on_names_it_and_the_way_out(panda):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code, out, err = panda("demo", "--port", port)

    assert (code, out) == (2, "")
    assert err == (
        f"error: port {port} on 127.0.0.1 is in use\n  → panda demo --port N chooses another, --port 0 a free one\n"
    )


def test_a_demo_begins_on_no_disk_without_room(panda, monkeypatch):
    monkeypatch.setattr("deploy.demo.LEAST_BYTES", 2**62)

    code, out, err = panda("demo", "--port", "0")

    assert (code, out) == (3, "")
    assert re.fullmatch(
        r"error: the disk of \S+/demo has \d+ bytes free\n  → make room, or set PANDA_DATA_DIR .*\n", err
    )


@pytest.mark.parametrize(
    "arguments",
    [["--speed", "nan"], ["--seconds", "nan"], ["--seconds", "0"], ["--seconds", "inf"], ["--bad-tick-rate", "nan"]],
)
def test_a_feed_refuses_numbers_that_cannot_be_meant_before_it_looks_for_a_broker(panda, arguments):
    code, _, err = panda("feed", *arguments)

    assert code == 2
    assert f"was {float(arguments[1])}" in err


PRINTING = [
    ["--help"], ["demo", "--help"], ["strategies", "list"], ["strategies", "list", "--json"], ["db", "upgrade"],
    ["backtest", "momentum", "--data", "ticks.csv"], ["backtest", "momentum", "--data", "ticks.csv", "--json"],
    ["compile", "--json"], ["services", "--help"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_an_output_that_a_full_disk_does_not_take_is_told_in_a_line_with_exit_code_3(
    panda, ticks_csv, monkeypatch, arguments
):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code, _, err = panda(*arguments)

    told = [line for line in err.splitlines() if not line.startswith("{")]
    assert code == 3
    assert len(told) == 2
    assert re.fullmatch(r"error: the output.* cannot be written: No space left on device", told[0])
    assert told[1].startswith("  → make room")


@pytest.mark.parametrize("arguments", [["strategies", "list", "--json"], ["sql", "SELECT 1", "--lake", "."]])
def test_a_process_whose_outputs_are_full_ends_with_its_exit_code_and_no_more(arguments):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "cli", *arguments]
        said = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
        unsaid = subprocess.run(command, cwd=ROOT, stdout=full, stderr=full)

    assert said.returncode == unsaid.returncode == (2 if arguments[0] == "sql" else 3)
    assert len(said.stderr.splitlines()) == 2


@pytest.mark.parametrize("directory", ["/sys/panda", "/dev/null/panda", "notes.txt"])
def test_where_nothing_can_be_made_it_says_where_and_what_to_set(panda, tmp_path, monkeypatch, directory):
    (tmp_path / "notes.txt").write_text("a file")
    monkeypatch.setenv("PANDA_DATA_DIR", directory)

    for command in (["db", "upgrade"], ["demo", "--port", "0"]):
        code, out, err = panda(*command)

        assert (code, out) == (2, "")
        assert re.fullmatch(
            rf"error: \S*{directory} cannot be used: .*\n  → give access, or set PANDA_DATA_DIR.*\n", err
        )
