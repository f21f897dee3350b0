"""Configuration: which instruments, accounts and strategies may enter, and every reason that keeps one out.

The engine counts in 64-bit micro-rupees and checks no overflow while it trades; the bounds here are what makes that
safe. Each `validate_` answers with lines of text, one a fault; no line means that it may enter.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from functions.assignment import MAX_SHARDS
from functions.events import AccountConfig, InstrumentConfig, PaperVenue, Payload, RiskLimits, Sizing, StrategyConfig
from functions.money import micro, rupees

Faults = list[str]

_RUPEE: Final = 1_000_000  # micro-rupees
MAX_CAPITAL: Final = 100_000_000_000 * _RUPEE
MAX_GROSS_EXPOSURE: Final = 10_000_000_000 * _RUPEE
MAX_ORDER_VALUE: Final = 100_000_000 * _RUPEE
MAX_QUANTITY: Final = 10_000_000  # shares, of an order and of a position
MAX_TICK_SIZE: Final = 1_000 * _RUPEE
MAX_LOT: Final = 1_000_000
MAX_TOKEN: Final = 2**32 - 1
MAX_EQUITY_SHARE: Final = 10 * _RUPEE  # a unit of signal spends at most ten times the equity
MAX_SLIPPAGE_BPS: Final = 1_000 * _RUPEE
MAX_SLIPPAGE_PER_SHARE: Final = 1_000 * _RUPEE
MAX_OPEN_ORDERS: Final = 10_000  # the engine keeps a slot for each
DAY_MS: Final = 86_400_000
MAX_TEXT: Final = 1_000
MAX_PARAMETERS: Final = 100  # with this, and the next two, an event stays below the megabyte that Kafka takes
MAX_INSTRUMENTS: Final = 3_000  # of a strategy
MAX_ACCOUNTS: Final = 1_000  # of a strategy

# What the broker allows an account, over all its programs.
ZERODHA_ORDERS_PER_SECOND: Final = 10
ZERODHA_ORDERS_PER_DAY: Final = 5_000

# Whose orders somebody answers: those of paper its venue, inside the pipeline. A real broker joins with its order gateway.
ANSWERED: Final = ("paper",)
PUT_AWAY: Final = "disable the account in the config store or open one of broker paper; docs/runbook.md, Add a broker"

_ACCOUNT_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_STRATEGY_NAME: Final = re.compile(r"[a-z0-9_-]{1,40}")
_DERIVATIVES: Final = ("FUT", "CE", "PE")


# --- one value --------------------------------------------------------------------------------------------------------


def _mistyped(config: Payload) -> Faults:
    """Structs made in code are not checked by their type; here they are, as if they had come as JSON."""
    try:
        msgspec.convert(msgspec.to_builtins(config), type(config), strict=True)
    except (msgspec.ValidationError, TypeError, OverflowError) as error:
        return [str(error)]
    return []


def _whole(field: str, value: int, least: int, most: int) -> Faults:
    return [] if least <= value <= most else [f"{field} is from {least} to {most}, was {value}"]


def _amount(field: str, text: str, most: int, *, zero: bool, unit: str = "rupees", decimals: int = 6) -> Faults:
    """A decimal text from 0 (or just above) to `most` millionths of the unit, with so many decimals."""
    try:
        value = micro(text)
    except ValueError:
        return [f"{field} is a number with at most six decimals, was {text!r}"]
    if value < 0 or value > most or (value == 0 and not zero):
        return [f"{field} is {'from' if zero else 'more than'} 0 {'to' if zero else 'and at most'} "
                f"{rupees(most).removesuffix('.00')} {unit}, was {text}"]  # fmt: skip
    if value % 10 ** (6 - decimals):
        return [f"{field} has at most {decimals} decimals, was {text}"]
    return []


def _named(field: str, name: str, pattern: re.Pattern[str]) -> Faults:
    return [] if pattern.fullmatch(name) else [f"{field} is {pattern.pattern}, was {name!r}"]


def _short(field: str, text: str, most: int) -> Faults:
    if 0 < len(text) <= most and text.isprintable() and text == text.strip():
        return []
    return [f"{field} is 1 to {most} printable characters, no space at either end, was {text!r}"]


def _few(field: str, count: int, most: int) -> Faults:
    return [] if count <= most else [f"{field} has at most {most} entries, had {count}"]


def _once(field: str, values: Sequence[Any]) -> Faults:
    twice = sorted(str(value) for value, count in Counter(values).items() if count > 1)
    return [f"{field} names {', '.join(twice)} more than once"] if twice else []


# --- instruments ------------------------------------------------------------------------------------------------------


def validate_instrument(config: InstrumentConfig) -> Faults:
    """Every reason why this instrument may not enter; none where it may.

    >>> validate_instrument(InstrumentConfig(256265, "NIFTY 50", "NSE", "INDEX", "0", 0))
    []
    >>> validate_instrument(InstrumentConfig(738561, "RELIANCE", "NSE", "EQ", "0", 0))
    ['tick_size is more than 0 and at most 1000 rupees, was 0', 'lot_size is from 1 to 1000000, was 0']
    """
    mistyped = _mistyped(config)
    if mistyped:
        return mistyped
    index = config.kind == "INDEX"
    derivative = config.kind in _DERIVATIVES
    faults = [
        *_whole("instrument_token", config.instrument_token, 1, MAX_TOKEN),
        *_short("tradingsymbol", config.tradingsymbol, 64),
        *_amount("tick_size", config.tick_size, MAX_TICK_SIZE, zero=index, decimals=4),
        *_whole("lot_size", config.lot_size, 0 if index else 1, MAX_LOT),
    ]
    if derivative != (config.exchange in ("NFO", "BFO")):
        wanted = "NFO or BFO" if derivative else "NSE or BSE"
        faults.append(f"exchange of kind {config.kind} is {wanted}, was {config.exchange}")
    if config.closing_auction and config.kind != "EQ":
        faults.append(f"closing_auction is for kind EQ alone, was {config.kind}")
    return faults


# --- accounts ---------------------------------------------------------------------------------------------------------


def validate_limits(limits: RiskLimits) -> Faults:
    """Every limit outside what the engine can count with."""
    return [
        *_whole("limits.max_quantity", limits.max_quantity, 1, MAX_QUANTITY),
        *_amount("limits.max_order_value", limits.max_order_value, MAX_ORDER_VALUE, zero=False),
        *_whole("limits.max_price_deviation_bps", limits.max_price_deviation_bps, 0, 10_000),
        *_whole("limits.max_price_age_ms", limits.max_price_age_ms, 1, DAY_MS),
        *_whole("limits.max_position", limits.max_position, 1, MAX_QUANTITY),
        *_amount("limits.max_gross_exposure", limits.max_gross_exposure, MAX_GROSS_EXPOSURE, zero=False),
        *_whole("limits.margin_bps", limits.margin_bps, 0, 10_000),
        *_whole("limits.max_orders_per_second", limits.max_orders_per_second, 1, 1_000_000),
        *_whole("limits.max_orders_per_day", limits.max_orders_per_day, 1, 1_000_000_000),
        *_whole("limits.duplicate_window_ms", limits.duplicate_window_ms, 0, DAY_MS),
        *_amount("limits.max_daily_loss", limits.max_daily_loss, MAX_CAPITAL, zero=True),
        *_amount("limits.max_drawdown", limits.max_drawdown, MAX_CAPITAL, zero=True),
        *_whole("limits.max_open_orders", limits.max_open_orders, 1, MAX_OPEN_ORDERS),
    ]


def validate_venue(venue: PaperVenue) -> Faults:
    """Every part of the paper venue that is out of its range."""
    return [
        *_amount("venue.slippage_bps", venue.slippage_bps, MAX_SLIPPAGE_BPS, zero=True, unit="bps", decimals=2),
        *_amount("venue.slippage_per_share", venue.slippage_per_share, MAX_SLIPPAGE_PER_SHARE, zero=True),
        *_whole("venue.slippage_spread_percent", venue.slippage_spread_percent, 0, 1_000),
        *_whole("venue.latency_ms", venue.latency_ms, 0, 60_000),
    ]


def unanswered(config: AccountConfig) -> Faults:
    """Why nobody may trade for this account, where its broker has no order gateway: its trades would be made up.

    >>> unanswered(AccountConfig("paper-1", "paper")), unanswered(AccountConfig("AB1234", "zerodha", enabled=False))
    ([], [])
    """
    if config.broker in ANSWERED or not config.enabled:
        return []
    return [
        f"no order gateway answers for broker {config.broker} yet, and trades of a real broker are never made up: the account "
        f"can only be of broker {' or '.join(ANSWERED)}, or not enabled"
    ]


def validate_account(config: AccountConfig) -> Faults:
    """Every reason why this account may not enter; none where it may.

    >>> validate_account(AccountConfig("paper-1", "paper"))
    []
    >>> validate_account(AccountConfig("paper-1", "paper", capital="0"))
    ['capital is more than 0 and at most 100000000000 rupees, was 0']
    """
    mistyped = _mistyped(config)
    if mistyped:
        return mistyped
    faults = [
        *_named("account", config.account, _ACCOUNT_NAME),
        *_amount("capital", config.capital, MAX_CAPITAL, zero=False),
        *validate_limits(config.limits),
        *validate_venue(config.venue),
        *unanswered(config),
    ]
    if config.shard is not None and not 1 <= config.shard <= MAX_SHARDS:
        faults.append(f"shard is from 1 to {MAX_SHARDS}, or none, was {config.shard}")
    if config.broker == "zerodha":
        limits = config.limits
        for field, value, most in (
            ("limits.max_orders_per_second", limits.max_orders_per_second, ZERODHA_ORDERS_PER_SECOND),
            ("limits.max_orders_per_day", limits.max_orders_per_day, ZERODHA_ORDERS_PER_DAY),
        ):
            if value > most:
                faults.append(f"{field} of a zerodha account is at most {most}, was {value}")
    return faults


# --- strategies -------------------------------------------------------------------------------------------------------


def validate_sizing(sizing: Sizing) -> Faults:
    """A method with an amount that is out of its range."""
    most, unit = {
        "units": (MAX_QUANTITY * _RUPEE, "times"),
        "value": (MAX_ORDER_VALUE, "rupees"),
        "equity": (MAX_EQUITY_SHARE, "times the equity"),
    }[sizing.method]
    return _amount("sizing.amount", sizing.amount, most, zero=False, unit=unit)


def _parameters(parameters: Mapping[str, int | float | str | bool]) -> Faults:
    """Names and values that survive JSON and fit the engine; what they mean only the strategy knows."""
    faults = _few("parameters", len(parameters), MAX_PARAMETERS)
    for name, value in parameters.items():
        if not name.isidentifier() or len(name) > 100:
            faults.append(f"parameters has names like those of variables, was {name!r}")
        elif isinstance(value, float) and not math.isfinite(value):
            faults.append(f"parameters.{name} is a finite number, was {value}")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            faults.append(f"parameters.{name} fits 64 bits, was {value}")
        elif isinstance(value, str) and len(value) > MAX_TEXT:
            faults.append(f"parameters.{name} has at most {MAX_TEXT} characters, had {len(value)}")
    return faults


def _product_fits(config: StrategyConfig, instruments: Iterable[InstrumentConfig]) -> Faults:
    """Delivery is for shares, carried positions (NRML) for derivatives; an index is observed and never traded."""
    wrong = {"CNC": _DERIVATIVES, "NRML": ("EQ",), "MIS": ()}[config.product]
    return [
        f"product {config.product} is not for {one.tradingsymbol}, which is kind {one.kind}"
        for one in instruments
        if one.kind in wrong
    ]


def validate_strategy(
    config: StrategyConfig,
    instruments: Mapping[int, InstrumentConfig] | None = None,
    accounts: Collection[str] | None = None,
) -> Faults:
    """Every reason why this strategy may not enter; none where it may.

    `instruments` by token and `accounts` by name are those that it may refer to; without them that is not looked at.
    Its parameters are looked at only as far as they must survive JSON: what they mean, the strategy itself knows.
    """
    mistyped = _mistyped(config)
    if mistyped:
        return mistyped
    faults = [
        *_named("strategy", config.strategy, _STRATEGY_NAME),
        *_short("implementation", config.implementation, 200),
        *_parameters(config.parameters),
        *_few("instruments", len(config.instruments), MAX_INSTRUMENTS),
        *_few("accounts", len(config.accounts), MAX_ACCOUNTS),
        *_once("instruments", config.instruments),
        *_once("accounts", config.accounts),
        *validate_sizing(config.sizing),
    ]
    if not config.instruments:
        faults.append("instruments names at least one, was empty")
    if accounts is not None:
        faults += [
            f"accounts names {name!r}, which is not configured" for name in config.accounts if name not in accounts
        ]
    if instruments is not None:
        unknown = [token for token in config.instruments if token not in instruments]
        faults += [f"instruments names {token}, which is not configured" for token in unknown]
        faults += _product_fits(config, [instruments[token] for token in config.instruments if token in instruments])
    return faults


# --- all of it --------------------------------------------------------------------------------------------------------


def validate(
    instruments: Sequence[InstrumentConfig], accounts: Sequence[AccountConfig], strategies: Sequence[StrategyConfig]
) -> Faults:
    """Every reason why this whole configuration may not enter, each line beginning with whose it is."""
    by_token = {one.instrument_token: one for one in instruments}
    names = {one.account for one in accounts}
    faults = [
        *_once("instruments", [one.instrument_token for one in instruments]),
        *_once("instruments", [f"{one.exchange}:{one.tradingsymbol}" for one in instruments]),
        *_once("accounts", [one.account for one in accounts]),
        *_once("strategies", [one.strategy for one in strategies]),
    ]
    for one in instruments:
        faults += [f"instrument {one.instrument_token}: {fault}" for fault in validate_instrument(one)]
    for one in accounts:
        faults += [f"account {one.account}: {fault}" for fault in validate_account(one)]
    for one in strategies:
        faults += [f"strategy {one.strategy}: {fault}" for fault in validate_strategy(one, by_token, names)]
    return faults
