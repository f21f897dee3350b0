"""Statements: what accounts, strategies and positions are worth at a one-second boundary, and the loss that halts."""

from functions.alerts import DAILY_LOSS_HALT, alert, next_ordinal
from functions.kernel import kernel
from functions.portfolio import (
    ACCOUNT_LEVEL,
    CLEAN,
    NOBODY,
    POSITION_LEVEL,
    STRATEGY_LEVEL,
    equity,
    watermark,
)  # fmt: skip
from functions.risk import SECOND


@kernel
def snapshot_row(shard, snapshots, level, a, s, i):
    row = snapshots[shard.snapshots_told]
    shard.snapshots_told += 1
    row.time = (shard.second + 1) * SECOND
    row.ordinal = next_ordinal(shard)
    row.level = level
    row.account = a
    row.subscription = s
    row.instrument = i
    row.cash = 0
    row.realised = 0
    row.unrealised = 0
    row.charges = 0
    row.gross = 0
    row.equity = 0
    row.peak = 0
    row.max_drawdown = 0
    row.position = 0
    row.cost = 0
    row.last = 0
    return row


@kernel
def tell_account(shard, accounts, a, subscriptions, instruments, books, snapshots):
    """The account, its strategies and their open positions, as of the boundary."""
    account = accounts[a]
    row = snapshot_row(shard, snapshots, ACCOUNT_LEVEL, a, NOBODY, NOBODY)
    row.cash = account.cash
    row.realised = account.realised
    row.unrealised = account.unrealised
    row.charges = account.charges
    row.gross = account.gross
    row.equity = equity(account)
    row.peak = account.peak
    row.max_drawdown = account.max_drawdown
    s = account.subscriptions
    while s >= 0:
        subscription = subscriptions[s]
        row = snapshot_row(shard, snapshots, STRATEGY_LEVEL, a, s, NOBODY)
        row.realised = subscription.realised
        row.unrealised = subscription.unrealised
        row.charges = subscription.charges
        b = subscription.books
        while b >= 0:
            book = books[b]
            if book.position != 0:
                row = snapshot_row(shard, snapshots, POSITION_LEVEL, a, s, book.instrument)
                row.position = book.position
                row.cost = book.cost
                row.last = instruments[book.instrument].last
            b = book.sibling
        s = subscription.next


@kernel
def on_boundary(shard, accounts, limits, subscriptions, instruments, books, snapshots, alerts):
    """The end of a second in which something changed, with the prices as of that boundary."""
    a = shard.dirty
    while a >= 0:
        account = accounts[a]
        after = account.dirty
        account.dirty = CLEAN
        watermark(account)
        loss = account.day_start - equity(account)
        if loss > limits[a].max_daily_loss and account.halted == 0:
            account.halted = 1
            alert(shard, alerts, DAILY_LOSS_HALT, a, loss, limits[a].max_daily_loss)
        tell_account(shard, accounts, a, subscriptions, instruments, books, snapshots)
        a = after
    shard.dirty = -1
