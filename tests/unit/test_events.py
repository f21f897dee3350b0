"""Events: one envelope, ids that a replay cannot change, exact money, and refusal of what is no event."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.codec import decode, encode, envelope
from functions.events import (
    PAYLOADS,
    TYPE_NAMES,
    MarketClock,
    MarketTick,
    PositionPnl,
    StrategyPnl,
    SystemAlert,
)
from functions.ids import event_id, tick_id
from functions.money import MONEY_PATTERN, micro, rupees
from functions.timestamps import timestamp
from tests.history import filled, snapshot

TEN = 1_778_041_800_123_456_789
ALERT = SystemAlert("warning", "late", "the feed is late", "feed")


def alert(**more):
    return envelope(ALERT, id="a1", time_ns=TEN, source="feed", broker="shared", **more)


def replaced(event, **changes):
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, **changes))


def test_an_event_survives_its_json():
    event = alert(correlation="c", cause="b")

    assert decode(encode(event)) == event


def test_the_json_is_as_written_down():
    assert encode(alert()) == (
        b'{"id":"a1","type":"system_alert","timestamp":"2026-05-06T04:30:00.123456Z","correlation_id":"a1",'
        b'"causation_id":null,"source":"feed","version":1,"broker":"shared","data":{"severity":"warning","code":"late",'
        b'"message":"the feed is late","subject":"feed"}}'
    )


def test_the_first_cause_of_a_chain_correlates_with_itself():
    assert (alert().correlation_id, alert().causation_id) == ("a1", None)
    assert alert(correlation="root").correlation_id == "root"


@pytest.mark.parametrize("name", PAYLOADS)
def test_every_payload_type_has_one_name_and_explains_itself(name):
    payload = PAYLOADS[name]

    assert TYPE_NAMES[payload] == name
    assert payload.__doc__


def test_a_payload_cannot_be_changed():
    with pytest.raises(AttributeError):
        ALERT.code = "early"  # pyrefly: ignore[read-only]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"", "Input data was truncated"),
        (b"{", "Input data was truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (
            encode(alert()).replace(b"system_alert", b"system_alarm"),
            "unknown event type 'system_alarm' - at `\\$.type`",
        ),
        (
            encode(alert()).replace(b'"version":1', b'"version":2'),
            "version 2 of system_alert was written by a newer version of this program, which reads up to 1",
        ),
        (encode(alert()).replace(b'"severity":"warning"', b'"severity":"mild"'), "Invalid enum value 'mild'"),
        (encode(alert()).replace(b'"code":"late",', b""), "missing required field `code`"),
        (encode(alert()).replace(b'"id":"a1",', b""), "missing required field `id`"),
    ],
)
def test_what_is_no_known_event_is_refused_with_the_place_of_the_fault(broken, message):
    with pytest.raises(msgspec.DecodeError, match=message):
        decode(broken)


def test_fields_that_a_newer_writer_added_are_passed_over():
    newer = encode(alert()).replace(b'"code"', b'"mood":[1,{}],"code"').replace(b'"source"', b'"trace":"t","source"')

    assert decode(newer) == alert()


# --- ids --------------------------------------------------------------------------------------------------------------


def test_an_id_is_a_uuid_of_version_7_that_begins_with_its_time():
    id = UUID(event_id(TEN, "cause", "risk:a"))

    assert (id.version, id.variant) == (7, "specified in RFC 4122")
    assert id.int >> 80 == TEN // 1_000_000


def test_the_same_cause_and_step_give_the_same_id_and_any_other_another():
    first = event_id(TEN, "cause", "risk:a")

    assert event_id(TEN, "cause", "risk:a") == first
    assert (
        len(
            {
                first,
                event_id(TEN, "cause", "risk:b"),
                event_id(TEN, "other", "risk:a"),
                event_id(TEN + 10**6, "cause", "risk:a"),
            }
        )
        == 4
    )


def test_a_ticks_id_comes_from_what_it_is():
    ids = {tick_id(token, time, n) for token in (1, 2) for time in (TEN, TEN + 1_000) for n in (0, 1)}

    assert len(ids) == 8
    assert tick_id(1, TEN, 0) == event_id(TEN, f"1:{TEN}", "tick:0")


def test_ids_sort_by_time():
    ids = [event_id(TEN + n * 10**6, "cause", str(n)) for n in range(50)]

    assert ids == sorted(ids)


# --- times ------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 4_102_444_800 * 10**9 - 1))
def test_a_timestamp_is_utc_to_the_microsecond(time_ns):
    said = datetime.fromisoformat(timestamp(time_ns))

    assert said.tzinfo == UTC
    assert int(said.timestamp()) == time_ns // 10**9
    assert said.microsecond == time_ns % 10**9 // 1_000


def test_microseconds_are_cut_and_not_rounded_and_always_six():
    assert timestamp(999) == "1970-01-01T00:00:00.000000Z"
    assert timestamp(10**9 - 1) == "1970-01-01T00:00:00.999999Z"
    assert timestamp(10**9) == "1970-01-01T00:00:01.000000Z"


# --- money ------------------------------------------------------------------------------------------------------------


@given(st.integers(-(2**63), 2**63 - 1))
def test_money_survives_its_text(amount):
    assert micro(rupees(amount)) == amount


@given(st.integers(-(10**18), 10**18))
def test_money_text_is_the_exact_decimal(amount):
    assert Decimal(rupees(amount)) == Decimal(amount) / 1_000_000


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("1", 10**6),
        ("1.5", 1_500_000),
        ("01.50", 1_500_000),
        ("-0.000001", -1),
        ("0.123456", 123_456),
        ("1.", 10**6),
    ],
)
def test_money_is_read_exactly(text, amount):
    assert micro(text) == amount


@pytest.mark.parametrize(
    "text", ["", "-", ".5", "1.1234567", "1e3", "1,000", " 1", "+1", "--1", "1.2.3", "∞", "nan", "1.-5"]
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match="not an amount in rupees with at most six decimals"):
        micro(text)


@pytest.mark.parametrize(
    ("event", "place"),
    [
        (replaced(filled(), price="1e9"), "$.price"),
        (filled(charges=""), "$.charges"),
        (filled(realised="1.0000001"), "$.realised_pnl"),
        (filled(charges="1.50\n"), "$.charges"),
        (filled(charges="1000000000000.00"), "$.charges"),
        (filled(charges="१.50"), "$.charges"),
        (snapshot(1.0, cash="all of it"), "$.cash"),
        (replaced(snapshot(1.0), strategies=[StrategyPnl("s", "1,00", *["0.00"] * 3, [])]), "$.strategies[0].realised"),
        (
            replaced(
                snapshot(1.0),
                strategies=[StrategyPnl("s", *["0.00"] * 4, [PositionPnl(1, 5, "1.00", "+1.00", "0.00")])],
            ),
            "$.strategies[0].positions[0].last_price",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_event_whose_amounts_are_none_is_refused_with_the_place_of_the_fault(event, place):
    with pytest.raises(msgspec.ValidationError) as refused:
        decode(encode(event))

    assert str(refused.value).endswith(f"matching regex {MONEY_PATTERN!r} - at `{place}`")


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_money_of_less_than_a_trillion_rupees_is_read_as_it_was_written(amount):
    event = decode(encode(filled(charges=rupees(amount))))

    assert micro(event.data.charges) == amount


@given(st.from_regex(MONEY_PATTERN))
def test_every_text_that_an_event_may_carry_as_money_is_an_amount(text):
    assert abs(micro(text)) < 10**18


@pytest.mark.parametrize("amount", [1, 10, 100, 10_000, 10_001, 1_000_000, -1_010_000])
def test_paise_are_always_shown_and_nothing_after_them_without_need(amount):
    fraction = rupees(amount).partition(".")[2]

    assert len(fraction) >= 2
    assert len(fraction) == 2 or not fraction.endswith("0")


# --- defaults ---------------------------------------------------------------------------------------------------------


def test_a_tick_that_nobody_numbered_is_unordered():
    assert MarketTick(1, 100.0, 5).sequence == MarketClock(5).sequence == -1
