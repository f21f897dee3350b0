"""Zones of recorded times: how far each is ahead of UTC."""

import pytest

from connectors.recorded.times import ahead_of_utc

HOUR = 3_600_000_000  # microseconds


@pytest.mark.parametrize(
    ("zone", "ahead"),
    [
        ("", 5.5 * HOUR),  # a market of India writes the time of India
        ("UTC", 0),
        ("+05:30", 5.5 * HOUR),
        ("-05:00", -5 * HOUR),
        ("-0930", -9.5 * HOUR),
        ("Asia/Tokyo", 9 * HOUR),
        ("America/New_York", None),  # changes with the season
    ],
)
def test_a_zone_is_so_far_ahead_of_utc_or_behind(zone, ahead):
    assert ahead_of_utc(zone) == ahead
