"""What an error means, and when a dependency counts as away."""

import errno
import threading

import duckdb
import httpx2
import msgspec
import pytest
import redis
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from connectors.dependencies import ATTEMPTS, Circuit, Stopped, away, busy, circuit, kind_of, troubled
from connectors.errors import ConfigError, DataError, DependencyError, FatalError, RetryableError
from connectors.heartbeat import Heartbeat, Waiting
from tests.waiting import within

TRANSIENT = [
    RetryableError("locked"),
    ConnectionRefusedError(),
    TimeoutError(),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    duckdb.IOException("Could not write file: No space left on device"),
    redis.ConnectionError("Connection refused"),
    redis.TimeoutError("Timeout reading from socket"),
    redis.ResponseError("LOADING Redis is loading the dataset in memory"),
    redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'"),
    httpx2.ConnectError("refused"),
    httpx2.ReadTimeout("no answer"),
    KafkaException(KafkaError(KafkaError._TRANSPORT, "broker gone")),
    KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"),
]
POISON = [
    msgspec.DecodeError("no JSON"),
    msgspec.ValidationError("a text where a number is wanted"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
]
FATAL = [
    FatalError("the state is in doubt"),
    ConfigError("a wrong password"),
    DependencyError("a damaged file"),
    DataError("a file that cannot be read"),
    redis.AuthenticationError("WRONGPASS"),
    redis.exceptions.NoPermissionError("NOPERM"),
    redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not yours")),
    KafkaError(KafkaError._FATAL, "fenced", True),
    OSError(errno.EACCES, "Permission denied"),
    ZeroDivisionError(),
    KeyError("a fault of ours"),
]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *[(e, "transient") for e in TRANSIENT],
        *[(e, "poison") for e in POISON],
        *[(e, "fatal") for e in FATAL],
    ],
    ids=lambda value: repr(value)[:60],
)
def test_every_error_is_of_one_class(error, kind):
    assert kind_of(error) == kind


def test_a_busy_server_may_answer_later_and_a_refusal_stays_one():
    assert [status for status in (200, 400, 401, 404, 409, 429, 500, 502, 503, 504) if busy(status)] == [
        409, 429, 502, 503, 504,
    ]  # fmt: skip


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self):
        self.at = 100.0

    def __call__(self):
        return self.at


class Gone:
    """A dependency that fails so many times, then answers."""

    def __init__(self, failures, error=None):
        self.left = failures
        self.asked = 0
        self.error = error or ConnectionRefusedError("refused")

    def __call__(self):
        self.asked += 1
        if self.left > 0:
            self.left -= 1
            raise self.error
        return "answer"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def redis_circuit(clock):
    return Circuit("redis", "redis.unreachable", "redis.reachable", {"place": "here"}, now=clock)


def never():
    return False


def test_a_blip_shorter_than_four_attempts_is_passed_over_and_nobody_hears_of_it(redis_circuit):
    with capture_logs() as logged:
        assert redis_circuit.wait(Gone(ATTEMPTS - 1), stop=never) == "answer"

    assert logged == []
    assert redis_circuit.state == "closed"


def test_after_four_attempts_it_is_away_which_is_said_once_and_once_that_it_is_back(redis_circuit):
    states = []
    gone = Gone(ATTEMPTS + 2)

    def attempt():
        states.append(redis_circuit.state)
        return gone()

    with capture_logs() as logged:
        assert redis_circuit.wait(attempt, stop=never, unwritten_records=7) == "answer"

    assert states == ["closed"] * ATTEMPTS + ["open"] * 3
    assert logged == [
        {
            "event": "redis.unreachable",
            "log_level": "warning",
            "place": "here",
            "unwritten_records": 7,
            "reason": "refused",
        },
        {"event": "redis.reachable", "log_level": "info", "place": "here", "away_s": 0.0},
    ]
    assert redis_circuit.state == "closed"


def test_what_is_not_transient_is_not_tried_again(redis_circuit):
    gone = Gone(3, redis.AuthenticationError("WRONGPASS"))

    with pytest.raises(redis.AuthenticationError):
        redis_circuit.wait(gone, stop=never)

    assert gone.asked == 1
    assert redis_circuit.state == "closed"


def test_a_wait_ends_with_the_last_reason_when_the_process_is_asked_to_stop(redis_circuit):
    with pytest.raises(Stopped) as stopped:
        redis_circuit.wait(Gone(99), stop=lambda: True)

    assert isinstance(stopped.value.__cause__, ConnectionRefusedError)


def test_a_question_gives_up_after_four_attempts_then_is_refused_at_once_and_asked_again_after_a_pause(
    redis_circuit, clock
):
    gone = Gone(ATTEMPTS + 1)
    with pytest.raises(ConnectionRefusedError):
        redis_circuit.ask(gone)
    assert (gone.asked, redis_circuit.state) == (ATTEMPTS, "open")

    clock.at += 0.5
    with pytest.raises(RetryableError, match="redis has been away for 0 s: refused"):
        redis_circuit.ask(gone)
    assert gone.asked == ATTEMPTS  # it was not asked

    clock.at += 0.6
    assert redis_circuit.state == "half-open"
    with pytest.raises(ConnectionRefusedError):
        redis_circuit.ask(gone)  # one question, no more
    assert (gone.asked, redis_circuit.state) == (ATTEMPTS + 1, "open")

    clock.at += 1.1
    assert redis_circuit.ask(gone) == "answer"
    assert redis_circuit.state == "closed"


def test_while_half_open_one_of_many_threads_asks(redis_circuit, clock):
    with pytest.raises(ConnectionRefusedError):
        redis_circuit.ask(Gone(ATTEMPTS))
    clock.at += 1.1
    refused = []

    def question():
        try:
            redis_circuit.ask(lambda: within(lambda: len(refused) == 7, 60))
        except RetryableError:
            refused.append(1)

    threads = [threading.Thread(target=question) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 7


def test_a_wall_clock_that_jumps_opens_and_closes_nothing(monkeypatch):
    real = Circuit("redis", "lost", "found")
    with pytest.raises(ConnectionRefusedError):
        real.ask(Gone(ATTEMPTS))
    for jump in (-3600, 3600):
        monkeypatch.setattr("time.time", lambda jump=jump: 1.8e9 + jump)
        assert real.state == "open"
        assert real.away_s < 60


def test_health_knows_what_is_away_for_how_long_and_why(clock):
    lost = Circuit("lake", "lake.unavailable", "lake.available", now=clock)
    assert circuit("redis") is circuit("redis")
    circuit("redis").failed(ConnectionRefusedError("refused"))
    lost.open("the disk is full")
    clock.at += 5

    assert [(one.name, one.reason, one.away_s) for one in away()] == [("lake", "the disk is full", 5.0)]
    assert [one.name for one in troubled()] == ["lake", "redis"]

    lost.leave()
    assert away() == []


def test_a_heartbeat_says_for_what_its_process_waits():
    said = Heartbeat(1, 100.0, [Waiting("redis", 95.0, "refused")])

    assert msgspec.json.decode(msgspec.json.encode(said), type=Heartbeat) == said
