"""The documents tell the truth: what they name is there, what they print runs."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.commands import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "strategies.md"]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
EVERYTHING = [*DOCUMENTS, ROOT / "CHANGELOG.md", *DECISIONS]
PARTS = ["**Status** ", "**Context** ", "**Decision** ", "**Consequences** ", "**Revisit when** "]
MADE_BY_THE_READER = ("ideas/", ".panda/", ".venv/")

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"[\w.-]+(?:/[\w.*-]+)+/?|[\w-]+/|[\w-]+\.(?:md|py|toml|sql)|justfile")

named = pytest.mark.parametrize("document", EVERYTHING, ids=lambda path: path.name)


def quoted(text):
    """What stands in backticks outside of blocks."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))


def commands(text, tool):
    """Command lines of one tool, from shell blocks and from backticks, without comments."""
    lines = [line for kind, body in BLOCK.findall(text) if kind == "sh" for line in body.splitlines()] + quoted(text)
    parts = [part.strip() for line in lines for part in line.split("#")[0].split("&&")]
    return [part.removeprefix(".venv/bin/").split()[1:] for part in parts if re.match(rf"(\.venv/bin/)?{tool}\s", part)]


def recipes():
    return set(re.findall(r"^([a-z][\w-]*)[^:=\n]*:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE))


def blocks(document, kind):
    return [body for found, body in BLOCK.findall(document.read_text()) if found == kind]


@named
def test_every_file_and_folder_that_a_document_names_is_there(document):
    paths = [text.split(":")[0] for text in quoted(document.read_text()) if PATH.fullmatch(text.split(":")[0])]
    paths += [link for link in re.findall(r"\]\(([^)#]+)", document.read_text()) if "://" not in link]
    missing = [
        path
        for path in paths
        if not path.startswith(MADE_BY_THE_READER)
        and not any((place / path).exists() or list(place.glob(path)) for place in (ROOT, document.parent))
    ]
    assert missing == []


@named
def test_every_recipe_that_a_document_names_is_in_the_justfile(document):
    assert {words[0] for words in commands(document.read_text(), "just")} <= recipes()


@named
def test_every_command_that_a_document_names_exists_with_its_options(document):
    for words in commands(document.read_text(), "panda"):
        given = [word for word in words if re.fullmatch(r"--[a-z-]+", word)]
        names = words[:2] if words[0] in ("db", "strategies") else words[:1]
        shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, words
        assert [option for option in given if option not in shown.output] == [], words


def test_the_readme_is_read_in_one_sitting():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("document", DECISIONS, ids=lambda path: path.name)
def test_a_decision_fits_one_screen_in_the_one_form(document):
    text = document.read_text()
    at = [text.find(part) for part in PARTS]
    assert -1 not in at
    assert at == sorted(at)
    assert text.startswith(f"# {document.name[:4]} ")
    assert len(text.splitlines()) <= 30


def test_decisions_are_numbered_without_a_hole():
    assert [path.name[:4] for path in DECISIONS] == [f"{n:04d}" for n in range(1, len(DECISIONS) + 1)]


def test_the_example_is_the_one_that_the_strategy_guide_shows():
    shown = blocks(ROOT / "docs" / "strategies.md", "python")[0]
    assert shown.partition("\n")[2] == (ROOT / "examples" / "my_momentum.py").read_text()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the guide's files in it and half an hour of prices, as the working directory."""
    for body in blocks(ROOT / "docs" / "strategies.md", "python"):
        path = tmp_path / body.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
    prices = 1500 + np.cumsum(np.random.default_rng(1).integers(-3, 4, 1_800)) * 0.1
    rows = [f"2026-05-06 10:{n // 60:02d}:{n % 60:02d},INFY,{price:.1f}" for n, price in enumerate(prices)]
    (tmp_path / "FILE.csv").write_text("\n".join(["timestamp,tradingsymbol,last_price", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)


def test_the_strategy_guides_backtests_run_and_trade(desk):
    guide = (ROOT / "docs" / "strategies.md").read_text()
    backtests = [words for words in commands(guide, "panda") if words[0] == "backtest"]
    assert len(backtests) == 3
    for words in [*backtests, ["backtest", "ideas/dip.py:Dip", "--data", "FILE"]]:
        ran = CliRunner().invoke(app, ["FILE.csv" if word == "FILE" else word for word in words])
        assert ran.exit_code == 0, (words, ran.output, ran.exception)
        fills = re.search(r"^fills +(\d+)$", ran.stdout, re.MULTILINE)
        assert fills is not None, words
        assert int(fills[1]) > 0, words
        assert "strategy raised" not in ran.output
