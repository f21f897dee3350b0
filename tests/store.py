"""A config store in a few words, whichever database it lies in."""

from concurrent.futures import ThreadPoolExecutor

import msgspec

from connectors.database.store import ConfigStore, Pending
from functions.events import AccountConfig


def changed_at_once(store: ConfigStore, account: AccountConfig) -> list[Pending]:
    """An account put once, then ten times by each of four writers at the same time; answers with the outbox."""
    store.put_account(account)

    def change(who: int) -> None:
        for n in range(10):
            store.put_account(msgspec.structs.replace(account, capital=f"{1000 + 10 * n + who}"))

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(change, range(4)))
    return store.pending_outbox()
