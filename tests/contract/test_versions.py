"""Versions of events: what any version wrote, every reader reads; what a later one wrote, nobody guesses."""

import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import jsonschema
import msgspec
import pytest

from connectors.lake.rows import rows_of
from dataflows import cache
from deploy import contracts
from functions.codec import NewerVersion, current, decode, encode, envelope
from functions.events import PAYLOADS, SystemAlert
from functions.versions import FORMER, payloads_of, version_of
from tests.readers import READERS, VIEW_OF, by_the_lake, by_the_tape, record_of

EVENTS = Path(__file__).resolve().parents[1] / "events"
RECORDED = {path.name.removesuffix(".json"): path.read_bytes() for path in sorted(EVENTS.glob("*.json"))}
# What was recorded stays as it was. A raised version adds lines here.
KEPT = {
    "account_configured.v1": "77c0ceafa1f3c9a1",
    "command.v1": "ebf01b513a1ccd5e",
    "instrument_configured.v1": "541f2962c9161754",
    "market_clock.v1": "d665f87fb5e4b7d2",
    "market_tick.v1": "0410e13328c78191",
    "order_ack.v1": "9898a0a2f723ba04",
    "order_failed.v1": "5625c276c0e64a98",
    "order_filled.v1": "0e79d4191cf924c2",
    "order_placed.v1": "4f76755a53a90ec5",
    "order_submitted.v1": "decf81d3b81a3fa8",
    "pnl_snapshot.v1": "d02e343f124dca32",
    "quality_report.v1": "d0eb2a8161d5650b",
    "signal_rejected.v1": "3fad3c720d9ba0c2",
    "signal_validated.v1": "79823ded875a2ad4",
    "strategy_configured.v1": "0597336a27a03977",
    "system_alert.v1": "1d2633739be16b4a",
    "trading_signal.v1": "bbd1b81076691082",
}


def of(name):
    kind, _, version = name.partition(".v")
    return kind, int(version)


def test_there_is_one_record_of_every_type_and_version_kept_as_it_was_written():
    assert {of(name) for name in RECORDED} == {
        (kind, version) for kind in PAYLOADS for version in range(1, version_of(kind) + 1)
    }
    assert {name: sha256(raw).hexdigest()[:16] for name, raw in RECORDED.items()} == KEPT


@pytest.mark.parametrize("name", RECORDED)
def test_a_record_is_what_the_committed_schema_of_its_version_says(name):
    schema = json.loads((contracts.SCHEMAS / f"{name}.json").read_text())
    event = json.loads(RECORDED[name])

    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(event)] == []
    assert (event["type"], event["version"]) == of(name)


@pytest.mark.parametrize("name", RECORDED)
def test_every_reader_of_a_type_reads_every_version_of_it(name):
    kind, _ = of(name)
    raw = RECORDED[name]
    written, today = record_of(kind, raw), record_of(kind, current(raw))

    for reader, kinds in READERS.items():
        if kind in kinds:
            read = reader(written)
            assert read, reader.__name__
            assert today == written or read == reader(today), reader.__name__


@pytest.mark.parametrize("version", range(1, max(map(version_of, PAYLOADS)) + 1))
def test_the_lake_and_its_views_read_every_version_of_every_type(version):
    written = {kind: RECORDED[f"{kind}.v{min(version, version_of(kind))}"] for kind in PAYLOADS}
    read, today = (
        by_the_lake({kind: record_of(kind, brought(raw)) for kind, raw in written.items()})
        for brought in (bytes, current)
    )

    assert read == today
    assert [kind for kind in VIEW_OF if not read[kind][0]] == []
    assert all(msgspec.to_builtins(decode(written[kind]).data) == read[kind][1] for kind in PAYLOADS)


def test_every_type_has_more_readers_than_the_codec():
    found = [kinds for reader, kinds in READERS.items() if reader.__name__ != "by_codec"]

    assert {kind for kinds in found for kind in kinds} == set(PAYLOADS)


def test_the_tape_reads_what_the_feed_writes_now():
    assert by_the_tape(record_of("market_tick", RECORDED[f"market_tick.v{version_of('market_tick')}"]))


def test_an_upgrade_makes_what_the_next_version_is():
    for kind, version, former in [(k, n, each) for k, several in FORMER.items() for n, each in enumerate(several, 1)]:
        data = msgspec.json.decode(json.dumps(json.loads(RECORDED[f"{kind}.v{version}"])["data"]), type=former.payload)
        made = former.upgrade(data)
        assert type(made) is payloads_of(kind)[version]
        assert msgspec.convert(msgspec.to_builtins(made), type(made), strict=True) == made


def test_a_type_with_a_new_version_is_read_in_the_old_one_by_all_and_written_in_the_new_one():
    """Its own process, in which every type has been raised before anything else was imported; without the compiler, whose
    machine code stands for the sources on disk."""
    planted = [sys.executable, "-m", "tests.contract.planted_versions"]
    ran = subprocess.run(planted, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == f"{len(PAYLOADS)} types, {sum(map(len, READERS.values()))} readings"


# --- later versions -----------------------------------------------------------------------------------------------------


def later(kind):
    newest = version_of(kind)
    raw = RECORDED[f"{kind}.v{newest}"]
    return raw.replace(b'"version":%d' % newest, b'"version":%d' % (newest + 1))


@pytest.mark.parametrize("kind", PAYLOADS)
def test_what_a_later_version_wrote_is_read_by_nobody_and_the_reason_says_so(kind):
    said = f"version {version_of(kind) + 1} of {kind} was written by a newer version of this program"

    with pytest.raises(NewerVersion, match=f"{said}, which reads up to {version_of(kind)} - at "):
        decode(later(kind))
    for reader, kinds in READERS.items():
        if kind in kinds and reader.__name__ not in ("by_connect", "by_a_start", "by_the_paper_venue"):
            with pytest.raises((ValueError, IndexError), match=said):
                reader(record_of(kind, later(kind)))


def test_the_dead_letter_of_a_later_version_has_a_cause_of_its_own():
    [letter] = cache.Decoder("paper")([record_of("system_alert", later("system_alert"))]).dead

    headers = dict(letter.headers)
    assert headers["error"] == b"NewerVersion"
    assert re.match(rb"version \d+ of system_alert was written by a newer version of this program", headers["message"])
    assert letter.value == later("system_alert")


def test_the_lake_keeps_a_later_tick_whole_and_takes_it_for_none():
    [row] = rows_of([record_of("market_tick", later("market_tick"))])

    assert row.time is None
    assert later("market_tick") in row.values


@pytest.mark.parametrize("version", [0, -1])
def test_no_version_comes_before_the_first(version):
    raw = encode(envelope(SystemAlert("info", "c", "m", "s"), id="a", time_ns=0, source="s", broker="b"))

    with pytest.raises(msgspec.ValidationError, match=f"version {version} of system_alert, the first is 1"):
        decode(raw.replace(b'"version":1', b'"version":%d' % version))


# --- the documents of several versions ----------------------------------------------------------------------------------


def test_a_schema_file_of_no_known_version_is_told(tmp_path, monkeypatch):
    (tmp_path / "order_filled.v9.json").write_text("{}")
    monkeypatch.setattr(contracts, "SCHEMAS", tmp_path)
    monkeypatch.setattr(contracts, "ROOT", tmp_path)

    assert contracts.differences()[0] == (
        "order_filled.v9.json is of no version that functions/versions.py knows: what was written once stays readable"
    )
