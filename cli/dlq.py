"""`panda dlq`: dead letters counted, shown, put back and deleted."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from connectors.settings import Settings
    from functions.letters import Filter, Letter

dlq = typer.Typer(help="Dead letters: records that a flow could not use, kept whole.", no_args_is_help=True)

Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="Only of this topic, e.g. market.ticks; may be given several times.")
]
Errors = Annotated[list[str] | None, typer.Option("--error", help="Only with this cause, e.g. unknown_instrument.")]
Steps = Annotated[list[str] | None, typer.Option("--step", help="Only of this step, e.g. gate or strategy:momentum.")]
Keys = Annotated[list[str] | None, typer.Option("--key", help="Only records of this key.")]
Offsets = Annotated[
    str | None, typer.Option("--offsets", help="Only letters FIRST-LAST, inclusive; one side may be left out.")
]
Since = Annotated[
    str | None, typer.Option("--since", help="Only written at or after this time, e.g. 2026-11-20T09:15Z.")
]
Until = Annotated[str | None, typer.Option("--until", help="Only written before this time.")]
Ids = Annotated[
    list[str] | None, typer.Argument(help="Letters (market.ticks.dlq:0:17) or their records (market.ticks:3:41).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON, last on standard output.")]


@dlq.command("list")
def list_letters(
    topic: Topics = None, error: Errors = None, step: Steps = None, key: Keys = None, offsets: Offsets = None,
    since: Since = None, until: Until = None, json: Json = False,
) -> None:  # fmt: skip
    """How many there are, by topic, step and cause, with the newest time."""
    from functions.letters import counts

    chosen = _filter(None, topic, error, step, key, offsets, since, until)
    found = counts([each for each in _read(_settings(), chosen) if chosen.takes(each)])
    if json:
        _as_line([count._asdict() | {"newest": _time(count.newest_ms)} for count in found])
        return
    head = ["letters", "records", "topic", "step", "error", "attempts", "offsets", "newest"]
    rows = [
        [str(c.letters), str(c.records), c.topic, c.step, c.error, str(c.attempts), f"{c.first}-{c.last}", _time(c.newest_ms)]
        for c in found
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows) if rows else ():
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if not rows:
        typer.echo("no dead letters")


@dlq.command()
def show(
    ids: Ids = None, topic: Topics = None, error: Errors = None, step: Steps = None, key: Keys = None,
    offsets: Offsets = None, since: Since = None, until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20, json: Json = False,
) -> None:  # fmt: skip
    """Letters whole: reason, headers and the record's bytes."""
    chosen = _filter(ids, topic, error, step, key, offsets, since, until)
    letters = [each for each in _read(_settings(), chosen) if chosen.takes(each)]
    shown = sorted(letters, key=lambda each: (each.time_ms, each[:3]))[-limit:]
    if json:
        _as_line([_document(each) for each in shown])
        return
    for each in shown:
        typer.echo("\n".join(_lines(each)))
    typer.echo(f"{len(shown)} of {len(letters)} dead letters")


@dlq.command()
def replay(
    ids: Ids = None, topic: Topics = None, error: Errors = None, step: Steps = None, key: Keys = None,
    offsets: Offsets = None, since: Since = None, until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be put back; write nothing.")] = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Puts records back on their topic, key and bytes untouched; what has been decided once changes nothing again."""
    from connectors.kafka.dead_letters import by_name, write_back
    from functions.letters import replay as planned

    settings = _settings()
    chosen = _filter(ids, topic, error, step, key, offsets, since, until)
    plan = planned(_read(settings, chosen), chosen.takes, by_name(settings.active_brokers))
    if not dry_run and plan.letters:
        write_back(settings.kafka, plan.letters)
    records = [{"original": x.original, "letter": x.id, "error": x.error, "attempts": x.attempts} for x in plan.letters]
    if json:
        _as_line({"written": not dry_run, "replayed": records, "left": dict(plan.left)})
        return
    for record in records if dry_run else ():
        typer.echo("would put back {original} ({error}, attempt {attempts}), from {letter}".format(**record))
    typer.echo(f"{len(records)} records {'would be' if dry_run else ''} put back".replace("  ", " "))
    for reason, count in plan.left.most_common():
        typer.echo(f"{count} left: {reason}")


@dlq.command()
def purge(
    ids: Ids = None, topic: Topics = None, error: Errors = None, step: Steps = None, key: Keys = None,
    offsets: Offsets = None, since: Since = None, until: Until = None,
    others: Annotated[
        bool, typer.Option("--others-too", help="Delete as well what lies before them and was not chosen.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Deletes letters for good. Kafka deletes a topic from its beginning only: what lies before them would go too."""
    from connectors.errors import ConfigError
    from connectors.kafka.dead_letters import delete_letters
    from functions.letters import purge as planned

    settings = _settings()
    chosen = _filter(ids, topic, error, step, key, offsets, since, until)
    purges = planned(_read(settings, chosen), chosen.takes)
    for each in purges:
        if each.kept and not others:
            raise ConfigError(
                f"{each.topic}: Kafka deletes from the beginning only; before the last of these {each.letters} letters lie "
                f"{each.kept} that were not chosen, and would be deleted as well",
                remedy=f"choose up to them: --offsets -{each.clean - 1}; or delete them too: --others-too",
            )
    total = sum(each.letters + each.kept for each in purges)
    for each in purges if not json else ():
        typer.echo(f"{each.topic}: {each.letters + each.kept} letters, all before offset {each.before}")
    if purges and not yes and not typer.confirm(f"Delete {total} dead letters for good?"):
        raise typer.Exit(1)
    delete_letters(settings.kafka, purges)
    if json:
        _as_line({"deleted": total, "purges": [each._asdict() for each in purges]})
    else:
        typer.echo(f"{total} dead letters deleted")


# --- what was asked for -----------------------------------------------------------------------------------------------


def _settings() -> "Settings":
    from connectors.settings import load

    return load()


def _filter(
    ids: list[str] | None, topics: list[str] | None, errors: list[str] | None, steps: list[str] | None,
    keys: list[str] | None, offsets: str | None, since: str | None, until: str | None,
) -> "Filter":  # fmt: skip
    from functions.letters import Filter

    first, last = _range(offsets)
    return Filter(
        frozenset(topics or ()), frozenset(errors or ()), frozenset(steps or ()),
        frozenset(key.encode() for key in keys or ()), frozenset(ids or ()), first, last, _ms(since, "--since"),
        _ms(until, "--until"),
    )  # fmt: skip


def _range(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    first, dash, last = text.partition("-")
    if not all(part.isdigit() or (dash and not part) for part in (first, last if dash else first)):
        from connectors.errors import ConfigError

        raise ConfigError(f"--offsets is FIRST-LAST, was {text!r}", remedy="e.g. --offsets 17-40, or --offsets -40")
    return int(first) if first else None, int(last) if last else (None if dash else int(first))


def _ms(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        from connectors.errors import ConfigError

        raise ConfigError(f"{option} is an ISO 8601 time, was {text!r}", remedy="e.g. 2026-11-20T09:15:00Z") from error
    return int((time if time.tzinfo else time.astimezone()).timestamp() * 1000)


def _read(settings: "Settings", chosen: "Filter") -> list["Letter"]:
    """All letters of the topics that are meant."""
    from connectors.errors import ConfigError
    from connectors.kafka.dead_letters import letter_topics, read_letters

    known = letter_topics(settings.active_brokers)
    unknown = sorted(name for name in chosen.topics if name not in known and name not in known.values())
    if unknown:
        raise ConfigError(f"no dead letters are kept of {', '.join(unknown)}", remedy=f"topics are {', '.join(known)}")
    topics = [dead for of, dead in known.items() if not chosen.topics or {of, dead} & chosen.topics]
    return read_letters(settings.kafka, topics)


# --- what is told -----------------------------------------------------------------------------------------------------


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(raw: bytes | None) -> str | None:
    """As text where it is text, else with its other bytes escaped."""
    return None if raw is None else raw.decode(errors="backslashreplace")


def _document(letter: "Letter") -> dict[str, Any]:
    return {
        "id": letter.id, "original": letter.original, "topic": letter.of, "step": letter.step, "error": letter.error,
        "message": letter.message, "attempts": letter.attempts, "time": _time(letter.time_ms), "key": _text(letter.key),
        "value": _text(letter.value),
        "value_base64": None if letter.value is None else base64.b64encode(letter.value).decode(),
        "headers": [[name, _text(value)] for name, value in letter.headers],
    }  # fmt: skip


def _lines(letter: "Letter") -> Sequence[str]:
    told = [
        f"{letter.id}  {_time(letter.time_ms)}",
        f"  record    {letter.original}",
        f"  reason    {letter.step}: {letter.error}: {letter.message}",
        f"  attempts  {letter.attempts}",
        f"  key       {_text(letter.key)}",
        f"  headers   {', '.join(f'{name}={_text(value)}' for name, value in letter.headers)}",
    ]
    return [
        *told,
        "  a deletion (no value)" if letter.value is None else f"  {len(letter.value)} bytes  {_text(letter.value)}",
    ]


def _as_line(value: Any) -> None:
    from cli.commands import as_line

    as_line(value)
