"""What a native service is: how it is made, started, asked and stopped."""

import signal
from dataclasses import dataclass
from typing import Protocol

from deploy.services.credentials import Credentials
from deploy.services.places import Places, Ports
from deploy.services.processes import Launch


@dataclass(frozen=True)
class Site:
    """One set of services: its folders, ports and passwords."""

    places: Places
    ports: Ports
    credentials: Credentials

    def password(self, name: str) -> str:
        return self.credentials[name].get_secret_value()


class Service(Protocol):
    """One of the services. Every method may be called again: what is done stays done."""

    name: str
    needs: tuple[str, ...]  # services that must answer before this one starts
    stop_signal: signal.Signals
    stop_s: float

    def ports(self, ports: Ports) -> tuple[int, ...]:
        """The ports it listens on; clients use the first."""

    def check(self, site: Site) -> None:
        """Raises: `DependencyError` where a program it needs is missing."""

    def prepare(self, site: Site) -> Launch:
        """Makes its data folder and its configuration, and says how to start it."""

    def answers(self, site: Site, pid: int) -> bool:
        """Whether the process answers as it should; any error of a client counts as no."""

    def furnish(self, site: Site) -> None:
        """What must be in it before others use it: users, databases."""
