"""Configuration: what the config store holds that no flow could run. Nothing is made here; its owner puts it right."""

from collections.abc import Sequence

from connectors.database.schema import REVISIONS
from connectors.database.store import ConfigStore
from deploy.plan.migrations import found_revision
from deploy.plan.steps import Change, Context, State
from functions.configuration import ANSWERED, PUT_AWAY, unanswered
from functions.events import AccountConfig


class Configuration:
    """The step that refuses accounts for which nobody may trade."""

    name = "configuration"

    def __init__(self, context: Context) -> None:
        self._url = context.settings.database.url.get_secret_value()
        self._brokers = context.settings.active_brokers

    def plan(self) -> list[Change]:
        """A refusal for each enabled account of an active broker that no gateway answers for."""
        told = [
            Change("note", f"broker {broker}", "no order gateway answers for it yet: its pipelines stay idle")
            for broker in self._brokers
            if broker not in ANSWERED
        ]
        return told + [
            self._change(account, *faults) for account in self._accounts() if (faults := unanswered(account))
        ]

    def _change(self, account: AccountConfig, fault: str) -> Change:
        what = f"account {account.account}"
        if account.broker in self._brokers:
            return Change("change", what, "enabled → not enabled", refusal=f"{fault}\n    {PUT_AWAY}")
        return Change("note", what, f"of broker {account.broker}, which is not active: nobody trades for it")

    def apply(self, changes: Sequence[Change]) -> None:
        """Nothing: a plan of this step has notes and refusals alone."""

    def status(self) -> list[State]:
        refused = [change for change in self.plan() if change.refusal]
        if refused:
            return [State(change.what, False, change.refusal) for change in refused]
        enabled = sum(account.enabled for account in self._accounts())
        return [State("accounts", True, f"{enabled} enabled")]

    def _accounts(self) -> list[AccountConfig]:
        """None where the store is still to be made or upgraded, which the step before this one does."""
        if found_revision(self._url) != REVISIONS[-1]:
            return []
        with ConfigStore(self._url) as store:
            return store.accounts()
