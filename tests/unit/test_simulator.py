"""The simulated day: what a trader would look for before believing it. Friday 2026-11-20, seed 1, unless said."""

import datetime as dt
import time
from dataclasses import replace

import numpy as np
import pytest

from connectors.database.seed import demo_instruments
from functions.bad_ticks import (
    DUPLICATE,
    FAULTS,
    MISSING_FIELD,
    NO_PRICE,
    NON_POSITIVE_PRICE,
    TIME_BACKWARDS,
    UNDECODABLE,
    UNKNOWN_INSTRUMENT,
    counted,
)
from functions.calendar import SECOND, midnight
from functions.events import InstrumentConfig
from functions.kernel import records
from functions.money import micro
from functions.price_paths import CALM, INSTRUMENTS, TURBULENT, Market, Simulated, path
from functions.quality import bounds_of, judge, no_ticks_seen
from functions.simulator import BLOCK_S, day
from functions.ticks import UNKNOWN
from tests.tables import CALENDAR

DATE = dt.date(2026, 11, 20)
MARKET = Market()
SHARES = [n for n, i in enumerate(INSTRUMENTS) if i.config.kind == "EQ"]
INDEX, FUTURE = 6, 7


class Day:
    """A whole day in one piece."""

    def __init__(self, market: Market = MARKET, date: dt.date = DATE, seed: int = 1, rate: float = 0.0) -> None:
        chunks = list(day(market, date, seed, CALENDAR, chunk_s=60.0, bad_tick_rate=rate))
        self.ticks = np.concatenate([c.ticks for c in chunks])
        self.depth = np.concatenate([c.depth for c in chunks])
        self.faults = np.concatenate([c.faults for c in chunks])
        self.until = chunks[-1].until
        self.second = (self.ticks["time"] - midnight(date)) // SECOND

    def of(self, instrument: int) -> np.ndarray:
        return self.ticks[self.ticks["instrument"] == instrument]


@pytest.fixture(scope="module")
def friday() -> Day:
    return Day()


@pytest.fixture(scope="module")
def bad_friday() -> Day:
    return Day(rate=0.02)


def paise(prices: np.ndarray) -> np.ndarray:
    return np.rint(prices * 1e6).astype(np.int64)


def test_the_instruments_are_those_that_the_demo_trades():
    assert MARKET.configs == demo_instruments()


def test_every_tick_lies_within_the_session_of_its_class(friday):
    for n, instrument in enumerate(MARKET.configs):
        [(opens, closes)] = CALENDAR.session_parts(
            DATE, 2 if instrument.kind == "FUT" else int(instrument.closing_auction)
        )
        times = friday.of(n)["time"]
        assert opens <= times.min()
        assert closes - 30 * SECOND < times.max() < closes
    assert friday.until == CALENDAR.session_parts(DATE, 2)[0][1]


def test_ticks_come_in_event_time_order_in_whole_microseconds(friday):
    assert (np.diff(friday.ticks["time"]) >= 0).all()
    assert (friday.ticks["time"] % 1000 == 0).all()


def test_each_instrument_ticks_two_to_three_times_a_second_and_some_ticks_share_a_microsecond(friday):
    rates = [len(friday.of(n)) / 21_600 for n in SHARES]
    assert all(2.0 < rate < 3.0 for rate in rates), rates
    shared = [np.mean(np.diff(friday.of(n)["time"]) == 0) for n in SHARES]
    assert all(0.02 < share < 0.06 for share in shared), shared


def test_prices_lie_on_the_tick_grid_and_print_with_two_decimals(friday):
    for n, instrument in enumerate(MARKET.configs):
        size = micro(instrument.tick_size) or 50_000
        for field in ("price", "bid", "ask"):
            values = friday.of(n)[field]
            assert (paise(values) % size == 0).all()
            assert (values == np.round(values, 2)).all()


def test_the_spread_is_at_least_a_tick_and_widens_when_the_market_is_turbulent(friday):
    course = path(MARKET, DATE, 1, CALENDAR)
    for n in SHARES:
        ticks = friday.of(n)
        ticks = ticks[(ticks["bid"] > 0) & (ticks["ask"] > 0)]
        spread = paise(ticks["ask"]) - paise(ticks["bid"])
        assert spread.min() >= micro(MARKET.configs[n].tick_size)
        regime = course.regimes[(ticks["time"] - course.opens) // SECOND]
        assert spread[regime == TURBULENT].mean() > 1.5 * spread[regime == CALM].mean()


def test_the_day_is_busy_at_the_open_and_the_close_and_quiet_at_noon(friday):
    """Ticks and volume of RELIANCE, calm or not: the first and last half hours against the two around 12:15."""
    ticks = friday.of(0)
    half_hour = ((ticks["time"] - midnight(DATE)) // SECOND - 33_300) // 1_800
    counts = np.bincount(half_hour)
    volume = np.diff(ticks["volume"][np.flatnonzero(np.diff(half_hour, append=99))], prepend=0)
    assert counts[0] > 1.5 * counts[5:7].mean()
    assert counts[-1] > 1.2 * counts[5:7].mean()
    assert volume[0] > 2.0 * volume[5:7].mean()


def test_shares_move_together_and_the_index_moves_with_them():
    """One-minute returns of three days without circuit and halt."""
    market = replace(MARKET, circuit_s=0, halt_s=0)
    returns = np.concatenate(
        [np.diff(np.log(path(market, DATE, seed, CALENDAR).middles[::60]), axis=0) for seed in (1, 2, 3)]
    )
    correlation = np.corrcoef(returns.T)
    pairs = correlation[np.ix_(SHARES, SHARES)][np.triu_indices(len(SHARES), 1)]
    assert 0.25 < pairs.mean() < 0.65
    assert (correlation[INDEX, SHARES] > pairs.mean()).all()
    assert correlation[INDEX, FUTURE] > 0.98


def test_an_ordinary_minute_moves_a_share_by_a_twentieth_to_a_tenth_of_a_percent():
    returns = np.diff(np.log(path(MARKET, DATE, 1, CALENDAR).middles[::60, SHARES]), axis=0)
    typical = np.median(np.abs(returns), axis=0) / 0.6745  # the deviation of a normal distribution with this median
    assert ((typical > 0.0005) & (typical < 0.0012)).all(), typical


def test_volatility_has_three_regimes_that_last_for_minutes():
    courses = [path(MARKET, DATE, seed, CALENDAR) for seed in range(6)]
    regimes = np.concatenate([c.regimes for c in courses])
    shares = np.bincount(regimes, minlength=3) / len(regimes)
    assert (shares > 0.05).all(), shares
    assert len(regimes) / (1 + np.count_nonzero(np.diff(regimes))) > 180  # seconds
    returns = np.concatenate([np.diff(np.log(c.middles[:, 0])) for c in courses])
    assert returns[regimes == TURBULENT].std() > 1.8 * returns[regimes == CALM].std()


def test_there_is_momentum_within_half_a_minute_and_reversion_after_it():
    """Variance of RELIANCE's returns for each second they span, six days: it rises up to 40 s, then falls."""
    market = replace(MARKET, circuit_s=0, halt_s=0)
    logs = [np.log(path(market, DATE, seed, CALENDAR).middles[:, 0]) for seed in range(6)]

    def variance(step: int) -> float:
        return float(np.mean([np.var(log[step:] - log[:-step]) / step for log in logs]))

    assert variance(40) > 1.25 * variance(1)
    assert variance(600) < 0.9 * variance(40)


def test_volume_only_grows_and_a_book_change_leaves_price_and_volume_alone(friday):
    ticks = friday.of(0)
    steps = np.diff(ticks["volume"])
    assert (steps >= 0).all()
    quiet = steps == 0
    assert 0.2 < quiet.mean() < 0.6
    assert (np.diff(ticks["price"])[quiet] == 0).all()


def test_five_levels_stand_on_each_side_best_first(friday):
    shown = (friday.depth["bid"] > 0).all(axis=1) & (friday.depth["ask"] > 0).all(axis=1)
    assert shown.mean() > 0.85
    depth, ticks = friday.depth[shown], friday.ticks[shown]
    assert (np.diff(depth["bid"], axis=1) < 0).all()
    assert (np.diff(depth["ask"], axis=1) > 0).all()
    assert (depth["bid"][:, 0] < depth["ask"][:, 0]).all()
    assert (depth["bid"][:, 0] == paise(ticks["bid"])).all()
    assert (depth["ask_quantity"][:, 0] == ticks["ask_quantity"]).all()
    assert (depth["bid_quantity"] > 0).all()


def test_an_index_has_no_volume_and_no_book_and_a_future_has_open_interest_in_lots(friday):
    index, future = friday.of(INDEX), friday.of(FUTURE)
    assert {f: int(np.abs(index[f]).max()) for f in ("volume", "bid", "ask", "bid_quantity", "open_interest")} == {
        "volume": 0, "bid": 0, "ask": 0, "bid_quantity": 0, "open_interest": 0,
    }  # fmt: skip
    assert (future["volume"] % 65 == 0).all()
    assert ((future["open_interest"] - 17_000_035) % 65 == 0).all()
    assert len(np.unique(future["open_interest"])) > 1_000
    assert (friday.of(0)["open_interest"] == 0).all()


def test_one_share_lies_at_its_band_for_ten_minutes_with_one_side_of_the_book_empty(friday):
    at_band = []
    for n in SHARES:
        ticks = friday.of(n)
        one_sided = (ticks["bid"] == 0) != (ticks["ask"] == 0)
        if one_sided.any():
            at_band.append(n)
            pinned = ticks[one_sided]
            assert 550 * SECOND < pinned["time"][-1] - pinned["time"][0] <= 600 * SECOND
            start = INSTRUMENTS[n].start_price
            side = 1 if pinned["ask"][0] == 0 else -1
            assert abs(pinned["price"][-1] / start - (1 + 0.05 * side)) < 0.0005
            assert len(np.unique(pinned["price"][1:])) == 1
    assert len(at_band) == 1


def test_no_price_leaves_its_band(friday):
    for n in SHARES:
        start = INSTRUMENTS[n].start_price
        prices = friday.of(n)["price"]
        assert start * 0.95 - 1e-9 <= prices.min() <= prices.max() <= start * 1.05 + 1e-9


def test_one_share_is_halted_for_four_minutes_while_the_others_tick(friday):
    silences = [int(np.diff(friday.of(n)["time"]).max()) / SECOND for n in SHARES]
    halted = [n for n, silence in zip(SHARES, silences, strict=True) if silence > 230]
    assert len(halted) == 1
    assert sorted(silences)[-2] < 30


def test_prices_sometimes_gap(friday):
    """Some second moves a share by more than ten of its usual seconds."""
    course = path(MARKET, DATE, 1, CALENDAR)
    returns = np.abs(np.diff(np.log(course.middles[:, SHARES]), axis=0))
    assert (returns / course.volatility[:, SHARES]).max() > 10


@pytest.mark.compiled
def test_a_clean_day_passes_the_gate_whole(friday):
    ticks = friday.ticks.copy()
    assert judge(records(ticks), records(no_ticks_seen(len(INSTRUMENTS))), *bounds_of(CALENDAR)) == 0


def test_bad_ticks_come_at_the_rate_asked_for_and_of_every_kind(bad_friday):
    kinds = counted(bad_friday.faults)
    assert set(kinds) == set(FAULTS.values())
    good = int((bad_friday.faults == 0).sum())
    assert abs(sum(kinds.values()) / good - 0.02) < 0.001
    assert min(kinds.values()) > 0.8 * sum(kinds.values()) / len(kinds)


def test_bad_ticks_change_no_good_one(friday, bad_friday):
    assert bad_friday.ticks[bad_friday.faults == 0].tobytes() == friday.ticks.tobytes()
    assert bad_friday.depth[bad_friday.faults == 0].tobytes() == friday.depth.tobytes()


def test_each_bad_tick_is_bad_in_the_way_it_is_labelled(bad_friday):
    ticks, faults = bad_friday.ticks, bad_friday.faults
    before = ticks[np.flatnonzero(faults) - 1]
    bad = ticks[faults != 0]
    kind = faults[faults != 0]
    assert (bad["price"][kind == NON_POSITIVE_PRICE] <= 0).all()
    assert np.isnan(bad["price"][kind == NO_PRICE]).all()
    assert (bad["instrument"][kind == UNKNOWN_INSTRUMENT] == UNKNOWN).all()
    assert (bad["time"][kind == TIME_BACKWARDS] < before["time"][kind == TIME_BACKWARDS]).all()
    for same in (DUPLICATE, UNDECODABLE, MISSING_FIELD):
        assert bad[kind == same].tobytes() == before[kind == same].tobytes()


@pytest.mark.compiled
def test_the_gate_drops_exactly_the_bad_ticks_that_reach_it(bad_friday):
    ticks = bad_friday.ticks[(bad_friday.faults != UNDECODABLE) & (bad_friday.faults != MISSING_FIELD)]
    faults = bad_friday.faults[(bad_friday.faults != UNDECODABLE) & (bad_friday.faults != MISSING_FIELD)]
    judge(records(ticks), records(no_ticks_seen(len(INSTRUMENTS))), *bounds_of(CALENDAR))
    assert ((ticks["quality"] != 0) == (faults != 0)).all()


def test_a_day_is_drawn_at_fifty_thousand_ticks_a_second_or_more():
    began = time.process_time()
    count = sum(len(chunk.ticks) for chunk, _ in zip(day(MARKET, DATE, 5, CALENDAR), range(3600), strict=False))
    assert count / (time.process_time() - began) > 50_000


def test_the_first_chunk_does_not_wait_for_the_day():
    """Drawn lazily: the first minute takes a small part of the time of the whole day."""
    first = next(day(MARKET, DATE, 1, CALENDAR))
    assert first.until == CALENDAR.session_parts(DATE, 0)[0][0] + SECOND
    assert BLOCK_S == 60


@pytest.mark.parametrize(("date", "message"), [(dt.date(2026, 11, 24), "closed"), (dt.date(2027, 1, 4), "not covered")])
def test_a_day_without_a_session_is_refused(date, message):
    with pytest.raises(ValueError, match=message):
        next(day(MARKET, date, 1, CALENDAR))


def test_the_hour_of_muhurat_is_a_short_day_with_its_circuit_and_halt():
    muhurat = Day(date=dt.date(2025, 10, 21))
    assert muhurat.until - muhurat.ticks["time"][0] < 3_600 * SECOND
    assert len(muhurat.ticks) > 40_000
    assert sum(bool(((t["bid"] == 0) != (t["ask"] == 0)).any()) for t in map(muhurat.of, SHARES)) == 1


def test_a_market_of_one_share_has_neither_index_nor_future():
    share = Simulated(InstrumentConfig(1, "ONE", "NSE", "EQ", "0.01", 1), 50.0, ticks_per_second=1.0)
    alone = Day(Market((share,), halt_s=0))
    assert set(alone.ticks["instrument"].tolist()) == {0}
    assert np.min((alone.ticks["ask"] - alone.ticks["bid"])[alone.ticks["ask"] > 0]) > 0.01 * 0.999


def test_two_indices_keep_their_own_times():
    market = Market(
        (*INSTRUMENTS, replace(INSTRUMENTS[INDEX], config=InstrumentConfig(2, "B", "NSE", "INDEX", "0", 0)))
    )
    chunks = [chunk for chunk, _ in zip(day(market, DATE, 1, CALENDAR, chunk_s=60.0), range(3), strict=False)]
    ticks = np.concatenate([c.ticks for c in chunks])
    for n in (INDEX, 8):
        assert (np.diff(ticks["time"][ticks["instrument"] == n]) > 0).all()
        assert 200 < (ticks["instrument"] == n).sum() < 900


@pytest.mark.parametrize("wrong", [{"bad_tick_rate": 1.5}, {"instruments": ()}])
def test_a_market_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"was 1\.5|was given none"):
        Market(**wrong)


def test_a_rate_or_a_chunk_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"was -0\.1"):
        day(MARKET, DATE, 1, CALENDAR, bad_tick_rate=-0.1)
    with pytest.raises(ValueError, match="longer than 0 seconds"):
        day(MARKET, DATE, 1, CALENDAR, chunk_s=0.0)
