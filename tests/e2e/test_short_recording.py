"""A recording of less than a minute, as the demo plays it: at once, to its end, whatever the clock says."""

import json
import os
import subprocess
import sys

import pytest

from tests.e2e.processes import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SECONDS = 40


def test_a_recording_that_is_over_before_the_flows_are_live_is_played_to_its_end(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for symbol, price in (("BAJAJ-AUTO", 9000), ("M&M", 3000)):
        rows = [f"2026-04-01 10:00:{n:02},{price * (1 + 0.004 * (n // 10 % 2))},{n + 1}" for n in range(SECONDS)]
        (data / f"{symbol}.csv").write_text("timestamp,last_price,volume\n" + "\n".join(rows) + "\n")
    command = [
        sys.executable,
        "-m",
        "cli",
        "demo",
        "--data",
        str(data),
        "--speed",
        "0",
        "--port",
        "0",
        "--seconds",
        "500",
    ]

    played = subprocess.run(
        [*command, "--json"],
        cwd=ROOT,
        env={**os.environ, "PANDA_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
    )

    assert played.returncode == 0, played.stderr
    summary = json.loads(played.stdout.splitlines()[-1])
    assert summary["counts"]["market.ticks"] == 2 * SECONDS
    momentum = summary["strategies"]["momentum"]
    assert momentum["signals"] == momentum["rejected"] + momentum["orders"]
    assert momentum["fills"] > 0
