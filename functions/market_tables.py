"""Market tables: what was known of the exchange and of charges when something was decided."""

from typing import NamedTuple

from functions.calendar import Calendar
from functions.costs import Tariff


class MarketTables(NamedTuple):
    """A calendar and a tariff. The same inputs with other tables are decided otherwise: `fingerprint` tells them apart."""

    calendar: Calendar
    tariff: Tariff
    fingerprint: str  # of the files' bytes
