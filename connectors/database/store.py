"""The config store: instruments, accounts and strategies, and every change of theirs on its way to the log.

A change and its outbox row are one transaction: what is stored gets published, what is published was stored. Reading
back gives the payloads of `functions.events`. What may enter is decided by `functions.configuration`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from sqlalchemy import delete, exists, func, select, true, update
from sqlalchemy.orm import Session, aliased
from sqlalchemy.orm.attributes import flag_modified

from connectors.database import schema
from connectors.database.models import Account, Instrument, Outbox, Strategy, StrategyAccount, StrategyInstrument
from connectors.errors import ConfigError, DataError
from functions import configuration
from functions.codec import encode, envelope
from functions.events import AccountConfig, InstrumentConfig, StrategyConfig
from functions.ids import event_id
from functions.topics import CONFIG_ACCOUNTS, CONFIG_INSTRUMENTS, CONFIG_STRATEGIES, Topic

SOURCE: Final = "config"  # of the events; their flow
TOPICS: Final = (CONFIG_INSTRUMENTS, CONFIG_ACCOUNTS, CONFIG_STRATEGIES)
KEPT: Final = timedelta(days=30)  # how long the outbox holds a change after a newer one of the same key

AnyConfig = InstrumentConfig | AccountConfig | StrategyConfig
Check = Callable[[StrategyConfig], None]
C = TypeVar("C", InstrumentConfig, AccountConfig, StrategyConfig)


class Pending(NamedTuple):
    """One change that may not have reached its topic yet: the record, whole. `value` None is a tombstone."""

    id: int
    topic: str
    key: bytes
    value: bytes | None


# --- rows and payloads ------------------------------------------------------------------------------------------------


def _read(config: type[C], fields: Mapping[str, Any], what: str) -> C:
    try:
        return msgspec.convert(fields, config, strict=True)
    except msgspec.ValidationError as error:
        raise DataError(
            f"config store: {what} cannot be read: {error}", remedy="correct the row; it was written past this program"
        ) from error


def _instrument(row: Instrument) -> InstrumentConfig:
    fields = {name: getattr(row, name) for name in InstrumentConfig.__struct_fields__}
    return _read(InstrumentConfig, fields, f"instrument {row.instrument_token}")


def _account(row: Account) -> AccountConfig:
    fields = {name: getattr(row, name) for name in AccountConfig.__struct_fields__}
    return _read(AccountConfig, fields, f"account {row.account}")


def _strategy(row: Strategy) -> StrategyConfig:
    fields = {name: getattr(row, name) for name in StrategyConfig.__struct_fields__}
    fields["instruments"] = [link.instrument_token for link in row.instruments]
    fields["accounts"] = [link.account for link in row.accounts]
    return _read(StrategyConfig, fields, f"strategy {row.strategy}")


class _Kind(NamedTuple):
    """One kind of configuration: where it is kept, where it is published, how it is read."""

    table: Any
    topic: Topic
    read: Callable[[Any], Any]
    key: str  # the column and field that names it
    word: str


_INSTRUMENT: Final = _Kind(Instrument, CONFIG_INSTRUMENTS, _instrument, "instrument_token", "instrument")
_ACCOUNT: Final = _Kind(Account, CONFIG_ACCOUNTS, _account, "account", "account")
_STRATEGY: Final = _Kind(Strategy, CONFIG_STRATEGIES, _strategy, "strategy", "strategy")
_KINDS: Final = {InstrumentConfig: _INSTRUMENT, AccountConfig: _ACCOUNT, StrategyConfig: _STRATEGY}


def _columns(config: AnyConfig) -> dict[str, Any]:
    """The row's columns; a strategy's lists become links."""
    fields: dict[str, Any] = msgspec.to_builtins(config)
    if isinstance(config, StrategyConfig):
        fields["instruments"] = [
            StrategyInstrument(position=n, instrument_token=token) for n, token in enumerate(config.instruments)
        ]
        fields["accounts"] = [StrategyAccount(position=n, account=name) for n, name in enumerate(config.accounts)]
    return fields


def _refuse(what: str, faults: Sequence[str], remedy: str = "correct it and try again; nothing was changed") -> None:
    if faults:
        raise ConfigError(f"{what} is refused: " + "\n  ".join(faults), remedy=remedy)


# --- the store --------------------------------------------------------------------------------------------------------


class ConfigStore:
    """Reads and writes of one config store. Threads may share it.

    Every method raises `ConfigError` for a store that is not set up or of another version, `RetryableError` where it is
    locked or does not answer, `DependencyError` where it is damaged. `now` gives the time of a change, ns.
    """

    def __init__(self, url: str, *, now: Callable[[], int] = time.time_ns) -> None:
        self._url = url
        self._now = now
        self._engine = schema.open_engine(url)
        self._checked = False

    def __enter__(self) -> "ConfigStore":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives all connections back."""
        self._engine.dispose()

    def upgrade(self) -> list[str]:
        """Bring the store to this code's revision, making it where there is none; see `schema.migrate`."""
        return schema.migrate(self._url)

    @contextmanager
    def _session(self, *, writes: bool = False) -> Iterator[Session]:
        """One transaction: committed at the end, undone by any error."""
        engine = self._engine.execution_options(writes=writes)
        with schema.translated(self._url), Session(engine) as session, session.begin():
            if not self._checked:
                schema.refuse_other_revision(session.connection(), self._url)
                self._checked = True
            yield session

    # reads

    def instruments(self) -> list[InstrumentConfig]:
        """All instruments, by token."""
        return self._all(_INSTRUMENT)

    def accounts(self) -> list[AccountConfig]:
        """All accounts, by name."""
        return self._all(_ACCOUNT)

    def strategies(self) -> list[StrategyConfig]:
        """All strategies, by name."""
        return self._all(_STRATEGY)

    def _all(self, kind: _Kind) -> list[Any]:
        with self._session() as session:
            rows = session.scalars(select(kind.table).order_by(getattr(kind.table, kind.key)))
            return [kind.read(row) for row in rows]

    # changes

    def put_instrument(self, config: InstrumentConfig) -> bool:
        """Keep an instrument as it is given here. True where that changed something.

        Raises: `ConfigError` where it may not enter, or a strategy that uses it could not run any more.
        """
        with self._session(writes=True) as session:
            return self._put_instrument(session, config)

    def put_account(self, config: AccountConfig) -> bool:
        """Keep an account as it is given here. True where that changed something. Raises: `ConfigError`."""
        with self._session(writes=True) as session:
            return self._put_account(session, config)

    def put_strategy(self, config: StrategyConfig, check: Check | None = None) -> bool:
        """Keep a strategy as it is given here. True where that changed something.

        `check` knows the strategy's code: it raises a `ConfigError` or `ValueError` for parameters it does not take.
        Raises: `ConfigError` where it may not enter.
        """
        with self._session(writes=True) as session:
            return self._put_strategy(session, config, check)

    def delete_instrument(self, instrument_token: int) -> None:
        """Forget an instrument. Raises: `ConfigError` where there is none, or a strategy uses it."""
        with self._session(writes=True) as session:
            users = _users(session, StrategyInstrument, StrategyInstrument.instrument_token == instrument_token)
            self._delete(session, _INSTRUMENT, instrument_token, users)

    def delete_account(self, account: str) -> None:
        """Forget an account. Raises: `ConfigError` where there is none, or a strategy trades for it."""
        with self._session(writes=True) as session:
            users = _users(session, StrategyAccount, StrategyAccount.account == account)
            self._delete(session, _ACCOUNT, account, users)

    def delete_strategy(self, strategy: str) -> None:
        """Forget a strategy. Raises: `ConfigError` where there is none."""
        with self._session(writes=True) as session:
            self._delete(session, _STRATEGY, strategy, [])

    def seed(
        self,
        instruments: Sequence[InstrumentConfig],
        accounts: Sequence[AccountConfig],
        strategies: Sequence[StrategyConfig],
        check: Check | None = None,
    ) -> int:
        """Add what is not there yet, all or nothing; what is there stays as its owner made it. Returns how many came.

        Raises: `ConfigError` where one of them may not enter, or an account that is there is of a broker that no gateway
        answers for.
        """
        with self._session(writes=True) as session:
            for row in session.scalars(select(Account).order_by(Account.account)):
                faults = configuration.unanswered(_account(row))
                _refuse(f"account {row.account}, which is there already,", faults, configuration.PUT_AWAY)
            came = 0
            for one in instruments:
                came += not _known(session, _INSTRUMENT, one) and self._put_instrument(session, one)
            for one in accounts:
                came += not _known(session, _ACCOUNT, one) and self._put_account(session, one)
            for one in strategies:
                came += not _known(session, _STRATEGY, one) and self._put_strategy(session, one, check)
            return came

    def _put_instrument(self, session: Session, config: InstrumentConfig) -> bool:
        what = f"instrument {config.instrument_token}"
        _refuse(what, configuration.validate_instrument(config))
        twin = session.scalar(
            select(Instrument.instrument_token).where(
                Instrument.exchange == config.exchange,
                Instrument.tradingsymbol == config.tradingsymbol,
                Instrument.instrument_token != config.instrument_token,
            )
        )
        if twin is not None:
            _refuse(what, [f"{config.exchange}:{config.tradingsymbol} is instrument {twin} already"])
        changed = self._put(session, config)
        for name in _users(session, StrategyInstrument, StrategyInstrument.instrument_token == config.instrument_token):
            strategy = _strategy(session.get_one(Strategy, name))
            faults = configuration.validate_strategy(strategy, _by_token(session, strategy.instruments))
            _refuse(what, [f"strategy {name} could not run: {fault}" for fault in faults])
        return changed

    def _put_account(self, session: Session, config: AccountConfig) -> bool:
        _refuse(f"account {config.account}", configuration.validate_account(config))
        before = session.get(Account, config.account)
        if before is not None and before.broker != config.broker:
            _refuse(
                f"account {config.account}",
                [f"broker stays {before.broker}, was {config.broker}: open another account"],
            )
        return self._put(session, config)

    def _put_strategy(self, session: Session, config: StrategyConfig, check: Check | None) -> bool:
        what = f"strategy {config.strategy}"
        _refuse(what, configuration.validate_strategy(config))
        accounts = set(session.scalars(select(Account.account)))
        _refuse(what, configuration.validate_strategy(config, _by_token(session, config.instruments), accounts))
        if check is not None:
            try:
                check(config)
            except ValueError as error:
                _refuse(what, [str(error)])
        return self._put(session, config)

    def _put(self, session: Session, config: AnyConfig) -> bool:
        kind = _KINDS[type(config)]
        key = getattr(config, kind.key)
        row = session.get(kind.table, key, with_for_update=True)
        if row is not None and encode(kind.read(row)) == encode(config):  # as text, where 1, 1.0 and true differ
            return False
        now = self._now()
        moment = _moment(now)
        if row is None:
            row = kind.table(version=0)
            session.add(row)
        elif isinstance(config, StrategyConfig):
            row.instruments, row.accounts = [], []
            session.flush()  # the old links leave before the new ones take their places
        for name, value in _columns(config).items():
            setattr(row, name, value)
            if isinstance(value, dict):
                flag_modified(row, name)  # SQLAlchemy compares by ==, to which 1 and true are the same
        row.version += 1
        row.updated_at = moment
        session.flush()
        broker = config.broker if isinstance(config, AccountConfig) else ""
        id = event_id(now, f"{kind.topic.name}:{key}:{now}", f"config:{row.version}")
        value = encode(envelope(config, id=id, time_ns=now, source=SOURCE, broker=broker))
        _post(session, kind, key, value.decode(), moment)
        return True

    def _delete(self, session: Session, kind: _Kind, key: str | int, users: list[str]) -> None:
        row = session.get(kind.table, key, with_for_update=True)
        if row is None:
            raise ConfigError(f"no {kind.word} {key!r}", remedy="check its name; nothing was changed")
        if users:
            raise ConfigError(
                f"{kind.word} {key!r} is used by strategy {', '.join(users)}",
                remedy="change or delete the strategy first",
            )
        session.delete(row)
        session.flush()
        _post(session, kind, key, None, _moment(self._now()))

    # the outbox

    def pending_outbox(self, limit: int = 1_000) -> list[Pending]:
        """The oldest changes not known to be published, in the order in which they were made."""
        with self._session() as session:
            rows = session.scalars(select(Outbox).where(Outbox.published_at.is_(None)).order_by(Outbox.id).limit(limit))
            return [
                Pending(r.id, r.topic, r.key.encode(), None if r.payload is None else r.payload.encode()) for r in rows
            ]

    def mark_published(self, ids: Sequence[int]) -> None:
        """The broker has these changes. Marking one twice leaves the first time."""
        if not ids:
            return
        with self._session(writes=True) as session:
            session.execute(
                update(Outbox)
                .where(Outbox.id.in_(ids), Outbox.published_at.is_(None))
                .values(published_at=_moment(self._now()))
            )

    def publish_again(self, published: Mapping[tuple[str, bytes], bytes | None]) -> list[tuple[str, bytes]]:
        """Make the newest change of every key pending again where its topic has something else, or nothing.

        `published` is the last value of each (topic, key) in the log; None, or no entry, where a deletion is last. For
        a log that has lost its records, as the embedded one does at each start. Returns keys that the log has and this
        store never had: somebody else's.
        """
        newest = select(func.max(Outbox.id)).group_by(Outbox.topic, Outbox.key)
        with self._session(writes=True) as session:
            rows = list(session.scalars(select(Outbox).where(Outbox.id.in_(newest))))
            for row in rows:
                value = published.get((row.topic, row.key.encode()))
                if value != (None if row.payload is None else row.payload.encode()):
                    row.published_at = None
            ours = {(row.topic, row.key.encode()) for row in rows}
        return sorted(key for key, value in published.items() if value is not None and key not in ours)


# --- inside a transaction ---------------------------------------------------------------------------------------------


def _moment(time_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)


def _known(session: Session, kind: _Kind, config: AnyConfig) -> bool:
    return session.get(kind.table, getattr(config, kind.key)) is not None


def _by_token(session: Session, tokens: Sequence[int]) -> dict[int, InstrumentConfig]:
    rows = session.scalars(select(Instrument).where(Instrument.instrument_token.in_(tokens)))
    return {row.instrument_token: _instrument(row) for row in rows}


def _users(session: Session, link: type[StrategyInstrument] | type[StrategyAccount], where: Any) -> list[str]:
    return list(session.scalars(select(link.strategy).where(where).order_by(link.strategy)))


def _post(session: Session, kind: _Kind, key: str | int, payload: str | None, moment: datetime) -> None:
    (event_type,) = kind.topic.payloads
    session.add(Outbox(topic=kind.topic.name, key=str(key), event_type=event_type, payload=payload, created_at=moment))
    session.flush()
    _forget(session, kind.topic.name, str(key), moment - KEPT)


def _forget(session: Session, topic: str, key: str, before: datetime) -> None:
    """Old changes of a key leave the outbox when it changes again; its newest always stays, for a log that is lost.

    The poller has to have published them. On Postgres Debezium reads them from the database's own log, without a mark.
    """
    newer = aliased(Outbox)
    published = true() if session.connection().dialect.name == "postgresql" else Outbox.published_at.is_not(None)
    superseded = exists().where(newer.topic == topic, newer.key == key, newer.id > Outbox.id)
    session.execute(
        delete(Outbox)
        .where(Outbox.topic == topic, Outbox.key == key, Outbox.created_at < before, published, superseded)
        .execution_options(synchronize_session=False)
    )
