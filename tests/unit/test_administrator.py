"""Administrative clients, without a broker."""

import gc
import threading
import weakref

import pytest

from connectors.errors import DependencyError
from connectors.kafka.admin import Administrator
from connectors.kafka.journal import Ends
from connectors.settings import KafkaSettings


def test_an_administrator_ends_with_its_last_use_and_never_by_the_garbage_collector():
    gc.disable()  # in librdkafka's own thread it would abort the process
    try:
        admin = Administrator(KafkaSettings(bootstrap="127.0.0.1:1"), timeout_s=5)
        client = weakref.ref(admin.client)
        with pytest.raises(DependencyError):
            admin.result(admin.client.describe_cluster(request_timeout=0.1), "describe itself")
        del admin
        assert client() is None
    finally:
        gc.enable()


def test_who_asks_for_ends_may_go_with_a_question_under_way():
    ends = Ends(KafkaSettings(bootstrap="127.0.0.1:1"), [("market.ticks", 0)])
    ends.ask()
    (asked,) = ends._asked.values()
    client = weakref.ref(ends._admin)
    ended = threading.Event()
    asked.add_done_callback(lambda _: (gc.collect(), ended.set()))  # in librdkafka's own thread
    ends.itself = ends
    del ends

    assert ended.wait(60)
    assert client() is not None
