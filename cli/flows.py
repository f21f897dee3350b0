"""`panda run` and `panda feed`: one flow as this process."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from connectors import logging
from connectors.errors import ConfigError
from connectors.kafka.topics import ensure_topics
from connectors.market_tables import refuse_ended, tables, warn_of_end
from connectors.recorded.options import ReadingOptions
from connectors.settings import Settings, load
from dataflows import process
from functions.assignment import Seat
from functions.topics import all_topics


def _pipeline(settings: Settings, broker: str, seat: Seat, rebuild: bool = False) -> None:
    from connectors import lease
    from dataflows import pipeline

    calendar = tables(settings).calendar
    warn_of_end(calendar)
    if not settings.kafka.embedded:  # a demo plays days of its own
        refuse_ended(calendar)
    with lease.hold(settings, seat.key(broker)):
        process.run(pipeline.live(settings, broker=broker, seat=seat, rebuild=rebuild))


def _cache(settings: Settings, broker: str, seat: Seat) -> None:
    from dataflows import cache

    process.run(cache.live(settings, broker=broker))


def _archive(settings: Settings, broker: str, seat: Seat) -> None:
    from dataflows import archive

    process.run(archive.live(settings))


def _config(settings: Settings, broker: str, seat: Seat) -> None:
    from dataflows import config

    process.run(config.live(settings))


def _connectors(settings: Settings, broker: str, seat: Seat) -> None:
    from deploy import watching

    watching.watch(settings)


def _api(settings: Settings, broker: str, seat: Seat) -> None:
    from api.__main__ import serve

    serve(settings)


_FLOWS: dict[str, Callable[[Settings, str, Seat], None]] = {
    "pipeline": _pipeline, "cache": _cache, "archive": _archive, "config": _config,
    "connectors": _connectors, "api": _api,
}  # fmt: skip


def _seat(shard: str) -> Seat:
    try:
        return Seat.parse(shard)
    except ValueError as error:
        raise ConfigError(f"--shard: {error}", remedy="--shard 1/4 is the first of four") from error


def _settings(broker: str) -> Settings:
    settings = load()
    if broker not in settings.active_brokers:
        raise ConfigError(
            f"broker {broker!r} is not active", remedy=f"ACTIVE_BROKERS names {', '.join(settings.active_brokers)}"
        )
    return settings


def run_flow(flow: str, broker: str, shard: str = "1/1", *, rebuild: bool = False) -> None:
    """Raises: `PipelineError` with what ended the flow."""
    seat = _seat(shard)
    if flow != "pipeline" and (seat.of > 1 or rebuild):
        given = "--rebuild" if rebuild else f"--shard {shard}"
        raise ConfigError(f"{flow} has no shards and no journal, given was {given}", remedy="leave it out")
    settings = _settings(broker)
    logging.configure(settings.log, flow)
    process.stop_on_signals()
    if flow != "api":
        ensure_topics(settings.kafka, all_topics(settings.active_brokers))
    if rebuild:
        _pipeline(settings, broker, seat, rebuild=True)
    else:
        _FLOWS[flow](settings, broker, seat)


def rebuild(broker: str, shard: str, *, verify: bool, recorded: bool, as_json: bool) -> None:
    """Raises: `FatalError` where a state differs from what its journal says, or has none; `Diverged`."""
    if verify and recorded:
        raise ConfigError("--verify and --recorded exclude each other", remedy="leave one out")
    from cli.commands import as_line
    from dataflows import rebuilding

    seat = _seat(shard)
    settings = _settings(broker)
    logging.configure(settings.log, "rebuild")
    way = rebuilding.verified if verify else rebuilding.from_fills if recorded else rebuilding.made_anew
    told = way(settings, broker, seat)
    if as_json:
        as_line(msgspec.structs.asdict(told))
    else:
        meaning = (
            "the newest snapshot is what they lead to, to the byte" if verify
            else "books and money are those of the recorded fills now" if recorded
            else "that is the state now"
        )  # fmt: skip
        print(
            f"shard {told.shard}: {told.entries} entries of the journal, {told.records} records in {told.seconds} s; {meaning}"
        )


def reshard(broker: str, before: int, after: int) -> None:
    """Raises: `PipelineError` with what is in the way."""
    from dataflows import resharding

    settings = load()
    logging.configure(settings.log, "shards")
    try:
        Seat(1, before), Seat(1, after)
    except ValueError as error:
        raise ConfigError(str(error), remedy="e.g. `panda shards 4 --before 1`") from error
    for key, accounts in resharding.reshard(settings, broker, before, after).items():
        print(f"{key}: {', '.join(accounts)}")


def run_feed(
    source: str, data: tuple[Path, ...], speed: float, seed: int, day: str | None, bad_tick_rate: float,
    seconds: float | None, reading: ReadingOptions,
) -> None:  # fmt: skip
    """Raises: `PipelineError` with what ended the feed."""
    if source == "file" and not data:
        raise ConfigError("--source file needs --data", remedy="panda feed --source file --data FILE_OR_FOLDER")
    if speed < 0:
        raise ConfigError(f"--speed is 0 (as fast as possible) or more, was {speed:g}", remedy="--speed 1 is real time")
    options: dict[str, Any] = {
        "source": source, "paths": tuple(data), "speed": speed or None, "seed": seed, "bad_tick_rate": bad_tick_rate,
        "seconds": seconds, "reading": reading,
    }  # fmt: skip
    if day is not None:
        try:
            options["date"] = date.fromisoformat(day)
        except ValueError as error:
            raise ConfigError(f"--date is YYYY-MM-DD, was {day!r}", remedy="e.g. --date 2026-11-20") from error
    from dataflows import feed

    asked = feed.FeedSettings(**options)
    settings = load()
    warn_of_end(tables(settings).calendar)
    logging.configure(settings.log, "feed")
    process.stop_on_signals()
    ensure_topics(settings.kafka, all_topics(settings.active_brokers))
    process.run(feed.live(settings, asked))
