"""Reading recorded files, in turns with DuckDB's own typed read of the same file, and with another version of the project.

Goal: twice DuckDB's time at most, and a thousand instruments at most 1.3 times ten of as many rows. DuckDB's read gives
columns; ours judges, numbers and orders the rows as well, makes two prints of a bar, and reports what is peculiar. Each
run is a process of its own that reads twice, of which the second counts.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import duckdb

from benchmarks.workload import Figure, Spent, arguments, report

ROOT: Final = Path(__file__).resolve().parent.parent
_OURS: Final = """
import sys, time
from pathlib import Path
from connectors.recorded.reading import read
for _ in range(2):
    cpu, wall = time.process_time(), time.perf_counter()
    read([Path(sys.argv[1])])
print(time.process_time() - cpu, time.perf_counter() - wall)
"""
_DUCKDB: Final = """
import sys, time, duckdb
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
for _ in range(2):
    cpu, wall = time.process_time(), time.perf_counter()
    connection.execute(f"SELECT * FROM {sys.argv[2]}").fetchnumpy()
print(time.process_time() - cpu, time.perf_counter() - wall)
"""
_MINUTES: Final = (
    "TIMESTAMP '2025-01-06 09:15:00' + to_days((i // 375 // 5 * 7 + i // 375 % 5)::INTEGER) + to_minutes(i % 375)"
)
_SECONDS: Final = "TIMESTAMP '2025-01-06 09:15:00' + to_days((i // 20000)::INTEGER) + to_seconds(i % 20000)"
_PRICE: Final = "round((1000 + 5 * sin(i / 700 + s)) * 20) / 20"
_BARS: Final = (
    "SELECT {time} AS timestamp, 'S' || lpad(s::VARCHAR, 4, '0') AS symbol, {price} AS open, {price} + 1 AS high, "
    "{price} - 1 AS low, {price} + 0.5 AS close, 100 + i % 900 AS volume "
    "FROM range({moments}) AS m(i), range({symbols}) AS n(s) ORDER BY i, s"
)
_TICKS: Final = (
    "SELECT {time} AS timestamp, 1 + s AS instrument_token, {price} AS last_price, 100 * (1 + i % 20000) AS volume_traded "
    "FROM range({moments}) AS m(i), range({symbols}) AS n(s) ORDER BY i, s"
)


def files(folder: Path, rows: int) -> dict[str, tuple[Path, str]]:
    """One file of each form, and how DuckDB reads it with its types given."""
    bars = "{'timestamp': 'TIMESTAMP', 'symbol': 'VARCHAR', 'open': 'DOUBLE', 'high': 'DOUBLE', 'low': 'DOUBLE', "
    bars += "'close': 'DOUBLE', 'volume': 'BIGINT'}"
    ticks = "{'timestamp': '%s', 'instrument_token': 'BIGINT', 'last_price': 'DOUBLE', 'volume_traded': 'BIGINT'}"
    forms = {
        "bars_10": ("csv", _BARS, _MINUTES, 10, bars),
        "bars_1000": ("csv", _BARS, _MINUTES, 1000, bars),
        "ticks": ("csv", _TICKS, _SECONDS, 10, ticks % "TIMESTAMP"),
        "ticks_since_1970": ("csv", _TICKS, f"epoch_ms({_SECONDS}) - 19800000", 10, ticks % "BIGINT"),
        "bars_parquet": ("parquet", _BARS, _MINUTES, 10, ""),
        "ticks_parquet": ("parquet", _TICKS, _SECONDS, 10, ""),
    }
    made = {}
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for name, (suffix, select, time, symbols, types) in forms.items():
            path = folder / f"{name}.{suffix}"
            text = select.format(time=time, price=_PRICE, symbols=symbols, moments=rows // symbols)
            connection.execute(f"COPY ({text}) TO '{path}'")
            made[name] = (
                path,
                f"read_csv('{path}', header=true, columns={types})" if types else f"read_parquet('{path}')",
            )
    return made


def run(program: str, *words: str, root: Path = ROOT) -> Spent:
    """One process of a version of the project. Raises: `subprocess.CalledProcessError`."""
    python = root / ".venv" / "bin" / "python"
    command = [str(python if python.exists() else sys.executable), "-c", program, *words]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return Spent(*map(float, done.stdout.split()[-2:]))


def measure(rows: int, rounds: int, before: Path | None = None) -> list[Figure]:
    figures: list[Figure] = []
    walls: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, relation) in files(Path(folder), rows).items():
            turns = [
                (
                    run(_DUCKDB, str(path), relation),
                    run(_OURS, str(path)),
                    before and run(_OURS, str(path), root=before),
                )
                for _ in range(rounds)
            ]
            ours, duck = [turn[1].wall for turn in turns], [turn[0].wall for turn in turns]
            walls[name] = statistics.median(ours)
            ratio = statistics.median(a / b for a, b in zip(ours, duck, strict=True))
            figures += [
                Figure(f"{name}_wall", walls[name], "s"),
                Figure(f"{name}_cpu", statistics.median(turn[1].cpu for turn in turns), "s"),
                Figure(f"{name}_duckdb_wall", statistics.median(duck), "s"),
                Figure(f"{name}_duckdb_cpu", statistics.median(turn[0].cpu for turn in turns), "s"),
                Figure(f"{name}_of_duckdb", ratio, "", 2.0),
            ]
            old = [turn[2].wall for turn in turns if turn[2] is not None]
            figures += [Figure(f"{name}_before_wall", statistics.median(old), "s")] if old else []
    figures.append(Figure("thousand_of_ten_instruments", walls["bars_1000"] / walls["bars_10"], "", 1.3))
    return figures


def main() -> None:
    given = arguments(
        __doc__, rows=(1_000_000, "of each file"), rounds=(5, "turns, of which the median"),
        before=("", "folder of another version of the project"),
    )  # fmt: skip
    before = Path(given.before).resolve() if given.before else None
    report("reading", measure(given.rows, given.rounds, before), json=given.json)


if __name__ == "__main__":
    main()
