"""The files behind calendar and charges: whose are in force, and what is said when the calendar ends."""

import datetime as dt
from pathlib import Path

import pytest

from cli import flows
from connectors import market_tables
from connectors.errors import ConfigError
from connectors.market_tables import built_in, in_force, refuse_ended, tables, warn_of_end
from connectors.settings import Settings
from functions.assignment import Seat

YEAR = '[2027.holidays]\n01-26 = "Republic Day"\n'
RATE = '[[rates]]\nitem = "stt_sell"\nfrom = 2027-04-01\nfutures = "0.06"\n'


def settings(**more) -> Settings:
    return Settings(_env_file=None, **more)


@pytest.fixture
def year(tmp_path: Path) -> Path:
    path = tmp_path / "2027.toml"
    path.write_text(YEAR)
    return path


@pytest.fixture(autouse=True)
def _no_calendar_but_the_projects(monkeypatch):
    monkeypatch.delenv("PANDA_CALENDAR")


def test_without_files_the_tables_are_those_of_the_project():
    assert tables(settings()) is built_in()
    assert built_in().calendar.last_date == dt.date(2026, 12, 31)


def test_a_file_is_named_by_a_setting_relative_to_where_the_process_runs(year, monkeypatch):
    monkeypatch.chdir(year.parent)
    monkeypatch.setenv("PANDA_CALENDAR", "2027.toml")

    assert in_force().calendar.last_date == dt.date(2027, 12, 31)
    assert settings().calendar == str(year)


def test_what_is_named_in_an_env_file_counts_too(year, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PANDA_ENV_FILE", raising=False)
    (tmp_path / ".env").write_text(f"PANDA_CALENDAR={year}\n")

    assert in_force().calendar.last_date == dt.date(2027, 12, 31)


def test_other_files_have_another_fingerprint(year, tmp_path):
    rates = tmp_path / "rates.toml"
    rates.write_text(RATE)
    other = tmp_path / "other.toml"
    other.write_text(YEAR + "# another\n")
    told = [
        tables(settings(**given)).fingerprint
        for given in (
            {}, {"calendar": str(year)}, {"calendar": str(other)}, {"charges": str(rates)},
            {"calendar": str(year), "charges": str(rates)}, {"charges_as_of": "2026-04-01"}, {"charges_as_of": "2026-04-02"},
        )
    ]  # fmt: skip

    assert len(set(told)) == len(told)


def test_a_file_with_faults_is_refused_with_all_of_them(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text(YEAR + '02-30 = "x"\n05-01 = "y"\n')

    with pytest.raises(ConfigError, match="cannot be used as calendar") as refused:
        tables(settings(calendar=str(bad)))
    assert "line 3" in str(refused.value)
    assert "line 4" in str(refused.value)
    assert "panda calendar check" in refused.value.remedy


def test_a_file_that_is_not_there_or_far_too_large_is_told_in_words(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="No such file"):
        tables(settings(calendar=str(tmp_path / "gone")))
    with pytest.raises(ConfigError, match="Is a directory"):
        tables(settings(charges=str(tmp_path)))
    monkeypatch.setattr(market_tables, "MOST_BYTES", 10)
    large = tmp_path / "large"
    large.write_text("#" * 11)
    with pytest.raises(ConfigError, match="more than 10 bytes"):
        tables(settings(calendar=str(large)))


def test_sixty_one_days_before_its_end_the_calendar_says_nothing(capsys):
    warn_of_end(built_in().calendar, dt.date(2026, 10, 31))

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("2026-11-01", "ends on 2026-12-31 (in 60 days)"),
        ("2026-12-30", "(tomorrow)"),
        ("2026-12-31", "(today)"),
        ("2027-01-01", "(it is over)"),
    ],
)
def test_from_sixty_days_before_its_end_the_calendar_says_what_to_do_once_a_start(day, words, capsys):
    warn_of_end(built_in().calendar, dt.date.fromisoformat(day))

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert "PANDA_CALENDAR" in said


def test_after_its_end_a_live_pipeline_is_refused_until_a_file_adds_the_year(year):
    refuse_ended(built_in().calendar, dt.date(2026, 12, 31))
    with pytest.raises(ConfigError, match="the trading calendar ended on 2026-12-31") as refused:
        refuse_ended(built_in().calendar, dt.date(2027, 1, 1))
    assert refused.value.exit_code == 2
    refuse_ended(tables(settings(calendar=str(year))).calendar, dt.date(2027, 1, 1))


def test_a_pipeline_on_a_real_log_does_not_start_after_the_end_and_a_demos_may(monkeypatch, capsys):
    monkeypatch.setattr(market_tables, "today", lambda: dt.date(2027, 1, 1))
    monkeypatch.setattr("connectors.lease.hold", lambda *_: pytest.fail("it went on"))
    live = settings(kafka={"bootstrap": "127.0.0.1:1"})

    with pytest.raises(ConfigError, match="ended on 2026-12-31"):
        flows._pipeline(live, "paper", Seat())
    assert "it is over" in capsys.readouterr().err
    with pytest.raises(pytest.fail.Exception, match="it went on"):
        flows._pipeline(settings(kafka={"bootstrap": "127.0.0.1:1", "embedded": True}), "paper", Seat())
