"""`panda db` and `panda strategies`."""

import typer

from cli.commands import as_line
from connectors.settings import load
from strategies.registry import built_ins, check, parameters_of
from strategies.registry import load as load_strategy


def upgrade() -> None:
    from connectors.database.store import ConfigStore

    settings = load()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    _say_missing(ConfigStore(settings.database.url.get_secret_value()).upgrade())
    typer.echo("the config store has this version's schema")


def _say_missing(users: list[str]) -> None:
    """On Postgres: Kafka Connect's users that the server does not have."""
    if users:
        typer.echo(
            f"note: this server has no user {', '.join(users)}: Kafka Connect cannot enter\n"
            "  → create them (docs/connect.md says how) and run: panda db upgrade",
            err=True,
        )


def seed() -> None:
    from connectors.database.seed import demo_seed
    from connectors.database.store import ConfigStore

    settings = load()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    store = ConfigStore(settings.database.url.get_secret_value())
    _say_missing(store.upgrade())
    instruments, accounts, strategies = demo_seed()
    store.seed(instruments, accounts, strategies, check)
    typer.echo(f"seeded {len(instruments)} instruments, {len(accounts)} accounts, {len(strategies)} strategies")


def list_strategies(*, as_json: bool) -> None:
    """Names, first lines and parameters of the built-in strategies."""
    rows = []
    for name in built_ins():
        author = load_strategy(name)
        parameters = {p: s.default for p, s in parameters_of(author).items()}
        rows.append({"name": name, "summary": (author.__doc__ or "").strip().splitlines()[0], "parameters": parameters})
    if as_json:
        as_line(rows)
        return
    for row in rows:
        typer.echo(f"{row['name']}\n  {row['summary']}\n  {row['parameters']}")
