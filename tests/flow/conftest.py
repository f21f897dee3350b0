"""Either engine for a test of the pipeline."""

import pytest

from tests.flow.script import dataflow, loop


@pytest.fixture(params=[loop, dataflow], ids=["loop", "dataflow"])
def run(request):
    """Either engine; answers with the batches that it published."""
    return request.param
