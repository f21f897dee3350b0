"""The commands. Exit codes: 0 ok, 1 failed, 2 wrong use or configuration, 3 a dependency is down, 4 unsafe to continue.

130: interrupted before it was done.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.calendar import calendar, charges
from cli.dlq import dlq
from cli.recorded import path_of, reads_recordings
from cli.services import services

app = typer.Typer(
    name="panda", help="Algorithmic trading for Indian markets: pure functions on a log.", no_args_is_help=True,
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
database = typer.Typer(help="The config store.", no_args_is_help=True)
deploy = typer.Typer(
    help="Makes the platform what is declared: schema, topics, users, rights and flows.", no_args_is_help=True
)
strategies = typer.Typer(help="Strategies: what there is, what they take.", no_args_is_help=True)
app.add_typer(database, name="db")
app.add_typer(deploy, name="deploy")
app.add_typer(strategies, name="strategies")
app.add_typer(services, name="services")
app.add_typer(dlq, name="dlq")
app.add_typer(calendar, name="calendar")
app.add_typer(charges, name="charges")

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON, last on standard output.")]
AllowDataLoss = Annotated[
    bool, typer.Option("--allow-data-loss", help="Make changes too by which records, or their order, are lost.")
]
Flow = Literal["pipeline", "cache", "archive", "config", "connectors", "api"]


@app.command()
@reads_recordings
def demo(
    seconds: Annotated[float | None, typer.Option(help="End after so many seconds of trading.")] = None,
    speed: Annotated[float, typer.Option(help="Market seconds per second; 0 = as fast as possible.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Of the simulated day.")] = 1,
    strategy: Annotated[list[str] | None, typer.Option(help="Run this as well: module:Name or file.py:Name.")] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Recorded files or folders in place of the simulator.", parser=path_of, metavar="PATH"),
    ] = None,
    port: Annotated[int, typer.Option(help="Of the API on 127.0.0.1; 0 takes a free one.")] = 8000,
    charges_as_of: Annotated[str, typer.Option(help="YYYY-MM-DD: that day's charges for every day.")] = "",
    json: Json = False,
    *,
    reading: Any,
) -> None:
    """The whole pipeline on a simulated market day (or recorded data), with embedded parts; Ctrl-C stops cleanly."""
    from deploy.demo import DemoOptions, run

    options = DemoOptions(
        seconds, speed, seed, tuple(strategy or ()), port, json, tuple(data or ()), reading, charges_as_of,
    )  # fmt: skip
    run(options)


@app.command()
def run(
    flow: Annotated[Flow, typer.Argument(help="Which flow.")],
    broker: Annotated[str, typer.Option(help="Whose accounts and topics.")] = "paper",
    shard: Annotated[str, typer.Option(help="Of the pipeline: which shard of how many, e.g. 1/4.")] = "1/1",
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Of the pipeline: make the state anew from its journal first.")
    ] = False,
) -> None:
    """One flow as this process, against the services that the settings name."""
    from cli.flows import run_flow

    run_flow(flow, broker, shard, rebuild=rebuild)


@app.command()
def rebuild(
    broker: Annotated[str, typer.Option(help="Whose accounts.")] = "paper",
    shard: Annotated[str, typer.Option(help="Which shard of how many, e.g. 1/4.")] = "1/1",
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with the newest snapshot, of a running worker too; write nothing.")
    ] = False,
    recorded: Annotated[
        bool,
        typer.Option(
            "--recorded", help="From the recorded fills: for when rules have changed and deciding again differs."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Make the state of a pipeline anew from its journal, or prove that it is what its journal says."""
    from cli.flows import rebuild as rebuilt

    rebuilt(broker, shard, verify=verify, recorded=recorded, as_json=json)


@app.command()
def shards(
    after: Annotated[int, typer.Argument(help="How many shards there shall be.")],
    before: Annotated[int, typer.Option(help="How many there are.")] = 1,
    broker: Annotated[str, typer.Option(help="Whose accounts.")] = "paper",
) -> None:
    """Move accounts, with their books, to other shards; no worker of the broker may run."""
    from cli.flows import reshard

    reshard(broker, before, after)


@app.command()
@reads_recordings
def feed(
    source: Annotated[Literal["sim", "file"], typer.Option(help="Simulated day or recorded files.")] = "sim",
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Recorded files or folders, with --source file.", parser=path_of, metavar="PATH"),
    ] = None,
    speed: Annotated[float, typer.Option(help="Market seconds per second; 0 = as fast as possible.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the simulated day.")] = 1,
    date: Annotated[
        str | None, typer.Option(help="Day to simulate, YYYY-MM-DD; the last trading day if not given.")
    ] = None,
    bad_tick_rate: Annotated[float, typer.Option(help="Share of simulated ticks that are bad.")] = 0.001,
    seconds: Annotated[float | None, typer.Option(help="End after so many seconds.")] = None,
    *,
    reading: Any,
) -> None:
    """Market data into the log: ticks, the market's clock, and what is wrong with either."""
    from cli.flows import run_feed

    run_feed(source, tuple(data or ()), speed, seed, date, bad_tick_rate, seconds, reading)


@app.command()
@reads_recordings
def backtest(
    strategy: Annotated[str, typer.Argument(help="A built-in name, module:Name or file.py:Name.")],
    data: Annotated[
        list[Path],
        typer.Option(help="Recorded ticks or bars: CSV or Parquet, files or folders.", parser=path_of, metavar="PATH"),
    ],
    param: Annotated[list[str] | None, typer.Option(help="name=value; may be given several times.")] = None,
    instruments: Annotated[str | None, typer.Option(help="Only these symbols or tokens, joined by commas.")] = None,
    slippage_bps: Annotated[str, typer.Option(help="Against every market order, basis points.")] = "0",
    no_charges: Annotated[bool, typer.Option("--no-charges", help="Trade free of charges.")] = False,
    max_position: Annotated[int | None, typer.Option(help="Shares per instrument.")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A risk limit (docs/backtest.md); repeatable.")
    ] = None,
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="No risk limits but the account's money and those of --limit.")
    ] = False,
    capital: Annotated[str, typer.Option(help="Rupees.")] = "1000000",
    charges_as_of: Annotated[str, typer.Option(help="YYYY-MM-DD: that day's charges for every day.")] = "",
    strategy_limit: Annotated[
        float,
        typer.Option(min=0, help="Seconds that the strategy may take for 1 000 ticks, else it is suspended; 0 = any."),
    ] = 5.0,
    json: Json = False,
    *,
    reading: Any,
) -> None:
    """One strategy over recorded data, with the pipeline's own functions."""
    from cli.backtest import BacktestOptions, run_backtest

    options = BacktestOptions(
        strategy, tuple(data), tuple(param or ()), instruments, slippage_bps, not no_charges, max_position,
        tuple(limit or ()), no_limits, capital, reading, charges_as_of, strategy_limit,
    )  # fmt: skip
    run_backtest(options, as_json=json)


@app.command()
def sql(
    query: Annotated[
        str, typer.Argument(help="SELECT over ticks, signals, orders, fills, pnl, rejections, dead_letters.")
    ],
    lake: Annotated[
        Path | None, typer.Option(help="Another lake than the settings name; the last demo's is found.")
    ] = None,
    json: Json = False,
) -> None:
    """A query over the archive."""
    from cli.queries import run_sql

    run_sql(query, lake, as_json=json)


@database.command("upgrade")
def db_upgrade() -> None:
    """Brings the config store to this version's schema."""
    from cli.store import upgrade

    upgrade()


@database.command("seed")
def db_seed() -> None:
    """Writes a first configuration: instruments, one paper account, three strategies."""
    from cli.store import seed

    seed()


@deploy.command("plan")
def deploy_plan(allow_data_loss: AllowDataLoss = False, json: Json = False) -> None:
    """What would change; changes nothing."""
    from cli.deploy import plan

    plan(allow_data_loss=allow_data_loss, as_json=json)


@deploy.command("apply")
def deploy_apply(allow_data_loss: AllowDataLoss = False, json: Json = False) -> None:
    """Makes the changes, step by step; what is as declared is left as it is."""
    from cli.deploy import apply

    apply(allow_data_loss=allow_data_loss, as_json=json)


@deploy.command("status")
def deploy_status(json: Json = False) -> None:
    """How everything stands that is deployed."""
    from cli.deploy import status

    status(as_json=json)


@deploy.command("down")
def deploy_down(json: Json = False) -> None:
    """Stops the flows that deploy keeps running; the services stay up."""
    from cli.deploy import down

    down(as_json=json)


@strategies.command("list")
def strategies_list(json: Json = False) -> None:
    """Built-in strategies and their parameters."""
    from cli.store import list_strategies

    list_strategies(as_json=json)


@app.command()
def compile(json: Json = False) -> None:
    """Compiles the engine ahead, so that no later start waits for the compiler."""
    from cli.compiling import compile_ahead

    compile_ahead(as_json=json)


def as_line(value: Any) -> None:
    """One line of JSON, last on standard output."""
    import msgspec

    typer.echo(msgspec.json.encode(value).decode())
