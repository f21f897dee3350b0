"""What may be configured: the bounds that keep the engine's arithmetic exact, and what refers to what."""

import msgspec
import pytest

from functions.configuration import validate, validate_account, validate_instrument, validate_strategy
from functions.events import AccountConfig, InstrumentConfig, PaperVenue, RiskLimits, Sizing, StrategyConfig

RELIANCE = InstrumentConfig(738561, "RELIANCE", "NSE", "EQ", "0.10", 1, closing_auction=True)
NIFTY = InstrumentConfig(256265, "NIFTY 50", "NSE", "INDEX", "0", 0)
FUTURE = InstrumentConfig(13238786, "NIFTY26NOVFUT", "NFO", "FUT", "0.10", 65)
PAPER = AccountConfig("paper-1", "paper")
MOMENTUM = StrategyConfig("momentum", "momentum", {"window": 20}, [738561], ["paper-1"])

replace = msgspec.structs.replace


@pytest.mark.parametrize("instrument", [RELIANCE, NIFTY, FUTURE], ids=lambda one: one.tradingsymbol)
def test_a_share_an_index_and_a_future_may_enter(instrument):
    assert validate_instrument(instrument) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"instrument_token": 0}, "instrument_token is from 1 to 4294967295, was 0"),
        ({"instrument_token": 2**32}, "instrument_token is from 1 to 4294967295, was 4294967296"),
        ({"tradingsymbol": ""}, "tradingsymbol is 1 to 64 printable characters, no space at either end, was ''"),
        ({"tick_size": "0"}, "tick_size is more than 0 and at most 1000 rupees, was 0"),
        ({"tick_size": "-0.05"}, "tick_size is more than 0 and at most 1000 rupees, was -0.05"),
        ({"tick_size": "0.00005"}, "tick_size has at most 4 decimals, was 0.00005"),
        ({"tick_size": "a tick"}, "tick_size is a number with at most six decimals, was 'a tick'"),
        ({"tick_size": "1e-2"}, "tick_size is a number with at most six decimals, was '1e-2'"),
        ({"tick_size": 0.05}, "Expected `str`, got `float` - at `$.tick_size`"),
        ({"lot_size": 0}, "lot_size is from 1 to 1000000, was 0"),
        ({"lot_size": True}, "Expected `int`, got `bool` - at `$.lot_size`"),
        ({"exchange": "MCX"}, "Invalid enum value 'MCX' - at `$.exchange`"),
        ({"exchange": "NFO"}, "exchange of kind EQ is NSE or BSE, was NFO"),
        ({"kind": "FUT", "closing_auction": False}, "exchange of kind FUT is NFO or BFO, was NSE"),
        ({"kind": "INDEX"}, "closing_auction is for kind EQ alone, was INDEX"),
    ],
)
def test_an_instrument_that_cannot_be_counted_with_is_refused(change, fault):
    assert validate_instrument(replace(RELIANCE, **change)) == [fault]


@pytest.mark.parametrize(
    "limits",
    [
        RiskLimits(),
        RiskLimits(max_quantity=1, max_position=1, max_order_value="0.000001", max_gross_exposure="0.000001"),
        RiskLimits(
            max_quantity=10_000_000,
            max_position=10_000_000,
            max_order_value="100000000",
            max_gross_exposure="10000000000",
        ),
    ],
)
def test_limits_may_lie_on_their_bounds(limits):
    assert validate_account(AccountConfig("paper-1", "paper", capital="100000000000", limits=limits)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"max_quantity": 10_000_001}, "limits.max_quantity is from 1 to 10000000, was 10000001"),
        ({"max_quantity": 2**63}, "limits.max_quantity is from 1 to 10000000, was 9223372036854775808"),
        ({"max_position": 0}, "limits.max_position is from 1 to 10000000, was 0"),
        (
            {"max_order_value": "100000000.000001"},
            "limits.max_order_value is more than 0 and at most 100000000 rupees, was 100000000.000001",
        ),
        (
            {"max_gross_exposure": "10000000001"},
            "limits.max_gross_exposure is more than 0 and at most 10000000000 rupees, was 10000000001",
        ),
        ({"max_price_deviation_bps": 10_001}, "limits.max_price_deviation_bps is from 0 to 10000, was 10001"),
        ({"margin_bps": -1}, "limits.margin_bps is from 0 to 10000, was -1"),
        ({"max_daily_loss": "lots"}, "limits.max_daily_loss is a number with at most six decimals, was 'lots'"),
        ({"max_open_orders": 10_001}, "limits.max_open_orders is from 1 to 10000, was 10001"),
    ],
)
def test_a_limit_beyond_what_the_engine_can_count_is_refused_with_its_bound(change, fault):
    assert validate_account(replace(PAPER, limits=RiskLimits(**change))) == [fault]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"account": "paper:1"}, "account is [A-Za-z0-9_-]{1,40}, was 'paper:1'"),
        ({"broker": "upstox"}, "Invalid enum value 'upstox' - at `$.broker`"),
        ({"capital": "0"}, "capital is more than 0 and at most 100000000000 rupees, was 0"),
        ({"capital": "100000000000.01"}, "capital is more than 0 and at most 100000000000 rupees, was 100000000000.01"),
        ({"venue": PaperVenue(slippage_bps="0.125")}, "venue.slippage_bps has at most 2 decimals, was 0.125"),
        ({"venue": PaperVenue(slippage_bps="1001")}, "venue.slippage_bps is from 0 to 1000 bps, was 1001"),
        ({"venue": PaperVenue(latency_ms=-1)}, "venue.latency_ms is from 0 to 60000, was -1"),
        ({"shard": 0}, "shard is from 1 to 256, or none, was 0"),
        ({"shard": 257}, "shard is from 1 to 256, or none, was 257"),
    ],
)
def test_an_account_that_cannot_be_counted_with_is_refused(change, fault):
    assert validate_account(replace(PAPER, **change)) == [fault]


def test_an_account_of_real_money_keeps_to_the_rates_of_its_broker():
    limits = RiskLimits(max_orders_per_second=11, max_orders_per_day=5001)
    hasty = AccountConfig("AB1234", "zerodha", limits=limits, enabled=False)
    assert validate_account(hasty) == [
        "limits.max_orders_per_second of a zerodha account is at most 10, was 11",
        "limits.max_orders_per_day of a zerodha account is at most 5000, was 5001",
    ]
    assert validate_account(replace(hasty, broker="paper")) == []


def test_an_account_of_a_broker_that_no_order_gateway_answers_for_may_enter_only_when_it_is_not_enabled():
    real = AccountConfig("AB1234", "zerodha", limits=RiskLimits(max_orders_per_second=10, max_orders_per_day=5000))

    assert validate_account(real) == [
        "no order gateway answers for broker zerodha yet, and trades of a real broker are never made up: the account can only "
        "be of broker paper, or not enabled"
    ]
    assert validate_account(replace(real, enabled=False)) == []


def test_every_fault_is_told_at_once():
    assert len(validate_account(AccountConfig("", "paper", capital="-1", limits=RiskLimits(max_quantity=0)))) == 3


def known(config):
    return validate_strategy(config, {one.instrument_token: one for one in (RELIANCE, NIFTY, FUTURE)}, {"paper-1"})


def test_a_strategy_of_known_instruments_and_accounts_may_enter():
    assert known(MOMENTUM) == []
    assert known(replace(MOMENTUM, accounts=[])) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"strategy": "Momentum"}, "strategy is [a-z0-9_-]{1,40}, was 'Momentum'"),
        ({"strategy": "m" * 41}, f"strategy is [a-z0-9_-]{{1,40}}, was '{'m' * 41}'"),
        (
            {"implementation": " momentum"},
            "implementation is 1 to 200 printable characters, no space at either end, was ' momentum'",
        ),
        ({"instruments": []}, "instruments names at least one, was empty"),
        ({"instruments": [738561, 738561]}, "instruments names 738561 more than once"),
        ({"instruments": [1]}, "instruments names 1, which is not configured"),
        ({"accounts": ["paper-2"]}, "accounts names 'paper-2', which is not configured"),
        ({"accounts": ["paper-1", "paper-1"]}, "accounts names paper-1 more than once"),
        ({"product": "NRML"}, "product NRML is not for RELIANCE, which is kind EQ"),
        ({"product": "CNC", "instruments": [13238786]}, "product CNC is not for NIFTY26NOVFUT, which is kind FUT"),
        ({"product": "BO"}, "Invalid enum value 'BO' - at `$.product`"),
        ({"parameters": {"threshold": float("nan")}}, "parameters.threshold is a finite number, was nan"),
        ({"parameters": {"window": 2**63}}, "parameters.window fits 64 bits, was 9223372036854775808"),
        ({"parameters": {"a b": 1}}, "parameters has names like those of variables, was 'a b'"),
        ({"parameters": {"note": "x" * 1001}}, "parameters.note has at most 1000 characters, had 1001"),
        ({"parameters": {f"p{n}": 1 for n in range(101)}}, "parameters has at most 100 entries, had 101"),
        ({"sizing": Sizing("units", "0")}, "sizing.amount is more than 0 and at most 10000000 times, was 0"),
        (
            {"sizing": Sizing("value", "100000001")},
            "sizing.amount is more than 0 and at most 100000000 rupees, was 100000001",
        ),
        ({"sizing": Sizing("equity", "11")}, "sizing.amount is more than 0 and at most 10 times the equity, was 11"),
    ],
)
def test_a_strategy_that_could_not_run_is_refused(change, fault):
    assert known(replace(MOMENTUM, **change)) == [fault]


def test_intraday_and_carried_positions_are_for_a_future_and_delivery_is_for_a_share():
    assert known(replace(MOMENTUM, product="MIS", instruments=[13238786])) == []
    assert known(replace(MOMENTUM, product="NRML", instruments=[13238786])) == []
    assert known(replace(MOMENTUM, product="CNC")) == []


def test_a_whole_configuration_says_whose_each_fault_is():
    twin = replace(RELIANCE, instrument_token=1)
    faults = validate(
        [RELIANCE, twin],
        [replace(PAPER, capital="0")],
        [MOMENTUM, replace(MOMENTUM, strategy="other", instruments=[2])],
    )
    assert faults == [
        "instruments names NSE:RELIANCE more than once",
        "account paper-1: capital is more than 0 and at most 100000000000 rupees, was 0",
        "strategy other: instruments names 2, which is not configured",
    ]
