"""`panda run` and `panda feed`: one flow as this process."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from connectors import logging
from connectors.errors import ConfigError
from connectors.kafka.topics import ensure_topics
from connectors.settings import Settings, load
from dataflows import process
from functions.assignment import Seat
from functions.topics import all_topics


def _pipeline(settings: Settings, broker: str, seat: Seat) -> None:
    from connectors import lease
    from dataflows import pipeline

    with lease.hold(settings, seat.key(broker)):
        process.run(pipeline.live(settings, broker=broker, seat=seat))


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


def run_flow(flow: str, broker: str, shard: str = "1/1") -> None:
    """Raises: `PipelineError` with what ended the flow."""
    try:
        seat = Seat.parse(shard)
    except ValueError as error:
        raise ConfigError(f"--shard: {error}", remedy="--shard 1/4 is the first of four") from error
    if flow != "pipeline" and seat.of > 1:
        raise ConfigError(f"{flow} has no shards, --shard was {shard}", remedy="leave --shard out")
    settings = load()
    if broker not in settings.active_brokers:
        raise ConfigError(
            f"broker {broker!r} is not active", remedy=f"ACTIVE_BROKERS names {', '.join(settings.active_brokers)}"
        )
    logging.configure(settings.log, flow)
    process.stop_on_signals()
    if flow != "api":
        ensure_topics(settings.kafka, all_topics(settings.active_brokers))
    _FLOWS[flow](settings, broker, seat)


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
    seconds: float | None,
) -> None:  # fmt: skip
    """Raises: `PipelineError` with what ended the feed."""
    if source == "file" and not data:
        raise ConfigError("--source file needs --data", remedy="panda feed --source file --data FILE_OR_FOLDER")
    if speed < 0:
        raise ConfigError(f"--speed is 0 (as fast as possible) or more, was {speed:g}", remedy="--speed 1 is real time")
    options: dict[str, Any] = {
        "source": source, "paths": tuple(data), "speed": speed or None, "seed": seed, "bad_tick_rate": bad_tick_rate,
        "seconds": seconds,
    }  # fmt: skip
    if day is not None:
        try:
            options["date"] = date.fromisoformat(day)
        except ValueError as error:
            raise ConfigError(f"--date is YYYY-MM-DD, was {day!r}", remedy="e.g. --date 2026-11-20") from error
    from dataflows import feed

    settings = load()
    logging.configure(settings.log, "feed")
    process.stop_on_signals()
    ensure_topics(settings.kafka, all_topics(settings.active_brokers))
    process.run(feed.live(settings, feed.FeedSettings(**options)))
