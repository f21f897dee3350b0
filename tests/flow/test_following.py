"""Following: the feed waits for its reader, but not for one that is not there."""

from connectors.errors import DependencyError
from connectors.kafka.following import Following
from tests.feed import Wall


class Log:
    """Stands for the broker's offsets: what a group has read of one partition."""

    def __init__(self, end: int = 0) -> None:
        self.end = end
        self.read: int | None = None
        self.down = False

    def ends(self):
        return {("market.ticks", 0): self.end}

    def committed(self):
        if self.down:
            raise DependencyError("no answer")
        return {} if self.read is None else {("market.ticks", 0): self.read}

    def close(self) -> None: ...


def follower(log: Log, wall: Wall) -> Following:
    return Following(log, "pipeline-paper-0", 100, now=wall)  # type: ignore[bad-argument-type]  # only three methods are used


def test_the_feed_waits_while_its_reader_is_further_behind_than_allowed():
    log, wall = Log(end=1_000), Wall()
    following = follower(log, wall)
    log.read = 1_000
    assert [following.holds(n) for n in (0, 50, 100, 101)] == [False, False, False, False]  # 101: asked at 100 just now
    assert following.holds(130)
    log.read = 1_029
    assert following.holds(130)
    log.read = 1_030
    assert not following.holds(130)


def test_a_backlog_from_before_the_feed_counts():
    log, wall = Log(end=1_000), Wall()
    following = follower(log, wall)
    log.read = 920
    assert following.holds(30)
    log.read = 930
    assert not following.holds(30)


def test_a_reader_that_never_shows_itself_is_waited_for_five_seconds():
    log, wall = Log(), Wall()
    following = follower(log, wall)
    assert following.holds(200)
    wall.time += 4.9
    assert following.holds(200)
    wall.time += 0.2
    assert not following.holds(200)
    assert not following.holds(1_000_000)


def test_a_reader_that_is_there_is_waited_for_as_long_as_it_takes():
    log, wall = Log(), Wall()
    following = follower(log, wall)
    log.read = 10
    assert following.holds(200)
    wall.time += 3_600
    assert following.holds(200)


def test_a_broker_that_does_not_answer_holds_the_feed():
    log, wall = Log(), Wall()
    following = follower(log, wall)
    log.down = True
    assert following.holds(200)
    log.down, log.read = False, 150
    assert not following.holds(200)
