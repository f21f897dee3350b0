"""The config store's schema: brought to the revision that this version reads, never back."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.engine import make_url

from connectors.database.schema import REVISIONS, migrate, open_engine, revision, shown, translated
from connectors.errors import ConfigError
from deploy.plan.steps import Change, Context, State


class Migrations:
    """The step that upgrades the config store."""

    name = "migrations"

    def __init__(self, context: Context) -> None:
        self._url = context.settings.database.url.get_secret_value()

    def plan(self) -> list[Change]:
        """Raises: `ConfigError` for a store of a newer version, `DependencyError`."""
        found = found_revision(self._url)
        if found == REVISIONS[-1]:
            return []
        if found is not None and found not in REVISIONS:
            raise ConfigError(
                f"config store {shown(self._url)} has revision {found}, this code knows up to {REVISIONS[-1]}",
                remedy="a newer version has upgraded it: deploy that version, or restore a copy from before",
            )
        detail = f"revision {found or 'none'} → {REVISIONS[-1]}"
        return [Change("add" if found is None else "change", f"config store {shown(self._url)}", detail)]

    def apply(self, changes: Sequence[Change]) -> None:
        if changes:
            migrate(self._url)

    def status(self) -> list[State]:
        found = found_revision(self._url)
        return [State(f"config store {shown(self._url)}", found == REVISIONS[-1], f"revision {found or 'none'}")]


def found_revision(address: str) -> str | None:
    """A store's revision, without making a store where there is none."""
    url = make_url(address)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return None
    engine = open_engine(address)
    try:
        with translated(address), engine.connect() as connection:
            return revision(connection)
    finally:
        engine.dispose()
