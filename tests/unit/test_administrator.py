"""The administrative client, without a broker."""

import gc
import weakref

import pytest

from connectors.errors import DependencyError
from connectors.kafka.admin import Administrator
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
