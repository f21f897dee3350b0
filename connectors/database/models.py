"""Tables of the config store: instruments, accounts, strategies, and the outbox that every change goes through.

Money and tick sizes are the texts they came as. SQLite and Postgres share everything here.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

_BIG_KEY = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up an INTEGER key only


class Instant(TypeDecorator[datetime]):
    """A moment with its zone, kept in UTC. SQLite forgets zones: what it gives back is UTC again."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a moment without a zone: {value.isoformat()}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class Table(DeclarativeBase):
    """What all tables share: constraint names that migrations can refer to."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Configured:
    """Every configured thing counts its changes; the count is part of each change's event id."""

    version: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[datetime] = mapped_column(Instant)


class Instrument(Configured, Table):
    """One tradable or observed instrument, see `events.InstrumentConfig`."""

    __tablename__ = "instruments"
    __table_args__ = (UniqueConstraint("exchange", "tradingsymbol"),)

    instrument_token: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    tradingsymbol: Mapped[str] = mapped_column(String(64))
    exchange: Mapped[str] = mapped_column(String(8))
    kind: Mapped[str] = mapped_column(String(8))
    tick_size: Mapped[str] = mapped_column(Text)
    lot_size: Mapped[int] = mapped_column(Integer)
    closing_auction: Mapped[bool] = mapped_column(Boolean)
    enabled: Mapped[bool] = mapped_column(Boolean)


class Account(Configured, Table):
    """One account of one broker, see `events.AccountConfig`."""

    __tablename__ = "accounts"

    account: Mapped[str] = mapped_column(String(40), primary_key=True)
    broker: Mapped[str] = mapped_column(String(20))
    capital: Mapped[str] = mapped_column(Text)
    limits: Mapped[dict[str, Any]] = mapped_column(JSON)
    venue: Mapped[dict[str, Any]] = mapped_column(JSON)
    killed: Mapped[bool] = mapped_column(Boolean)
    enabled: Mapped[bool] = mapped_column(Boolean)
    shard: Mapped[int | None] = mapped_column(Integer)


class StrategyInstrument(Table):
    """One instrument of a strategy; `position` is its index there."""

    __tablename__ = "strategy_instruments"

    strategy: Mapped[str] = mapped_column(ForeignKey("strategies.strategy", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    instrument_token: Mapped[int] = mapped_column(ForeignKey("instruments.instrument_token"), index=True)


class StrategyAccount(Table):
    """One account that a strategy trades for."""

    __tablename__ = "strategy_accounts"

    strategy: Mapped[str] = mapped_column(ForeignKey("strategies.strategy", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.account"), index=True)


class Strategy(Configured, Table):
    """One running strategy, see `events.StrategyConfig`."""

    __tablename__ = "strategies"

    strategy: Mapped[str] = mapped_column(String(40), primary_key=True)
    implementation: Mapped[str] = mapped_column(String(200))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    product: Mapped[str] = mapped_column(String(8))
    sizing: Mapped[dict[str, Any]] = mapped_column(JSON)
    enabled: Mapped[bool] = mapped_column(Boolean)
    zerodha_trading_enabled: Mapped[bool] = mapped_column(Boolean)
    on_disable: Mapped[str] = mapped_column(String(8), server_default="hold")
    instruments: Mapped[list[StrategyInstrument]] = relationship(
        order_by=StrategyInstrument.position, cascade="all, delete-orphan", lazy="selectin"
    )
    accounts: Mapped[list[StrategyAccount]] = relationship(
        order_by=StrategyAccount.position, cascade="all, delete-orphan", lazy="selectin"
    )


class Outbox(Table):
    """One change on its way to its topic, written in the transaction of the change itself.

    `payload` is the whole record value, byte for byte (UTF-8): an envelope, or NULL for the tombstone of a deletion.
    So a poller and a change-data-capture connector publish the same record. `id` is never used twice.
    """

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True)
    topic: Mapped[str] = mapped_column(String(100))
    key: Mapped[str] = mapped_column(String(100))
    event_type: Mapped[str] = mapped_column(String(40))
    payload: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Instant)
    published_at: Mapped[datetime | None] = mapped_column(Instant)

    __table_args__ = (
        Index("ix_outbox_published_at_id", "published_at", "id"),
        Index("ix_outbox_topic_key_id", "topic", "key", "id"),
        {"sqlite_autoincrement": True},
    )
