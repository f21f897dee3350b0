"""The rooms and the arrows between them: what may import what, and that a planted violation is seen."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
ROOMS = CONTRACTS["root_packages"]
LINT = """
import sys
sys.path.insert(0, ".")
from importlinter.cli import lint_imports
sys.exit(lint_imports(no_cache=True))
"""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path):
    """The sources of all rooms, to plant violations in."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_arrow_points_the_right_way():
    answer = lint(ROOT)

    assert answer.returncode == 0, answer.stdout
    assert f"Contracts: {len(CONTRACTS['contracts'])} kept, 0 broken." in answer.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("functions/risk.py", "from connectors import errors", "The rooms, and which way the arrows point"),
        ("functions/risk.py", "import strategies.momentum", "The rooms, and which way the arrows point"),
        ("functions/risk.py", "import redis", "Decisions do no I/O and know no framework"),
        ("strategies/momentum.py", "import bytewax", "Only flows and connectors know Bytewax"),
        ("connectors/errors.py", "import dataflows.process", "The rooms, and which way the arrows point"),
        ("analytics/__init__.py", "import strategies.momentum", "The read side reads: no flow, no strategy"),
    ],
)
def test_an_arrow_that_points_the_wrong_way_is_seen(copy, file, line, broken):
    with (copy / file).open("a") as source:
        source.write(f"\n{line}\n")

    answer = lint(copy)

    assert answer.returncode == 1
    assert f"{broken} BROKEN" in answer.stdout


def test_every_room_with_code_is_under_the_contracts():
    rooms = {folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").exists()} - {
        "tests",
        "benchmarks",
        "docs",
    }

    assert rooms <= set(ROOMS)
