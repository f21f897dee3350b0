"""The market tables of the project, for specs."""

from connectors.market_tables import built_in

TABLES = built_in()
CALENDAR, TARIFF, _ = TABLES
