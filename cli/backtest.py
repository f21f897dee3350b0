"""`panda backtest`."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from cli import BEGAN
from cli.commands import as_line
from cli.summary import lines, summary, width_of_output
from connectors.ending import interruptible
from connectors.errors import ConfigError, DataError, PipelineError
from connectors.market_tables import EXTEND, in_force, warn_of_end
from connectors.output import kept_for_the_result
from connectors.recorded.options import AS_THEY_SAY, ReadingOptions
from connectors.recorded.reading import Recording, read
from dataflows import backtest
from dataflows.hosts import LIMIT_S, BacktestHost
from functions.configuration import validate_account
from functions.costs import VENUES, Unpriced
from functions.events import AccountConfig, InstrumentConfig, PaperVenue, RiskLimits, StrategyConfig
from functions.instruments import segments, venue
from functions.limits import LOOSEST, with_limits
from functions.market_tables import MarketTables
from strategies.protocol import Parameter, StrategyError, Value
from strategies.registry import load, parameters_of

ACCOUNT: Final = "backtest"


@dataclass(frozen=True)
class BacktestOptions:
    """What the command line asks for."""

    strategy: str
    data: tuple[Path, ...]
    parameters: tuple[str, ...] = ()
    instruments: str | None = None
    slippage_bps: str = "0"
    charges: bool = True
    max_position: int | None = None
    limits: tuple[str, ...] = ()  # name=value
    no_limits: bool = False  # but for those named
    capital: str = "1000000"
    reading: ReadingOptions = AS_THEY_SAY
    charges_as_of: str = ""  # a day whose charges hold for all days
    strategy_limit_s: float = LIMIT_S


def _value(name: str, text: str, parameter: Parameter | None) -> Value:
    """A parameter's text in its type; an unknown one is refused later, with the list of the known."""
    wanted = type(parameter.default) if parameter else str
    try:
        if wanted is bool:
            return {"true": True, "false": False}[text.lower()]
        return wanted(text)
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f"parameter {name} takes {wanted.__name__}, was {text!r}", remedy=f"--param {name}=…"
        ) from error


def _parameters(options: BacktestOptions) -> dict[str, Value]:
    specification = parameters_of(load(options.strategy))
    given: dict[str, Value] = {}
    for pair in options.parameters:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--param takes name=value, was {pair!r}", remedy="e.g. --param window=30")
        given[name] = _value(name, text, specification.get(name))
    return given


def _limits(options: BacktestOptions) -> RiskLimits:
    """The risk limits of the account; their bounds are looked at with the rest of it. Raises: `ConfigError`."""
    given: dict[str, str] = {}
    if options.max_position is not None:
        given["max_position"] = str(options.max_position)
    for pair in options.limits:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ConfigError(
                f"--limit takes NAME=VALUE, was {pair!r}", remedy="e.g. --limit max_orders_per_day=100000"
            )
        if name in given:
            by = " (--max-position is the same)" if options.max_position is not None and name == "max_position" else ""
            raise ConfigError(f"--limit {name} is given twice{by}", remedy="give it once")
        given[name] = text
    try:
        return with_limits(LOOSEST if options.no_limits else RiskLimits(), given)
    except ValueError as error:
        raise ConfigError(str(error), remedy="--limit NAME=VALUE; docs/backtest.md lists them") from error


def _chosen(recording: Recording, wanted: str | None) -> list[InstrumentConfig]:
    if wanted is None:
        return recording.instruments
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if not names:
        raise ConfigError(
            f"--instruments names no instrument, was {wanted!r}", remedy="leave it out for all, or e.g. --instruments TCS,SBIN"
        )  # fmt: skip
    chosen = [i for i in recording.instruments if i.tradingsymbol in names or str(i.instrument_token) in names]
    missing = set(names) - {i.tradingsymbol for i in chosen} - {str(i.instrument_token) for i in chosen}
    if missing:
        known = ", ".join(i.tradingsymbol for i in recording.instruments)
        raise ConfigError(f"no instrument {', '.join(sorted(missing))} in the data", remedy=f"there is {known}")
    return chosen


def _refuse_uncovered(
    recording: Recording, tables: MarketTables, instruments: list[InstrumentConfig], charges: bool
) -> None:
    """A day that the calendar or the charges do not know is refused, not guessed."""
    dates = backtest.dates(recording.ticks)
    if dates is None:
        return
    calendar, tariff = tables.calendar, tables.tariff
    for day in dates:
        if not calendar.covers(day):
            known = f"which knows {calendar.first_date} to {calendar.last_date}"
            raise DataError(f"{day} is outside the trading calendar, {known}", remedy=EXTEND)
    if not charges:
        return
    remedy = "--charges-as-of DATE takes those of another day, --no-charges none, PANDA_CHARGES names a file of yours"
    for config in instruments:
        for segment in segments(config.kind):
            try:
                tariff.refuse_unpriced(segment, VENUES[venue(config.exchange)], *dates)
            except Unpriced as unpriced:
                raise DataError(str(unpriced), remedy=remedy) from unpriced


def execute(options: BacktestOptions) -> tuple[backtest.Outcome, dict[str, Any]]:
    """Reads the data and runs; returns what was done and its summary. Raises: `ConfigError`, `DataError`."""
    try:
        parameters = _parameters(options)
        tables = in_force(charges_as_of=options.charges_as_of)
        warn_of_end(tables.calendar)
        account = AccountConfig(
            ACCOUNT, "paper", options.capital, _limits(options),
            PaperVenue(slippage_bps=options.slippage_bps, charges=options.charges),
        )  # fmt: skip
        faults = validate_account(account)
        if faults:
            raise ConfigError("; ".join(faults), remedy="correct the option")
        began = time.perf_counter()
        recording = read(list(options.data), options=options.reading, calendar=tables.calendar)
        reading_s = time.perf_counter() - began
        chosen = _chosen(recording, options.instruments)
        tokens = [i.instrument_token for i in chosen]
        name = options.strategy.rpartition(":")[2].lower()
        strategy = StrategyConfig(name, options.strategy, parameters, tokens, [ACCOUNT])
        _refuse_uncovered(recording, tables, [i for i in chosen if i.kind != "INDEX"], options.charges)
        with BacktestHost(options.strategy_limit_s) as host:
            outcome = backtest.run(
                recording.ticks, recording.instruments, account, [strategy], levels=recording.depth,
                ranges=recording.ranges, tables=tables, host=host,
            )  # fmt: skip
        whole_s = time.perf_counter() - BEGAN
        return outcome, summary(outcome, recording.remarks, reading_s=reading_s, whole_s=whole_s)
    except StrategyError as error:
        raise ConfigError(str(error), remedy="panda strategies list") from error


def run_backtest(options: BacktestOptions, *, as_json: bool) -> None:
    with interruptible(), kept_for_the_result():
        outcome, made = execute(options)
    if options.charges_as_of:
        made["charges_as_of"] = options.charges_as_of
    if as_json:
        as_line(made)
    else:
        for line in lines(made, width_of_output()):
            typer.echo(line)
    _hint(outcome)


def _hint(outcome: backtest.Outcome) -> None:
    """What a reader of the summary should know. Raises: `PipelineError` where the strategy was suspended."""
    if outcome.dates is not None and (assumed := outcome.shard.tables.tariff.assumed(*outcome.dates)):
        items = sorted({f"{rate.item} of {rate.segment} on {rate.venue}" for rate in assumed})
        typer.echo(f"charges: {', '.join(items)} of some of these days are assumed, see panda charges show", err=True)
    if outcome.refusals.get("lot_multiple") and not len(outcome.fills):
        lots = sorted({config.lot_size for config in outcome.shard.instrument_configs})
        typer.echo(
            f"nothing traded: quantities must be multiples of the lot ({', '.join(map(str, lots))} here), "
            "try --param quantity=LOT if the strategy has it. Without a list of instruments beside the data, the lot of a "
            "derivative is the largest number that divides all its recorded quantities", err=True,
        )  # fmt: skip
    if not outcome.failures:
        return
    first = outcome.failures[0]
    lost = f"{len(outcome.failures)} ticks, the first" if len(outcome.failures) > 1 else "one:"
    raised = ": ".join(filter(None, (first.error, first.message)))
    what = f"strategy {first.strategy} lost {lost} {outcome.lost_first}, with {raised}"
    if outcome.failures[-1].suspended:
        raise PipelineError(
            f"{what}; it was then suspended", remedy="the figures above end there: correct the strategy"
        )
    typer.echo(what, err=True)
