"""Standard output is for answers: DuckDB draws a progress bar on it after two seconds of a query, unless told not to."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("analytics", "api", "cli", "connectors", "dataflows", "deploy")
CONNECTING = [
    path.relative_to(ROOT).as_posix()
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
    if "duckdb.connect(" in path.read_text()
]


@pytest.mark.parametrize("path", CONNECTING)
def test_every_connection_to_duckdb_draws_no_progress_bar(path):
    text = (ROOT / path).read_text()
    assert text.count("duckdb.connect(") == text.count('execute("SET enable_progress_bar = false")')


def test_there_are_connections():
    assert len(CONNECTING) >= 4
